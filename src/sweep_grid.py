"""The grid of a sweep: its axes, told from overrides, its points, and what they are called."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from .errors import RecipeError
from .recipe import RUN_NAME
from .values import digest

MOST_POINTS = 256
"""A slip of the fingers makes thousands; each point of a grid is minutes of a machine."""
LONGEST_VALUE = 24
"""Characters of a value that a name shows; a longer one is named by its digest."""

Place = tuple[int, ...]
"""A point of the grid: for each axis the number of its value."""


@dataclass(frozen=True)
class Axis:
    """A setting and the values it takes, as YAML."""

    key: str
    values: tuple[str, ...]


def axis_of(override: str) -> Axis | None:
    """``rag.k=1,2,4`` as an axis; None for an ordinary override, ``rag.k=2`` or ``seeds=[0,1]``.

    The commas that part values are those that would part them in a YAML list, so brackets, braces
    and quotes protect theirs. What is no YAML is told where it is applied.
    """
    key, _, text = override.partition("=")
    try:
        node = yaml.compose(f"[{text}]", Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    assert node is not None  # a list, if an empty one
    found = [text[n.start_mark.index - 1 : n.end_mark.index - 1].strip() for n in node.value]
    return Axis(key, tuple(found)) if len(found) > 1 else None


def grid(overrides: Sequence[str]) -> tuple[list[Axis], dict[Place, list[str]]]:
    """The axes among overrides, and the overrides that make each point of their grid.

    Raises `RecipeError` without an axis, for a key or a value given twice, and above 256 points.
    """
    given = [axis_of(override) for override in overrides]
    axes = [axis for axis in given if axis is not None]
    if not axes:
        raise RecipeError(
            "a sweep needs a setting with several values, such as rag.k=1,2,4"
            + (f", and {' '.join(overrides)} has none" if overrides else "")
            + "; to run a recipe as it is, use `wattune compare`"
        )
    keys = [override.partition("=")[0] for override in overrides]
    for axis in axes:
        if keys.count(axis.key) > 1:
            raise RecipeError(f'"{axis.key}" is given twice; write all its values after one "="')
        twice = [value for value in axis.values if axis.values.count(value) > 1]
        if twice:
            raise RecipeError(f'"{axis.key}": {twice[0]} is given twice')
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_POINTS:
        sizes = " x ".join(str(len(axis.values)) for axis in axes)
        raise RecipeError(
            f"the grid has {count} points ({sizes}) and {MOST_POINTS} are the most; give fewer "
            "values, or sweep the settings one after another"
        )
    points: dict[Place, list[str]] = {}
    for place in itertools.product(*[range(len(axis.values)) for axis in axes]):
        chosen = iter([f"{a.key}={a.values[n]}" for a, n in zip(axes, place, strict=True)])
        points[place] = [
            override if axis is None else next(chosen)
            for override, axis in zip(overrides, given, strict=True)
        ]
    return axes, points


def labels_of(keys: Sequence[str]) -> list[str]:
    """The last part of each key, or all of it where two keys end alike."""
    last = [key.rpartition(".")[2] for key in keys]
    names = [key if last.count(end) > 1 else end for key, end in zip(keys, last, strict=True)]
    return [_plain(name) for name in names]


def shown(values: Iterable[str]) -> list[str]:
    """The values of an axis as a name can show them; by digest where they would read the same."""
    plain = [_plain(value) for value in values]
    if all(plain) and len(set(plain)) == len(plain) and max(map(len, plain)) <= LONGEST_VALUE:
        return plain
    return [digest(value)[:8] for value in values]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_").rstrip("._")


def spelled(settings: Mapping[str, str]) -> str:
    """What a name has behind that of its run: ``+k=2,max_tokens=16``."""
    each = [f"{label}={value}" for label, value in sorted(settings.items())]
    return "+" + ",".join(each) if each else ""


def point_name(run: str, settings: Mapping[str, str]) -> str:
    """The name of a run at a point, such as ``rag+k=2,max_tokens=16``.

    By the label of each setting, so that the order of the axes names nothing anew. Where that is
    too long for a name it ends in the point's digest.
    """
    name = run + spelled(settings)
    if re.fullmatch(RUN_NAME, name):
        return name
    return f"{run[:40]}+point={digest([run, dict(settings)])[:8]}"
