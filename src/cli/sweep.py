"""The verb that runs a recipe over a grid of settings, and draws quality against energy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CannotRun, InputError
from .running import (
    AllowOverlap,
    NoCache,
    NoProgress,
    Quick,
    RunsFolder,
    by_signal,
    kept_answers,
    running,
    speaks,
)


def sweep(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one: quickstart")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Axes and overrides: decoding.max_tokens=16,32 rag.k=1,2 place=FRA"),
    ] = None,
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The plot, by its ending: .png or .svg; default: sweep.png beside the records.",
        ),
    ] = None,
) -> None:
    """Run a recipe at every point of a grid, and draw quality against energy.

    Example: wattune sweep quickstart decoding.max_tokens=16,32,64 rag.k=1,2,4 --quick
    """
    from ..compare import compare
    from ..compare.frontier import frontier_tables
    from ..compare.plot import KINDS, draw
    from ..compare.render import show_tables
    from ..files import write_bytes
    from ..sweep import run_sweep

    if output is not None and output.suffix not in KINDS:
        raise InputError(f"{output}: the ending says the format; {' or '.join(KINDS)}")
    with running(no_progress) as progress:
        folder, records = run_sweep(
            recipe,
            settings or [],
            runs,
            quick=quick,
            allow_overlap=allow_overlap,
            progress=progress,
            say=progress.say,
            step=progress.step,
            debug="--debug" in sys.argv,
            responses=kept_answers(no_cache, progress),
            hold=by_signal,
        )
    if not speaks():
        return
    comparison = compare(records)
    output = output or folder / "sweep.png"
    drawn = f"wrote {output}"
    try:  # before the tables: whoever reads those may close the pipe
        write_bytes(output, draw(comparison, KINDS[output.suffix]))
    except CannotRun as error:
        drawn = f"{output} is not drawn: {error}"
    comparison.show()
    show_tables(frontier_tables(comparison))
    typer.echo(drawn, err=not drawn.startswith("wrote"))
    if not comparison.done:
        raise typer.Exit(1 if any(record.status == "failed" for record in records) else 2)
