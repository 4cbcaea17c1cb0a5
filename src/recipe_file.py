"""Recipe files: found by path or name, read with their lines, overridden from the command line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .endpoint_ref import EndpointRef
from .errors import RecipeError, did_you_mean
from .files import shipped_folder
from .models.catalogue import CATALOGUE
from .recipe import Recipe, TaskSource, parse_recipe
from .strategies import STRATEGIES
from .tasks.load import builtin_tasks
from .values import Value
from .yaml_lines import read_mapping

_V = TypeVar("_V", bound=Value)
SECRET = re.compile("key|token", re.IGNORECASE)


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
    content, lines = read_mapping(
        path, RecipeError, what="a recipe is a mapping of keys (task, model, runs, ...)"
    )
    forced: dict[str, Any] = {}
    for override in overrides:
        _apply(content, override)
        if override.partition(".")[0] in STRATEGIES:
            _apply(forced, override)
    try:
        recipe = parse_recipe(
            content,
            name=path.stem,
            where=str(path),
            lines=lines,
            forced=forced,
            folder=path.parent,
        )
    except RecipeError as error:
        if not overrides:
            raise
        # A secret that was pasted into the wrong key stays out of the message.
        shown = [text if not SECRET.search(text) else "…" for text in overrides]
        raise RecipeError(f"{error} (with {' '.join(shown)} given)") from error
    settings = recipe.settings
    task = settings.task
    if isinstance(task, str):
        moved: str | TaskSource = _beside(task, path.parent, builtin_tasks())
    else:
        source = _beside(task.source, path.parent, builtin_tasks())
        moved = task.model_copy(update={"source": source})
    changes = {
        "task": moved,
        "model": _model(settings.model, path.parent),
        "models": tuple(_model(model, path.parent) for model in settings.models),
        "grid": _moved(settings.grid, ("file",), path.parent),
        "accounting": _moved(settings.accounting, ("report", "prices"), path.parent),
    }
    return recipe.model_copy(update={"settings": settings.model_copy(update=changes)})


def _model(source: str | EndpointRef, folder: Path) -> str | EndpointRef:
    return _beside(source, folder, CATALOGUE) if isinstance(source, str) else source


def _moved(settings: _V, keys: Sequence[str], folder: Path) -> _V:
    """Settings whose file names are looked for beside the recipe first."""
    given = {key: getattr(settings, key) for key in keys}
    found = {k: _beside(v, folder, ()) for k, v in given.items() if isinstance(v, str)}
    return settings.model_copy(update=found)


def _beside(source: str, folder: Path, names: Collection[str]) -> str:
    """A relative path is looked for beside the recipe first; a name means what it names."""
    beside = folder / source
    if source in names or Path(source).is_absolute() or not beside.exists():
        return source
    return str(beside)


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
