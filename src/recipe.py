"""Recipe: YAML in, validated objects out; all faults of a file are told at once, with lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from .endpoint_ref import EndpointRef
from .errors import RecipeError, did_you_mean
from .measure.accounts.footprint import Accounting
from .measure.general import HowMany
from .measure.grid import Grid
from .models.labels import model_labels, name_at
from .strategies import STRATEGIES, AnyStrategy, Strategy
from .system import Decoding
from .values import Value
from .yaml_lines import LineFaults, Lines

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+=,@-]{0,60}$"
NAME_RULE = 'up to 61 letters, digits, ".", "_", "+", "=", ",", "@" and "-" only'
QUICK_REALTIME = 4
QUICK_GENERAL = 24
RESERVED = ("name", "strategies", "runs")


# By kind, so that a fault in the mapping does not show the whole of it, and a key that is in it.
ModelSource = Annotated[
    Annotated[str, Tag("str")] | Annotated[EndpointRef, Tag("EndpointRef")],
    Discriminator(lambda given: "str" if isinstance(given, str) else "EndpointRef"),
]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class Limit(Value):
    """Use only so many questions (of the split asked) and training examples, evenly spread."""

    questions: int | None = Field(default=None, ge=1)
    train: int | None = Field(default=None, ge=1)


class TaskSource(Value):
    """Where the questions are: a built-in name, a folder, or a file with its column mapping."""

    source: str
    columns: dict[str, str] = {}


class Settings(Value):
    """The keys of a recipe that are the same for all its runs; with `models` each run is made once
    with each of them, and `model` is the first."""

    task: str | TaskSource
    model: ModelSource
    models: tuple[ModelSource, ...] = ()
    place: str | None = None
    intensity_g_per_kwh: float | None = Field(default=None, ge=0)
    grid: Grid = Grid()
    pause_above_g_per_kwh: float | None = Field(default=None, gt=0)
    accounting: Accounting = Accounting()
    seed: Seed = 0
    seeds: tuple[Seed, ...] = ()
    baseline_s: float = Field(default=3.0, ge=0, le=600)
    split: Literal["test", "validation"] = "test"
    decoding: Decoding = Decoding()
    realtime_questions: int = Field(default=20, ge=0)
    general_questions: HowMany = True
    scoring_embedder: str = "minilm"
    refresh: bool = False
    limit: Limit = Limit()
    quick: Limit = Limit(questions=24, train=64)

    @field_validator("models")
    @classmethod
    def _models_once_each(cls, given: tuple[ModelSource, ...]) -> tuple[ModelSource, ...]:
        twice = [model for n, model in enumerate(given) if model in given[:n]]
        if twice:
            raise ValueError(f"{twice[0]} is given twice; each model once")
        return given

    @model_validator(mode="after")
    def _seeds_once_each(self) -> Settings:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: each seed once")
        return self

    @model_validator(mode="after")
    def _knows_the_hour_it_pauses_at(self) -> Settings:
        if self.pause_above_g_per_kwh is not None and self.grid.provider == "static":
            raise ValueError(
                "pause_above_g_per_kwh needs a grid that knows the hour, for a yearly figure never "
                'changes: set "grid: {provider: uk}", electricity_maps or csv'
            )
        return self


class Recipe(Value):
    """A validated recipe: settings, and the runs as lists of strategies."""

    name: str = Field(pattern=RUN_NAME)
    settings: Settings
    runs: dict[str, tuple[AnyStrategy, ...]]

    def of_run(self, run: str, seed: int) -> dict[str, Any]:
        """One run as a recipe of its own, in plain JSON: kept in its Record."""
        return resolved(run, self.settings, self.runs[run], seed)

    def by_model(self) -> list[Recipe]:
        """A recipe for each of its `models`, its runs named ``<run>@<model>``; the recipe itself
        where it names one `model`."""
        models = self.settings.models
        return [
            self.model_copy(
                update={
                    "settings": self.settings.model_copy(update={"model": model, "models": ()}),
                    "runs": {name_at(run, label): steps for run, steps in self.runs.items()},
                }
            )
            for model, label in zip(models, model_labels(models), strict=True)
        ] or [self]

    def quicker(self) -> Recipe:
        """The same recipe on its `quick` slice, under a name of its own."""
        general = self.settings.general_questions
        changes = {
            "limit": self.settings.quick,
            "realtime_questions": min(self.settings.realtime_questions, QUICK_REALTIME),
            "general_questions": QUICK_GENERAL if general is True else min(general, QUICK_GENERAL),
        }
        settings = self.settings.model_copy(update=changes)
        return self.model_copy(update={"name": f"{self.name}-quick", "settings": settings})


def resolved(
    run: str, settings: Settings, strategies: Sequence[Strategy], seed: int
) -> dict[str, Any]:
    """One run with one seed as a recipe of its own, in plain JSON."""
    several = ("seeds", "models")
    shared = {key: value for key, value in settings.plain().items() if key not in several}
    runs = {run: [_section(strategy) for strategy in strategies]}
    return {"name": run, **shared, "seed": seed, "runs": runs}


def parse_recipe(
    content: Mapping[str, Any],
    *,
    name: str,
    where: str = "recipe",
    lines: Lines | None = None,
    forced: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Recipe:
    """Validate a recipe's content; files that strategies read are looked for in `folder` first.

    A strategy's settings are its section, then what its run writes inline, then `forced`, by
    strategy: what came from the command line and wins everywhere. Nested settings are merged.
    """
    faults = LineFaults(where, lines or {}, folder)
    known = {*Settings.model_fields, *STRATEGIES, *RESERVED}
    for key in content:
        if key not in known:
            faults.add((str(key),), f'unknown key "{key}"' + did_you_mean(str(key), known))
    settings = _settings(content, faults)
    sections: dict[str, dict[str, Any]] = {}
    forced = forced or {}
    for key in STRATEGIES:
        section = content.get(key) or {}
        if not isinstance(section, Mapping):
            faults.add((key,), f'"{key}" takes a mapping of its settings, not {section!r}')
        elif key not in content or faults.validate(
            STRATEGIES[key], {**section, "type": key}, (key,)
        ):
            sections[key] = dict(section)
    # A strategy that holds another (tree_rag its rag) holds it as its own section says.
    for key, model in STRATEGIES.items():
        held = {name: sections[name] for name in model.model_fields if sections.get(name)}
        if key in sections:
            sections[key] = _merged(held, sections[key])
    named = str(content.get("name", name))
    if not re.match(RUN_NAME, named):
        faults.add(("name",), f'name "{named}": {NAME_RULE} (set `name:`, else it is the file\'s)')
    runs = _runs(content, named, sections, forced, faults)
    faults.raise_any(RecipeError)
    assert settings is not None
    return Recipe(name=named, settings=settings, runs=runs)


def _settings(content: Mapping[str, Any], faults: LineFaults) -> Settings | None:
    given = {key: value for key, value in content.items() if key in Settings.model_fields}
    if given.get("models") is None:
        given.pop("models", None)
        return faults.validate(Settings, given)
    if given.get("model") is not None:
        faults.add(("models",), 'give either "model: NAME" or "models: [NAME, NAME]", not both')
    elif not given["models"]:
        faults.add(("models",), '"models" takes a list of models, and this one is empty')
    settings = faults.validate(Settings, {**given, "model": ""})
    if settings is None or not settings.models:
        return None
    return settings.model_copy(update={"model": settings.models[0]})


def _runs(
    content: Mapping[str, Any],
    name: str,
    sections: Mapping[str, Any],
    forced: Mapping[str, Any],
    faults: LineFaults,
) -> dict[str, tuple[Any, ...]]:
    if ("runs" in content) == ("strategies" in content):
        faults.add((), 'give either "strategies: [...]" (one run) or "runs: {name: [...]}"')
        return {}
    given = content.get("runs") if "runs" in content else {name: content["strategies"]}
    if not isinstance(given, Mapping) or not given:
        faults.add(("runs",), '"runs" takes a mapping of names to lists of strategies')
        return {}
    runs: dict[str, tuple[Any, ...]] = {}
    for run, steps in given.items():
        at = ("runs", str(run)) if "runs" in content else ("strategies",)
        if "runs" in content and not re.match(RUN_NAME, str(run)):
            faults.add(at, f'run name "{run}": {NAME_RULE}')
        if not isinstance(steps, list):
            faults.add(at, f'run "{run}" takes a list of strategies, such as [lora, tree_rag]')
            continue
        found = [
            _strategy(step, sections, forced, faults, (*at, str(i))) for i, step in enumerate(steps)
        ]
        runs[str(run)] = tuple(strategy for strategy in found if strategy is not None)
    return runs


def _strategy(
    step: Any,
    sections: Mapping[str, Any],
    forced: Mapping[str, Any],
    faults: LineFaults,
    at: tuple[str, ...],
) -> Value | None:
    kind: Any = step
    inline: Any = {}
    if isinstance(step, Mapping) and len(step) == 1:
        kind, inline = next(iter(step.items()))
        inline = inline or {}
    if not isinstance(kind, str) or not isinstance(inline, Mapping):
        faults.add(at, f"a strategy is a name or {{name: {{settings}}}}, not {step!r}")
        return None
    if kind not in STRATEGIES:
        faults.add(at, f'unknown strategy "{kind}"' + did_you_mean(kind, STRATEGIES))
        return None
    if kind not in sections and not inline:
        return None  # its section is at fault, which is told already
    settings = _merged(sections.get(kind, {}), inline, forced.get(kind) or {}, {"type": kind})
    return faults.validate(STRATEGIES[kind], settings, (*at, kind))


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over one another, nested ones too; the later wins."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                value = _merged(below, value)
            result[key] = value
    return result


def _section(strategy: Strategy) -> dict[str, Any]:
    settings = {key: value for key, value in strategy.plain().items() if key != "type"}
    return {strategy.type: settings}
