"""Recipe: YAML in, validated objects out; all faults of a file are told at once, with lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError

from .errors import RecipeError, did_you_mean
from .files import read_text, shipped_folder
from .strategies import STRATEGIES, AnyStrategy, Strategy
from .system import Decoding
from .values import Value

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,60}$"
RESERVED = ("name", "strategies", "runs")


class Limit(Value):
    """Use only so many questions (of the split asked) and training examples, evenly spread."""

    questions: int | None = Field(default=None, ge=1)
    train: int | None = Field(default=None, ge=1)


class TaskSource(Value):
    """Where the questions are: a built-in name, a folder, or a file with its column mapping."""

    source: str
    columns: dict[str, str] = {}


class Settings(Value):
    """The keys of a recipe that are the same for all its runs."""

    task: str | TaskSource
    model: str
    place: str | None = None
    intensity_g_per_kwh: float | None = Field(default=None, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    split: Literal["test", "validation"] = "test"
    decoding: Decoding = Decoding()
    latency_questions: int = Field(default=8, ge=0)
    limit: Limit = Limit()
    quick: Limit = Limit(questions=40, train=96)


class Recipe(Value):
    """A validated recipe: settings, and the runs as lists of strategies."""

    name: str = Field(pattern=RUN_NAME)
    settings: Settings
    runs: dict[str, tuple[AnyStrategy, ...]]

    def of_run(self, run: str) -> dict[str, Any]:
        """One run as a recipe of its own, in plain JSON: kept in its Record."""
        return {
            "name": run,
            **self.settings.plain(),
            "runs": {run: [_section(strategy) for strategy in self.runs[run]]},
        }

    def quicker(self) -> Recipe:
        """The same recipe on its `quick` slice, under a name of its own."""
        settings = self.settings.model_copy(update={"limit": self.settings.quick})
        return self.model_copy(update={"name": f"{self.name}-quick", "settings": settings})


def find_recipe(where: str) -> Path:
    """A path as given, or a shipped recipe by its name (``quickstart``)."""
    path = Path(where)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(shipped_folder().glob("*.yaml"))}
    if where in shipped:
        return shipped[where]
    if path.name in {file.name for file in shipped.values()} and not path.parent.exists():
        return shipped[path.stem]
    raise RecipeError(
        f"{where}: there is no such file, and no shipped recipe of that name"
        + did_you_mean(where, shipped)
    )


def load_recipe(where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file and apply overrides such as ``lora.r=8``.

    Raises `RecipeError` with every fault, each with its line and what would be right.
    """
    path = find_recipe(where)
    content, lines = read_yaml(path)
    for override in overrides:
        _apply(content, override)
    recipe = parse_recipe(content, name=path.stem, where=str(path), lines=lines)
    return _beside(recipe, path.parent)


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """A task given as a relative path is looked for beside the recipe first."""
    task = recipe.settings.task
    source = task if isinstance(task, str) else task.source
    beside = folder / source
    if not beside.exists() or Path(source).is_absolute():
        return recipe
    found = str(beside)
    moved = found if isinstance(task, str) else task.model_copy(update={"source": found})
    settings = recipe.settings.model_copy(update={"task": moved})
    return recipe.model_copy(update={"settings": settings})


def parse_recipe(
    content: Mapping[str, Any],
    *,
    name: str,
    where: str = "recipe",
    lines: Mapping[tuple[str, ...], int] | None = None,
) -> Recipe:
    """Validate a recipe's content."""
    faults = _Faults(where, lines or {})
    known = {*Settings.model_fields, *STRATEGIES, *RESERVED}
    for key in content:
        if key not in known:
            faults.add((str(key),), f'unknown key "{key}"' + did_you_mean(str(key), known))
    settings = faults.validate(
        Settings, {k: v for k, v in content.items() if k in Settings.model_fields}, ()
    )
    sections: dict[str, dict[str, Any]] = {}
    for key in STRATEGIES:
        section = content.get(key) or {}
        if not isinstance(section, Mapping):
            faults.add((key,), f'"{key}" takes a mapping of its settings, not {section!r}')
        elif faults.validate(STRATEGIES[key], {**section, "type": key}, (key,)):
            sections[key] = dict(section)
    runs = _runs(content, str(content.get("name", name)), sections, faults)
    faults.raise_any()
    assert isinstance(settings, Settings)
    try:
        return Recipe(name=content.get("name", name), settings=settings, runs=runs)
    except ValidationError as error:
        raise RecipeError(f"{where}: name: {error.errors()[0]['msg']}") from error


def _runs(
    content: Mapping[str, Any], name: str, sections: Mapping[str, Any], faults: _Faults
) -> dict[str, tuple[Any, ...]]:
    import re

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
        if not re.match(RUN_NAME, str(run)):
            faults.add(at, f'run name "{run}": letters, digits, ".", "_", "+" and "-" only')
        if not isinstance(steps, list):
            faults.add(at, f'run "{run}" takes a list of strategies, such as [lora, tree_rag]')
            continue
        found = [_strategy(step, sections, faults, (*at, str(i))) for i, step in enumerate(steps)]
        runs[str(run)] = tuple(strategy for strategy in found if strategy is not None)
    return runs


def _strategy(
    step: Any, sections: Mapping[str, Any], faults: _Faults, at: tuple[str, ...]
) -> Value | None:
    kind, inline = step, {}
    if isinstance(step, Mapping) and len(step) == 1:
        kind, inline = next(iter(step.items()))
        inline = inline or {}
    if not isinstance(kind, str) or not isinstance(inline, Mapping):
        faults.add(at, f"a strategy is a name or {{name: {{settings}}}}, not {step!r}")
        return None
    if kind not in STRATEGIES:
        faults.add(at, f'unknown strategy "{kind}"' + did_you_mean(kind, STRATEGIES))
        return None
    merged = {**sections.get(kind, {}), **inline, "type": kind}
    return faults.validate(STRATEGIES[kind], merged, (*at, kind))


def _section(strategy: Strategy) -> dict[str, Any]:
    settings = {key: value for key, value in strategy.plain().items() if key != "type"}
    return {strategy.type: settings}


class _Faults:
    """Collects what is wrong with a file, to be told all at once."""

    def __init__(self, where: str, lines: Mapping[tuple[str, ...], int]) -> None:
        self.where, self.lines = where, lines
        self.found: dict[str, None] = {}

    def add(self, at: tuple[str, ...], text: str) -> None:
        """Note a fault at a key path; the line is that of the nearest key that is known."""
        near = at
        while near and near not in self.lines:
            near = near[:-1]
        line = f":{self.lines[near]}" if near else ""
        self.found[f"{self.where}{line}: {text}"] = None

    def validate(
        self, model: type[Value], content: Mapping[str, Any], at: tuple[str, ...]
    ) -> Value | None:
        """The validated model, or None with its faults noted."""
        try:
            return model.model_validate(dict(content))
        except ValidationError as error:
            for fault in error.errors():
                place = (*at, *map(str, fault["loc"]))
                self.add(place, _sentence(fault, model, at))
            return None

    def raise_any(self) -> None:
        """Raise all faults as one `RecipeError`, if there are any."""
        if self.found:
            raise RecipeError("\n".join(self.found))


def _sentence(fault: Any, model: type[Value], at: tuple[str, ...]) -> str:
    loc = [str(part) for part in fault["loc"]]
    # A run's list reads runs.NAME.2.lora.r; a person calls that lora.r.
    shown = ".".join([*at[-1:], *loc])
    if fault["type"] == "extra_forbidden":
        owner = _owner(model, fault["loc"][:-1])
        known = [name for name in owner.model_fields if name != "type"] if owner else []
        return f'unknown key "{shown}"' + did_you_mean(loc[-1], known)
    if fault["type"] == "missing":
        return f'"{shown}" is missing'
    got = fault.get("input")
    return f'"{shown}": {fault["msg"][0].lower()}{fault["msg"][1:]}, not {got!r}'


def _owner(model: type[Value], path: Sequence[Any]) -> type[Value] | None:
    """The model that a nested key belongs to."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            return None if str(part) != model.__name__ else model
        choices = [field.annotation, *get_args(field.annotation)]
        models = [c for c in choices if isinstance(c, type) and issubclass(c, Value)]
        if not models:
            return None
        model = models[0]
    return model


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f'override "{override}": write key=value, for example lora.r=8')
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise RecipeError(f'override "{override}": the value is not YAML') from error
    *path, last = key.split(".")
    target: Any = content
    for part in path:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise RecipeError(f'override "{override}": "{part}" holds no settings')
    target[last] = value


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """A YAML mapping, and the line (from 1) of every key path in it.

    Raises `RecipeError` with line and column for broken YAML and for keys given twice.
    """
    text = read_text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{place}: broken YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: broken YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys (task, model, runs, ...)")
    lines: dict[tuple[str, ...], int] = {}
    _mark(root, (), lines, path)
    return content, lines


def _mark(node: Any, at: tuple[str, ...], lines: dict[tuple[str, ...], int], path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise RecipeError(f'{path}:{line}: "{name}" is given twice')
            seen.add(name)
            lines[(*at, name)] = line
            _mark(value, (*at, name), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*at, str(number))] = item.start_mark.line + 1
            _mark(item, (*at, str(number)), lines, path)
