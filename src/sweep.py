"""Sweep: a recipe at every point of a grid of settings; each point is an ordinary run.

    decoding.max_tokens=16,32 rag.k=1,2   two axes, four points
    zero-shot                             touched by one of them: two runs, zero-shot+max_tokens=16
    rag                                   touched by both: four runs, rag+k=1,max_tokens=16

The jobs of all points go through one meter, one pool and one baseline, as those of a recipe do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from .errors import RecipeError
from .job import Job, Resolver
from .measure.record import Record
from .recipe import RUN_NAME, Recipe, resolved
from .recipe_file import load_recipe
from .responses import ResponseCache
from .run import books_of, run_jobs
from .strategies import Progress
from .strategies.base import no_progress
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


@dataclass(frozen=True)
class Point:
    """The recipe at one point of the grid, and its runs: the jobs of all seeds, by name."""

    recipe: Recipe
    runs: Mapping[str, tuple[Job, ...]]


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
            "a sweep needs a setting with several values, such as rag.k=1,2,4; to run a recipe "
            "as it is, use `wattune compare`"
        )
    keys = [override.partition("=")[0] for override in overrides]
    for axis in axes:
        if keys.count(axis.key) > 1:
            raise RecipeError(f'"{axis.key}" is given twice; write all its values after one "="')
        known = [repr(yaml.safe_load(value)) for value in axis.values]
        twice = [v for v, value in zip(axis.values, known, strict=True) if known.count(value) > 1]
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


def run_sweep(
    where: str,
    overrides: Sequence[str],
    runs: Path,
    *,
    quick: bool = False,
    allow_overlap: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
    step: Callable[[str], None] | None = None,
    debug: bool = False,
    responses: ResponseCache | None = None,
) -> tuple[Path, list[Record]]:
    """Run what is missing of a recipe's grid; the folder of its records, and the records.

    Everything is checked before anything runs. Without a `split` of recipe or overrides the
    validation questions are asked, where there are any: what is chosen by the test questions is
    not tested by them.
    """
    axes, settings_of = grid(overrides)
    recipes = {place: load_recipe(where, given) for place, given in settings_of.items()}
    if quick:
        recipes = {place: recipe.quicker() for place, recipe in recipes.items()}
    first = next(iter(recipes.values()))
    books = books_of(first.settings)
    resolver = Resolver(allow_overlap=allow_overlap, say=step)
    points: dict[Place, Point] = {}
    told: dict[str, None] = {}
    for place, recipe in recipes.items():
        asked, sentence = _validated(recipe, resolver)
        told |= {sentence: None} if sentence else {}
        by_run = {
            name: tuple(jobs)
            for name, jobs in itertools.groupby(resolver.jobs(asked), key=lambda job: job.name)
        }
        points[place] = Point(asked, by_run)
    for sentence in told:
        say(sentence)
    jobs = point_jobs(axes, points, say)
    say(f"a grid of {len(points)} points: {len(jobs)} runs")
    folder = runs / f"{first.name}-sweep"
    records = run_jobs(
        by_weights(jobs),
        first.settings,
        books,
        folder,
        progress=progress,
        say=say,
        debug=debug,
        responses=responses,
    )
    return folder, records


def _validated(recipe: Recipe, resolver: Resolver) -> tuple[Recipe, str]:
    """The recipe, asking the validation questions where nobody said which, and what to say."""
    settings = recipe.settings
    if "split" in settings.model_fields_set:
        return recipe, ""
    task, _ = resolver.task(settings)
    if not task.validation:
        return recipe, (
            f"task {task.name} has no validation questions, so the test questions are asked: the "
            "best point looks better there than it is"
        )
    changed = settings.model_copy(update={"split": "validation"})
    return recipe.model_copy(update={"settings": changed}), (
        "the validation questions are asked, so that the test questions can still test what is "
        "chosen (split=test asks those)"
    )


def point_jobs(
    axes: Sequence[Axis], points: Mapping[Place, Point], say: Callable[[str], None]
) -> list[Job]:
    """The jobs of all points under the names of their points, each run once.

    An axis is part of a run's name where it touches the run: where its values alone lead to other
    keys. Raises `RecipeError` for an axis that touches none.
    """
    labels = _labels([axis.key for axis in axes])
    shown = [_shown(axis.values) for axis in axes]
    jobs: list[Job] = []
    idle = set(range(len(axes)))
    for run in dict.fromkeys(name for point in points.values() for name in point.runs):
        keys = {
            place: tuple(job.key for job in point.runs[run])
            for place, point in points.items()
            if run in point.runs
        }
        touching = _touching(keys, len(axes))
        idle -= set(touching)
        seen = set()
        for place, key in keys.items():
            if key in seen:
                continue
            seen.add(key)
            settings = {labels[n]: shown[n][place[n]] for n in touching}
            name = point_name(run, settings)
            written = {labels[n]: axes[n].values[place[n]] for n in touching}
            if not name.endswith(_spelled(written)):
                given = ", ".join(f"{axes[n].key}={axes[n].values[place[n]]}" for n in touching)
                say(f"{name} is {run} with {given}")
            recipe = points[place].recipe
            jobs += [
                replace(
                    job,
                    name=name,
                    recipe=resolved(name, recipe.settings, job.strategies, job.seed),
                )
                for job in points[place].runs[run]
            ]
    if idle:
        raise RecipeError(
            f'"{axes[min(idle)].key}" changes no run of this recipe: none has a step that reads it, or nothing '
            "that is measured depends on it"
        )
    return jobs


def _touching(keys: Mapping[Place, tuple[str, ...]], count: int) -> list[int]:
    """The axes along which a run's key changes while all others stand still."""
    touching = []
    for axis in range(count):
        along: dict[Place, set[tuple[str, ...]]] = {}
        for place, key in keys.items():
            along.setdefault((*place[:axis], *place[axis + 1 :]), set()).add(key)
        if any(len(found) > 1 for found in along.values()):
            touching.append(axis)
    return touching


def _labels(keys: Sequence[str]) -> list[str]:
    """The last part of each key, or all of it where two keys end alike."""
    last = [key.rpartition(".")[2] for key in keys]
    names = [key if last.count(end) > 1 else end for key, end in zip(keys, last, strict=True)]
    return [_plain(name) for name in names]


def _shown(values: Iterable[str]) -> list[str]:
    """The values of an axis as a name can show them; by digest where they would read the same."""
    plain = [_plain(value) for value in values]
    if all(plain) and len(set(plain)) == len(plain) and max(map(len, plain)) <= LONGEST_VALUE:
        return plain
    return [digest(value)[:8] for value in values]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_").rstrip("._")


def _spelled(settings: Mapping[str, str]) -> str:
    each = [f"{label}={value}" for label, value in sorted(settings.items())]
    return "+" + ",".join(each) if each else ""


def point_name(run: str, settings: Mapping[str, str]) -> str:
    """The name of a run at a point, such as ``rag+k=2,max_tokens=16``.

    By the label of each setting, so that the order of the axes names nothing anew. Where that is
    too long for a name it ends in the point's digest.
    """
    name = run + _spelled(settings)
    if re.fullmatch(RUN_NAME, name):
        return name
    return f"{run[:40]}+point={digest([run, dict(settings)])[:8]}"


def by_weights(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, those that answer with the same weights one after another; else as they come.

    One set of weights is in memory at a time. Which it is follows from the model and from the
    steps up to the last one that depends on the machine: tuning, pruning, quantising.
    """
    ranks: dict[str, int] = {}

    def rank(job: Job) -> int:
        makers = [n for n, step in enumerate(job.strategies, 1) if "machine" in step.reads]
        steps = job.strategies[: max(makers, default=0)]
        of = [job.system.weights_key(), job.seed if steps else 0, [s.identity() for s in steps]]
        return ranks.setdefault(digest(of), len(ranks))

    return sorted(jobs, key=rank)
