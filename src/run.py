"""The spine: fold the strategies, meter the stages, answer, score, write the Record.

recipe ─▶ task, base System
for each run:  fold(strategies) ─▶ System   (each stage built once, metered as "prepare")
               open ─▶ Session               (metered as "load", charged to every run)
               answer, all questions at once  (metered as "answer")
               answer a few, one at a time    (metered as "realtime")
               score ─▶ Record, written beside its answers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .answering.responses import ResponseCache
from .endpoint_ref import EndpointRef
from .files import remove_leftovers, storage
from .holds import Hold, Holds, IntensityLimit, no_hold
from .job import Job, check_task, jobs_of, order_of_models, revision_of
from .machine import check_alike
from .measure.accounts.books import Books
from .measure.general import HowMany
from .measure.meter import Meter
from .measure.record import Record
from .ranks import joined
from .recipe import Recipe, Settings, resolved
from .rehearsal import refusal
from .runner import Runner
from .strategies import Progress, Strategy
from .strategies.base import no_progress
from .system import ClassicalSystem, EndpointSystem, System
from .tasks.task import Split, Task


def _model(system: System) -> str | EndpointRef:
    """The model as a recipe names it; a classifier has a stage in place of one."""
    if isinstance(system, EndpointSystem):
        return system.endpoint
    return system.revision if isinstance(system, ClassicalSystem) else system.model.name


def run(
    strategies: Sequence[Strategy],
    task: Task,
    system: System,
    *,
    meter: Meter | None = None,
    books: Books | None = None,
    name: str | None = None,
    seed: int = 0,
    split: Split = "test",
    realtime_questions: int = 20,
    general_questions: HowMany = True,
    runs: Path | str | None = None,
    refresh: bool = False,
    allow_overlap: bool = False,
    responses: ResponseCache | None = None,
) -> Record:
    """Customise `system` by `strategies` in order, answer the task's questions, and measure it all.

    With `runs` the record and its answers are written there, and a finished record of the same
    run is returned instead of running again. Without a `meter` one without a place is used, so
    emissions stay unknown. `books` say how energy becomes grams and money; without them the meter's
    place does. A run that cannot be done here comes back with status "skipped". With `responses`
    what a model replied before is not asked for again; it carries its first joules. Where the run
    changes the weights, `general_questions` are asked too, to see what they forgot: all (True),
    none, or so many. With `refresh` what was prepared is brought up to date with the task's
    revision.
    """
    name = name or "+".join(strategy.type for strategy in strategies) or "base"
    settings = Settings(
        task=str(task.folder or task.name),
        model=_model(system),
        split=split,
        decoding=system.decoding,
        realtime_questions=realtime_questions,
        general_questions=general_questions,
        refresh=refresh,
    )
    revision = revision_of(task) if refresh else None
    flags = [flag for one in (task, revision) if one for flag in check_task(one, allow_overlap)]
    job = Job(
        name=name,
        strategies=tuple(strategies),
        task=task,
        system=system,
        split=split,
        seed=seed,
        realtime_questions=realtime_questions,
        general_questions=general_questions,
        recipe=resolved(name, settings, strategies, seed),
        revision=revision,
        flags=tuple(dict.fromkeys(flags)),
    )
    used = meter or Meter()
    folder = Path(runs) if runs is not None else None
    ranks = joined()
    check_alike(ranks)
    runner = Runner(meter=used, books=books, records=folder, responses=responses, ranks=ranks)
    try:
        return ranks.each(lambda: runner.run(job)[0])[0]
    finally:
        runner.close()
        if meter is None:
            used.close()


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    allow_overlap: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
    step: Callable[[str], None] | None = None,
    debug: bool = False,
    responses: ResponseCache | None = None,
    hold: Hold = no_hold,
    flags: tuple[str, ...] = (),
) -> list[Record]:
    """Run what is missing of a recipe; its records in the recipe's order.

    Records lie in `folder`; finished ones are reused, and `say` is told so. Those made now get the
    `flags`.
    """
    settings = recipe.settings
    books = books_of(settings)
    jobs = joined().same(lambda: jobs_of(recipe, allow_overlap=allow_overlap, say=step))
    if settings.models and joined().main:
        say(order_of_models(jobs))
    return run_jobs(
        jobs,
        settings,
        books,
        folder,
        progress=progress,
        say=say,
        debug=debug,
        responses=responses,
        hold=hold,
        flags=flags,
    )


def books_of(settings: Settings) -> Books:
    """The books of a recipe; making them first tells a wrong place before anything is fetched."""
    return Books(settings.place, settings.intensity_g_per_kwh, settings.grid, settings.accounting)


def run_jobs(
    jobs: Sequence[Job],
    settings: Settings,
    books: Books,
    folder: Path,
    *,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
    debug: bool = False,
    responses: ResponseCache | None = None,
    hold: Hold = no_hold,
    flags: tuple[str, ...] = (),
) -> list[Record]:
    """Run what is missing of these jobs with one meter, one pool and one baseline.

    `settings` say where that meter stands and how long the baseline takes. Records lie in
    `folder` and come back in the order of the jobs; finished ones are reused. `responses` keeps
    replies and finds them again, where it is given. While `hold` gives a reason, or the grid is
    above the settings' limit, trainings pause. Of several processes that were launched
    together all call this with the same jobs, and all get the same records.
    """
    ranks = joined()
    check_alike(ranks)
    ranks.same(lambda: _ready(folder))
    meter = Meter(settings.place, settings.intensity_g_per_kwh)
    holds = [hold]
    if settings.pause_above_g_per_kwh is not None:
        holds.append(IntensityLimit(books.intensity_now, settings.pause_above_g_per_kwh))
    refused = {job.key: f"{job.name}: skipped: {why}" for job in jobs if (why := refusal(job))}
    for sentence in dict.fromkeys(refused.values() if ranks.main else ()):  # seeds say the same
        say(sentence)

    names = [job.name for job in jobs]

    def run_all() -> list[Record]:
        runner = Runner(
            meter=meter,
            books=books,
            records=folder,
            progress=progress,
            debug=debug,
            baseline_s=settings.baseline_s,
            responses=responses,
            hold=Holds(progress, say, *holds),
            flags=flags,
            ranks=ranks,
        )
        records, reused = [], 0
        try:
            for number, job in enumerate(jobs):
                runner.progress("runs", number, len(jobs))
                record, found = runner.run(job)
                reused += found
                if not found and ranks.main and job.key not in refused:
                    say(_remark(record, seeds=names.count(job.name)))
                records.append(record)
            runner.progress("runs", len(jobs), len(jobs))
        finally:
            runner.close()
        if reused and ranks.main:
            say(f"{reused} of {len(jobs)} runs were finished before and are reused ({folder})")
        return records

    with meter:
        return ranks.each(run_all)[0]


def _ready(folder: Path) -> None:
    """Make the folder of records, before any run, not after the first one."""
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)


def _remark(record: Record, *, seeds: int) -> str:
    name = f"{record.name} (seed {record.seed})" if seeds > 1 else record.name
    if record.status != "done":
        return f"{name}: {record.status}: {record.reason}"
    shared = [stage.strategy for stage in record.stages if stage.reused]
    note = f" (stages reused: {', '.join(shared)})" if shared else ""
    return f"{name}: done in {record.environment['wall_s']:.0f} s{note}"
