"""A frugal comparison of a recipe's runs: the rule of `decision`, fed by trials."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..answering.responses import ResponseCache
from ..errors import InputError, WattuneError
from ..files import storage
from ..holds import Hold, Holds, IntensityLimit, no_hold
from ..job import Job, jobs_of
from ..measure.meter import Meter
from ..measure.quality import better, mean, metric_of
from ..measure.record import Record
from ..measure.store import load_records
from ..recipe import Recipe
from ..rehearsal import refusal
from ..run import books_of, run_jobs
from ..strategies import Progress
from ..strategies.base import no_progress
from ..tasks.task import Task
from .decision import Contender, State, Stop, next_step, standing
from .order import Cost, Expected, cheapest_first, cost_of, expected_cost, together_joules
from .trials import Scores, Trials
from .wording import said_of

ORDER_SEED = 0
"""Of the order of asking: always the same, so that what was asked is found again."""
NOT_BY_QUESTION = {
    "agreement": "it compares answers to several questions",
    "semantic": "it may be below 0",
}
"""Metrics whose figure is a mean, but not of a score from 0 to 1 a question."""


@dataclass(frozen=True)
class Frugal:
    """How a frugal comparison ended.

    `jobs` are cheapest first, as the contenders of `state`, with what each is `expected` to take in
    joules. `spent_j` is what this comparison drew, all in all; `whole_j` what all runs would have
    drawn to prepare, load and answer all questions, None where nobody knows of one of them.
    `record` is that of the run to take, where it was to be finished.
    """

    metric: str
    jobs: tuple[Job, ...]
    expected: tuple[float | None, ...]
    state: State
    stop: Stop
    spent_j: float | None
    whole_j: float | None
    record: Record | None = None


def compare_frugally(
    recipe: Recipe,
    folder: Path,
    *,
    floor: float | None,
    metric: str | None = None,
    finish: bool = False,
    expected: Expected | None = None,
    plan: Callable[[], object] | None = None,
    refused: Callable[[Job], str] = refusal,
    allow_overlap: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
    step: Callable[[str], None] | None = None,
    debug: bool = False,
    responses: ResponseCache | None = None,
    hold: Hold = no_hold,
) -> Frugal:
    """Find the cheapest run of a recipe whose `metric` (the task's first) reaches the `floor`, by
    asking no more than that takes; without a floor, or where none reaches it, the best.

    `expected` says what a run will take, by default the records in `folder` and plans; where it
    does not know of every run, `plan` is called first. What `refused` gives a reason for is not
    started. Of a run with several seeds the first is tried. Finished records in `folder` are used
    as they are. With `finish` the run to take is then run whole, which asks it the other questions.
    Raises `InputError` for a metric or a floor that cannot be decided by.
    """
    settings = recipe.settings
    books = books_of(settings)
    jobs = _first_of_each(jobs_of(recipe, allow_overlap=allow_overlap, say=step), say)
    name = decidable(jobs[0].task, metric, floor)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    earlier = load_records(folder)
    estimate = expected or (lambda job: expected_cost(job, earlier))
    why = {job.key: refused(job) for job in jobs}
    able = [job for job in jobs if not why[job.key]]
    questions = len(jobs[0].task.split(jobs[0].split))
    order = random.Random(ORDER_SEED).sample(range(questions), questions)
    records: dict[int, Record] = {}

    def says(job: Job, scores: Scores) -> str:
        return said_of(state.scored(jobs.index(job), scores), jobs.index(job), name)

    holds = [hold]
    if settings.pause_above_g_per_kwh is not None:
        holds.append(IntensityLimit(books.intensity_now, settings.pause_above_g_per_kwh))
    with Meter(settings.place, settings.intensity_g_per_kwh) as meter:
        with meter.phase("plan") as planning:
            if plan is not None and any(estimate(job) is None for job in able):
                _try(plan, say)
        jobs = [*cheapest_first(able, estimate), *(job for job in jobs if why[job.key])]
        contenders = tuple(Contender(job.name, out=why[job.key]) for job in jobs)
        state = State(contenders, tuple(order), floor)
        trials = Trials(
            metric=name,
            order=order,
            says=says,
            meter=meter,
            books=books,
            records=folder,
            progress=progress,
            debug=debug,
            responses=responses,
            hold=Holds(progress, say, *holds),
        )
        mark = trials.pool.mark()
        try:
            with meter.phase("frugal") as whole:
                while not isinstance(decided := next_step(state), Stop):
                    run = decided.run
                    racing = standing(state, run).word == "dropped"
                    records[run], scores = trials.ask(jobs[run], decided.upto)
                    short = len(scores) < decided.upto
                    if short:
                        state = state.without(run, records[run].reason)
                    state = state.scored(run, scores)
                    say(f"{jobs[run].name}: {said_of(state, run, name, racing=racing)}")
            asking = trials.pool.with_endpoints(whole.result, mark)
        finally:
            trials.close()
    costs = tuple(map(estimate, jobs))
    whole_j = _whole(state, records, costs)
    spent = [planning.result.energy_j, asking.energy_j]
    record = None
    taken = decided.best if floor is None else decided.chosen
    if finish and taken is not None:
        (record,) = run_jobs(
            [jobs[taken]], settings, books, folder,
            progress=progress, say=say, debug=debug, responses=responses, hold=hold,
        )  # fmt: skip
        if not any(one.key == record.key and one.status == "done" for one in earlier):
            spent.append(record.spent.energy_j)
    return Frugal(
        metric=name,
        jobs=tuple(jobs),
        expected=tuple(None if cost is None else cost.joules for cost in costs),
        state=state,
        stop=decided,
        spent_j=_sum(spent),
        whole_j=whole_j,
        record=record,
    )


def decidable(task: Task, metric: str | None, floor: float | None) -> str:
    """The metric to decide by, the task's first where none is named.

    Raises `InputError` for one that the task does not name, that is not a mean of scores from 0 to
    1 by question, or that is better when lower; and for a floor outside of (0, 1].
    """
    name = metric or task.metrics[0]
    base = name.partition("/")[0]
    if base not in task.metrics:
        raise InputError(
            f'metric "{name}": task {task.name} is scored by {", ".join(task.metrics)}; name one '
            "of these, or add it to the task's metrics"
        )
    why = NOT_BY_QUESTION.get(base, "")
    if metric_of(base).total is not mean:
        why = "it is no mean over questions"
    elif better(name) == "lower":
        why = "it is better when lower"
    if why:
        raise InputError(
            f"a frugal comparison cannot decide by {name}: {why}; name another metric with --metric"
        )
    if floor is not None and not 0 < floor <= 1:
        raise InputError(f"a floor of {floor:g}: a share above 0 and at most 1 is expected")
    return name


def _try(plan: Callable[[], object], say: Callable[[str], None]) -> None:
    """Plan; where that cannot be done the order is by the kinds of steps, which needs no plan."""
    try:
        plan()
    except WattuneError as error:
        say(f"there is no plan to order the runs by: {error}")


def _sum(joules: Sequence[float | None]) -> float | None:
    """The joules together; None where one of them is unknown."""
    known = [one for one in joules if one is not None]
    return sum(known) if len(known) == len(joules) else None


def _first_of_each(jobs: list[Job], say: Callable[[str], None]) -> list[Job]:
    """Each run once, with the first of its seeds."""
    first = {job.name: job for job in reversed(jobs)}
    if len(first) < len(jobs):
        say("of runs with several seeds, the first seed alone is tried")
    return [job for job in jobs if first[job.name] is job]


def _whole(
    state: State, records: Mapping[int, Record], expected: Sequence[Cost | None]
) -> float | None:
    """What all runs take whole that can run: those that were started by what they took, the others
    as expected, and a stage that several share once."""
    return together_joules(
        cost_of(records[run], state.questions) if run in records else expected[run]
        for run, contender in enumerate(state.contenders)
        if not contender.out
    )
