"""Sweep: a recipe at every point of a grid of settings; each point is an ordinary run.

    decoding.max_tokens=16,32 rag.k=1,2   two axes, four points
    zero-shot                             touched by one of them: two runs, zero-shot+max_tokens=16
    rag                                   touched by both: four runs, rag+k=1,max_tokens=16

The jobs of all points go through one meter, one pool and one baseline, as those of a recipe do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .answering.responses import ResponseCache
from .errors import RecipeError
from .holds import Hold, no_hold
from .job import Job, Resolver
from .measure.record import Record
from .ranks import joined
from .recipe import Recipe
from .recipe_file import load_recipe
from .run import books_of, run_jobs
from .strategies import Progress
from .strategies.base import no_progress
from .sweep_grid import Axis, Place, grid, labels_of, point_name, shown, spelled
from .values import digest


@dataclass(frozen=True)
class Point:
    """The recipe at one point of the grid, and its runs: the jobs of all seeds, by name."""

    recipe: Recipe
    runs: Mapping[str, tuple[Job, ...]]


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
    hold: Hold = no_hold,
) -> tuple[Path, list[Record]]:
    """Run what is missing of a recipe's grid; the folder of its records, and the records.

    Everything is checked before anything runs. Without a `split` of recipe or overrides the
    validation questions are asked, where there are any: what is chosen by the test questions is
    not tested by them.
    """

    def asked_for() -> tuple[list[Job], Recipe]:
        return _jobs_of_grid(where, overrides, quick, allow_overlap, say, step)

    jobs, first = joined().same(asked_for)
    folder = runs / f"{first.name}-sweep"
    records = run_jobs(
        by_weights(jobs),
        first.settings,
        books_of(first.settings),
        folder,
        progress=progress,
        say=say,
        debug=debug,
        responses=responses,
        hold=hold,
    )
    return folder, records


def _jobs_of_grid(
    where: str,
    overrides: Sequence[str],
    quick: bool,
    allow_overlap: bool,
    say: Callable[[str], None],
    step: Callable[[str], None] | None,
) -> tuple[list[Job], Recipe]:
    """The runs of all points, checked, and the recipe at the first of them."""
    axes, settings_of = grid(overrides)
    recipes = {place: load_recipe(where, given) for place, given in settings_of.items()}
    if quick:
        recipes = {place: recipe.quicker() for place, recipe in recipes.items()}
    first = next(iter(recipes.values()))
    books_of(first.settings)  # tells a wrong place before anything is fetched
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
    return jobs, first


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
    labels = labels_of([axis.key for axis in axes])
    texts = [shown(axis.values) for axis in axes]
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
            settings = {labels[n]: texts[n][place[n]] for n in touching}
            name = point_name(run, settings)
            written = {labels[n]: axes[n].values[place[n]] for n in touching}
            if not name.endswith(spelled(written)):
                given = ", ".join(f"{axes[n].key}={axes[n].values[place[n]]}" for n in touching)
                say(f"{name} is {run} with {given}")
            for job in points[place].runs[run]:
                assert job.recipe is not None  # as it is of a recipe
                as_run = {"name": name, "runs": {name: job.recipe["runs"][run]}}
                jobs.append(replace(job, name=name, recipe={**job.recipe, **as_run}))
    if idle:
        raise RecipeError(
            f'"{axes[min(idle)].key}" changes no run of this recipe: none has a step that reads '
            "it, or nothing that is measured depends on it"
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
