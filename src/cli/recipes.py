"""The verbs that begin a comparison: a task of one's own, shipped recipes, a check before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .running import AllowOverlap, NoProgress, Overrides, running


def init(
    folder: Annotated[Path, typer.Argument(help="A folder of documents.")],
    questions: Annotated[
        Path | None, typer.Option(help="A CSV or JSON-lines file of questions and answers.")
    ] = None,
    draft: Annotated[
        int | None, typer.Option(help="Let a model draft so many questions, for you to review.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Who drafts: a name, a folder, a hub id or {endpoint: ...}.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the passages, and second questions.")] = 0,
    place: Annotated[str | None, typer.Option(help="Country or region, for gCO₂e.")] = None,
    no_progress: NoProgress = False,
) -> None:
    """Make a task of your own folder of documents, and a recipe that runs it.

    With --draft a model writes questions to FOLDER/draft.csv; review them, then run init again.

    Examples: wattune init handbook --questions faq.csv ; wattune init handbook --draft 200
    """
    if draft is not None:
        if questions is not None:
            raise InputError("give --questions or --draft, not both")
        _draft(folder, draft, model, seed, place, no_progress)
        return
    if model is not None:
        raise InputError("--model says who drafts questions; it goes with --draft")
    from ..measure.statistics import questions_needed
    from ..tasks.scaffold import init_task

    report = init_task(folder, questions=questions, questions_needed=questions_needed())
    typer.echo(
        f"{report.documents} documents; {report.questions} questions: {report.train} training, "
        f"{report.validation} validation, {report.test} test"
    )
    for sentence in report.review:
        typer.echo(sentence)
    for path in report.made:
        typer.echo(f"wrote {path}")
    for sentence in report.missing:
        typer.echo(f"missing: {sentence}")
    if report.test:
        typer.echo(f"next: wattune compare {folder / 'recipe.yaml'}")


def _draft(
    folder: Path, count: int, model: str | None, seed: int, place: str | None, no_progress: bool
) -> None:
    """Draft questions and say what to do with them."""
    from ..drafting import draft_questions, model_source
    from ..models.catalogue import PACKAGED_MODEL

    source = model_source(model or PACKAGED_MODEL)
    with running(no_progress) as progress:
        report = draft_questions(
            folder, count, model=source, seed=seed, place=place, progress=progress
        )
    for sentence in report.sentences():
        typer.echo(sentence)
    for file in report.made:
        typer.echo(f"wrote {file}")
    typer.echo(
        "next: mend the questions and answers in draft.csv, write no under keep where one is wrong "
        f"or odd, and run: wattune init {folder}"
    )


def list_recipes() -> None:
    """List the shipped recipes and what each one does."""
    from ..files import shipped_folder

    paths = sorted(shipped_folder().glob("*.yaml"))
    width = max(len(path.stem) for path in paths) + 2
    for path in paths:
        # The first line says how to launch it, the second what it is.
        about = path.read_text(encoding="utf-8").split("\n", 2)[1].lstrip("# ")
        typer.echo(f"{path.stem:<{width}}{about}")


def cp(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe: lora")],
    to: Annotated[
        Path, typer.Argument(help="Where to: a folder, a new file, or - to print.")
    ] = Path("."),
) -> None:
    """Copy a shipped recipe, to be edited. Example: wattune cp lora my-lora.yaml"""
    from ..files import read_text, write_text
    from ..recipe_file import find_recipe

    source = find_recipe(recipe)
    if str(to) == "-":
        typer.echo(read_text(source), nl=False)
        return
    target = to / source.name if to.is_dir() else to
    if target.exists():
        raise InputError(f"{target} exists already; name another file")
    write_text(target, read_text(source))
    typer.echo(str(target))


def validate(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one.")],
    overrides: Overrides = None,
    allow_overlap: AllowOverlap = False,
) -> None:
    """Check a recipe, its task and its model without running anything.

    Runs that are sure to be skipped are named; where all are, the exit code is 2.
    """
    from ..job import jobs_of, order_of_models
    from ..recipe_file import load_recipe
    from ..rehearsal import refusal
    from ..run import books_of

    loaded = load_recipe(recipe, overrides or [])
    books_of(loaded.settings)
    jobs = jobs_of(loaded, allow_overlap=allow_overlap)
    for job in jobs:
        _ = job.key  # finds what each strategy names: an embedder that is none, or unknown
    if loaded.settings.models:
        typer.echo(order_of_models(jobs))
    task = jobs[0].task
    refused = {
        job.key: f"{job.name}: will be skipped: {why}" for job in jobs if (why := refusal(job))
    }
    for sentence in dict.fromkeys(refused.values()):  # several seeds, one sentence
        typer.echo(sentence)
    if len(refused) == len(jobs):
        raise InputError("every run of this recipe would be skipped")
    typer.echo(
        f"fine: {len(jobs) - len(refused)} run(s) on {task.name}: {len(task.train)} training, "
        f"{len(task.validation)} validation, {len(task.test)} test questions, "
        f"{len(task.documents)} documents"
    )
