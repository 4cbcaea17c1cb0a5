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
from .files import remove_leftovers, storage
from .job import Job, check_task, jobs_of
from .measure.accounts.books import Books
from .measure.meter import Meter
from .measure.record import Record
from .recipe import Recipe, Settings, resolved
from .runner import Runner
from .strategies import Progress, Strategy
from .strategies.base import no_progress
from .system import EndpointSystem, System
from .tasks.task import Split, Task


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
    runs: Path | str | None = None,
    allow_overlap: bool = False,
    responses: ResponseCache | None = None,
) -> Record:
    """Customise `system` by `strategies` in order, answer the task's questions, and measure it all.

    With `runs` the record and its answers are written there, and a finished record of the same
    run is returned instead of running again. Without a `meter` one without a place is used, so
    emissions stay unknown. `books` say how energy becomes grams and money; without them the meter's
    place does. A run that cannot be done here comes back with status "skipped". With `responses`
    what a model replied before is not asked for again; it carries its first joules.
    """
    name = name or "+".join(strategy.type for strategy in strategies) or "base"
    settings = Settings(
        task=str(task.folder or task.name),
        model=system.endpoint if isinstance(system, EndpointSystem) else system.model.name,
        split=split,
        decoding=system.decoding,
        realtime_questions=realtime_questions,
    )
    job = Job(
        name=name,
        strategies=tuple(strategies),
        task=task,
        system=system,
        split=split,
        seed=seed,
        realtime_questions=realtime_questions,
        recipe=resolved(name, settings, strategies, seed),
        flags=check_task(task, allow_overlap),
    )
    used = meter or Meter()
    folder = Path(runs) if runs is not None else None
    runner = Runner(meter=used, books=books, records=folder, responses=responses)
    try:
        return runner.run(job)[0]
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
) -> list[Record]:
    """Run what is missing of a recipe; its records in the recipe's order.

    Records lie in `folder`; finished ones are reused, and `say` is told so.
    """
    settings = recipe.settings
    books = books_of(settings)
    jobs = jobs_of(recipe, allow_overlap=allow_overlap, say=step)
    return run_jobs(
        jobs,
        settings,
        books,
        folder,
        progress=progress,
        say=say,
        debug=debug,
        responses=responses,
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
) -> list[Record]:
    """Run what is missing of these jobs with one meter, one pool and one baseline.

    `settings` say where that meter stands and how long the baseline takes. Records lie in
    `folder` and come back in the order of the jobs; finished ones are reused. `responses` keeps
    replies and finds them again, where it is given.
    """
    meter = Meter(settings.place, settings.intensity_g_per_kwh)
    with storage(folder):  # before any run, not after the first one
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    records: list[Record] = []
    reused = 0
    with meter:
        runner = Runner(
            meter=meter,
            books=books,
            records=folder,
            progress=progress,
            debug=debug,
            baseline_s=settings.baseline_s,
            responses=responses,
        )
        try:
            for number, job in enumerate(jobs):
                progress("runs", number, len(jobs))
                record, found = runner.run(job)
                reused += found
                if not found:
                    say(_remark(record))
                records.append(record)
            progress("runs", len(jobs), len(jobs))
        finally:
            runner.close()
    if reused:
        say(f"{reused} of {len(jobs)} runs were finished before and are reused ({folder})")
    return records


def _remark(record: Record) -> str:
    if record.status != "done":
        return f"{record.name}: {record.status}: {record.reason}"
    shared = [stage.strategy for stage in record.stages if stage.reused]
    note = f" (stages reused: {', '.join(shared)})" if shared else ""
    return f"{record.name}: done in {record.environment['wall_s']:.0f} s{note}"
