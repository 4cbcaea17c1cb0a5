"""What was measured beside what it was projected to, and the sentences that say how."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ..measure.carbon import J_PER_WH
from ..measure.predicted import Expected
from ..measure.record import Record
from .base_models import counted
from .forgetting import Parts
from .seeds import Row

FIGURES = (
    ("answer_j", "J an answer", 1.0),
    ("answer_s", "s an answer", 1.0),
    ("realtime_j", "J one at a time", 1.0),
    ("prepare_j", "prepare Wh", J_PER_WH),
)
"""What is shown: the name in `Projected`, the heading, and what to divide by."""


def projected_onto(record: Record) -> str:
    """Where a record was projected to, in words; "" for a measured one."""
    found = record.projected
    if found is None:
        return ""
    size = f"a model of {counted(found.parameters)} parameters" if found.parameters else ""
    return " on ".join(filter(None, (size, found.machine)))


def quality_of(rows: Sequence[Row]) -> str:
    """Whose quality it is, where costs are those of another size of model; else ""."""
    found = [r.projected for row in rows for r in row.records if r.projected]
    names = sorted({one.of_model for one in found if one.parameters})
    return f" of the small model ({', '.join(names)})" if names else ""


def projected_tables(rows: Sequence[Row]) -> list[Parts]:
    """For each target a table: what was measured, and what it comes to with its 80 % range; of
    several seeds the means."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        for target in dict.fromkeys(filter(None, map(projected_onto, row.records))):
            found.setdefault(target, []).append(row)
    return [_table(target, members) for target, members in found.items()]


def _table(target: str, rows: Sequence[Row]) -> Parts:
    shown = [
        figure for figure in FIGURES
        if any(figure[0] in r.projected.figures for row in rows for r in row.records if r.projected)
    ]  # fmt: skip
    lines = []
    for row in rows:
        cells = []
        for name, _, divisor in shown:
            of = [r.projected for r in row.records if r.projected and projected_onto(r) == target]
            was = [one.measured[name] for one in of if name in one.measured]
            now = [one.figures[name] for one in of if name in one.figures]
            whole = len(of) == len(now)
            cells.append(_number(fmean(was) / divisor) if was and len(was) == len(of) else "–")
            cells.append(_ranged(now, divisor) if now and whole else "–")
        lines.append((row.label, *cells))
    heads = [half for _, name, _ in shown for half in (f"{name}\nmeasured", f"{name}\nprojected")]
    return f"Projected onto {target}, with 80 % range", ("run", *heads), tuple(lines)


def _ranged(figures: Sequence[Expected], divisor: float) -> str:
    likely, low, high = (
        fmean(getattr(one, end) for one in figures) / divisor for end in ("likely", "low", "high")
    )
    if low == high:
        return _number(likely)
    return f"{_number(likely)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def projection_notes(records: Sequence[Record]) -> list[str]:
    """What a reader must know of projected figures; nothing where all were measured."""
    found = [record for record in records if record.projected]
    notes = []
    for target in dict.fromkeys(map(projected_onto, found)):
        members = [r.projected for r in found if r.projected and projected_onto(r) == target]
        models = ", ".join(sorted({one.of_model or "another model" for one in members}))
        machines = "; ".join(sorted({one.of_machine for one in members}))
        text = (
            f"PROJECTED, not measured: energy and time on {target} follow from what {models} "
            f"took on {machines}"
        )
        if any(one.machine for one in members):
            text += ", by operations and bytes and what each costs there (calibration)"
        if any(one.parameters for one in members):
            text += ", operations and bytes growing with the number of parameters"
        notes.append(f"{text}. Projected figures are never starred.")
        if not all(one.anchored for one in members):
            notes.append(
                "The machine that measured is not calibrated, so projected figures follow from "
                "counted work alone: `wattune calibrate -o` there, and --from, makes them surer."
            )
        if any(one.parameters for one in members):
            notes.append(
                f"Quality is that of the small model ({models}) and does not transfer to another "
                "size: it says nothing of how good the larger one would be."
            )
        elif any(one.machine for one in members):
            notes.append(
                "Quality is as it was measured: the same System answers alike on another machine, "
                "precision aside."
            )
    return notes
