"""What `compare --frugal` does: the cheapest run that reaches a floor, by asking no more than that
takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..measure.processes import launch
from .planning import planned
from .running import by_signal, kept_answers, running

Frugal = Annotated[
    bool,
    typer.Option(
        "--frugal",
        help="Cheapest run first, in growing batches of questions, until one surely reaches "
        "--min-quality; the dearer ones are not started.",
    ),
]
Finish = Annotated[
    bool,
    typer.Option("--finish", help="With --frugal: run the chosen run whole, for its record."),
]


def compare_frugal(
    recipe: str,
    overrides: list[str],
    runs: Path,
    quick: bool,
    allow_overlap: bool,
    no_progress: bool,
    no_cache: bool,
    min_quality: float | None,
    metric: str | None = None,
    finish: bool = False,
    as_json: bool = False,
) -> None:
    """Compare a recipe's runs frugally and print the decision; exit code 3 where no run reaches the
    floor, 2 where none could be asked."""
    if launch().world_size > 1:
        raise InputError(
            "compare --frugal runs in one process: start it without torchrun or accelerate launch"
        )
    if Path(recipe).is_dir() or Path(recipe).suffix in (".json", ".jsonl"):
        raise InputError(f"--frugal runs a recipe, and {recipe} holds records: all is asked there")
    from ..compare.render import show_tables
    from ..frugal.live import compare_frugally
    from ..frugal.wording import decision_of, plain_of, table_of
    from ..recipe_file import load_recipe

    loaded = load_recipe(recipe, overrides)
    loaded = loaded.quicker() if quick else loaded
    with running(no_progress) as progress:
        progress.step("looking at the task and the model", brief=True)
        found = compare_frugally(
            loaded,
            runs / loaded.name,
            floor=min_quality,
            metric=metric,
            plan=lambda: planned(
                loaded, runs, None, allow_overlap, lambda line: progress.step(f"planning: {line}")
            ),
            finish=finish,
            allow_overlap=allow_overlap,
            progress=progress,
            say=progress.say,
            step=progress.step,
            debug="--debug" in sys.argv,
            responses=kept_answers(no_cache, progress),
            hold=by_signal,
        )
    if as_json:
        typer.echo(json.dumps(plain_of(found), indent=2))
    else:
        show_tables([table_of(found)])
        for sentence in decision_of(found):
            typer.echo(sentence)
    if found.stop.chosen is None:
        if found.stop.best is None:
            raise typer.Exit(2)
        if min_quality is not None:
            raise typer.Exit(3)
