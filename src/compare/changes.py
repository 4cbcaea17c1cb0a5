"""Changes: what differs between two records of a run: settings, System, software, hardware."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..measure.record import Record
from .comparability import hardware
from .seeds import MADE_BY_STAGES, NOT_THE_RUN

NOT_TOLD = NOT_THE_RUN | {"name"}
LONGEST = 40
NOTHING = "–"


def changes(then: Record, now: Record) -> tuple[str, ...]:
    """Sentence parts such as ``recipe lora.r: 16 → 8``, in the order steps, recipe, System,
    software, hardware, grid, fingerprints; empty where nothing differs."""
    ours, theirs = _steps(then), _steps(now)
    told = [] if list(ours) == list(theirs) else [f"steps: {_named(ours)} → {_named(theirs)}"]
    # Of a step that only one of them has, its name says enough.
    alone = tuple(f"{name}." for name in {*ours} ^ {*theirs})
    told += [
        *_between("recipe", _recipe(then), _recipe(now), alone),
        *_between("system", _system(then), _system(now)),
        *_between("software", _software(then), _software(now)),
        *_between("", {"hardware": hardware(then)}, {"hardware": hardware(now)}),
        *_between("", _grid(then), _grid(now)),
    ]
    marks = [
        name
        for name in dict.fromkeys((*then.fingerprints, *now.fingerprints))
        if then.fingerprints.get(name) != now.fingerprints.get(name)
    ]
    if marks:
        told.append(f"fingerprints: {', '.join(marks)}")
    return tuple(told)


def _named(steps: dict[str, Any]) -> str:
    return " + ".join(steps) or "none"


def _between(
    what: str, then: dict[str, str], now: dict[str, str], without: tuple[str, ...] = ()
) -> Iterator[str]:
    for key in dict.fromkeys((*then, *now)):
        before, after = then.get(key, NOTHING), now.get(key, NOTHING)
        if before != after and not key.startswith(without or ("\0",)):
            yield f"{what} {key}: {_short(before)} → {_short(after)}".strip()


def _recipe(record: Record) -> dict[str, str]:
    """Settings by their names; those of a step behind its type, which is numbered if it repeats."""
    flat = _flat({k: v for k, v in record.recipe.items() if k not in NOT_TOLD | {"runs"}})
    for name, settings in _steps(record).items():
        flat |= _flat(settings, name)
    return flat


def _steps(record: Record) -> dict[str, Any]:
    runs = record.recipe.get("runs") or {}
    found: dict[str, Any] = {}
    for step in next(iter(runs.values()), []) if isinstance(runs, dict) else []:
        for name, settings in step.items() if isinstance(step, dict) else [(str(step), {})]:
            same = sum(known.partition("#")[0] == name for known in found)
            found[f"{name}#{same + 1}" if same else name] = settings
    return found


def _system(record: Record) -> dict[str, str]:
    """The System but for what its stages made, and what the recipe tells already."""
    told = {"decoding", "prompt"} if record.recipe else set()
    return _flat({k: v for k, v in record.system.items() if k not in MADE_BY_STAGES | told})


def _software(record: Record) -> dict[str, str]:
    return _flat(record.environment.get("software") or {})


def _grid(record: Record) -> dict[str, str]:
    carbon = record.carbon
    if carbon is None:
        return {}
    return {"grid": f"{carbon.intensity_g_per_kwh:g} g/kWh ({carbon.place}, PUE {carbon.pue:g})"}


def _flat(value: Any, at: str = "") -> dict[str, str]:
    """Nested settings by dotted names; a list in one piece."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{at}.{key}" if at else str(key))
        return found
    return {at: NOTHING if value is None else str(value)}


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
