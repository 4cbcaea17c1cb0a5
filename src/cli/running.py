"""What the verbs that run recipes share: their options, and the terminal while runs are made."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, WattuneError
from ..holds import Switch
from ..measure.processes import launch

if TYPE_CHECKING:
    from ..answering.responses import ResponseCache
    from ..measure.record import Record
    from .progress import TerminalProgress

AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Go on although test questions stand in training."),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings that win over the file: lora.r=8 seed=1")
]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder that records are written to.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No bars, no remarks.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="A small slice of the task, as `quick:` says.")
]

Start = Annotated[
    str | None,
    typer.Option("--start", help="greenest: wait for the start with the least carbon."),
]
Within = Annotated[
    str, typer.Option("--within", help="With --start greenest: start within so long.")
]
Duration = Annotated[
    str | None,
    typer.Option("--duration", help="With --start greenest: how long it takes, if not known."),
]

NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Ask the model anew in what runs, and keep no answers.")
]

SEVERAL = ("run", "compare", "sweep")
"""The verbs that use all processes of a launch."""

by_signal = Switch()
"""Pauses trainings: SIGUSR1 at the end of a step, SIGUSR2 (or SIGUSR1 again) goes on."""
_BY_HAND = f"SIGUSR1; to go on: kill -USR2 {os.getpid()}"


def speaks() -> bool:
    """Whether this is the process that prints and writes: of several, the main one."""
    return launch().rank == 0


def one_process(verb: str) -> None:
    """Raise `InputError` where several processes were launched for a verb that has no use for
    them; the others than the main one end quietly."""
    if verb in SEVERAL or launch().world_size == 1:
        return
    if not speaks():
        raise typer.Exit
    raise InputError(
        f"wattune {verb} runs in one process: start it without torchrun or accelerate launch; "
        f"{', '.join(SEVERAL)} use several"
    )


@contextmanager
def one_voice() -> Iterator[None]:
    """Of several processes let the main one print; the others say only that they end alone.

    An error that all know is the main one's to tell and to exit with: the others leave quietly, or
    a launcher might stop it before it has spoken.
    """
    if speaks():
        yield
        return
    from ..ranks import told_to_all

    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except WattuneError as error:
            if told_to_all(error):
                sys.exit(0)
            raise


@contextmanager
def running(no_progress: bool) -> Iterator[TerminalProgress]:
    """Bars while runs are made; a stop from the keyboard or the system says what is kept."""
    from .progress import TerminalProgress

    signal.signal(signal.SIGTERM, _terminated)  # this process is ours: no library does this
    if sys.platform != "win32":  # which has no such signals
        signal.signal(signal.SIGUSR1, lambda number, frame: by_signal.turn(_BY_HAND))
        signal.signal(signal.SIGUSR2, lambda number, frame: by_signal.go_on())
    try:
        with TerminalProgress(quiet=no_progress or not speaks()) as progress:
            yield progress
    except KeyboardInterrupt as error:
        typer.echo("stopped; finished runs are kept, the same command goes on", err=True)
        # 128 + the signal's number, as shells count.
        raise typer.Exit(128 + (error.args[0] if error.args else signal.SIGINT)) from None


def made(
    recipe: str,
    overrides: list[str],
    runs: Path,
    quick: bool,
    allow_overlap: bool,
    no_progress: bool,
    no_cache: bool,
    start: str | None = None,
    within: str = "24h",
    duration: str | None = None,
    budget: str | None = None,
) -> list[Record]:
    """The records of a recipe, a shipped one or a file: what is missing is run; with `start`
    "greenest" when the grid is expected to be at its best. With a `budget` it is planned first, and
    what is likely to exceed that raises `ConstraintNotMet` before anything is run."""
    from ..durations import seconds_of
    from ..greenest import expected
    from ..ranks import joined
    from ..recipe_file import load_recipe
    from ..run import run_recipe
    from ..waiting import greenest_start
    from .planning import kept_within
    from .timing import by_plan

    if start not in (None, "greenest"):
        raise InputError(f'--start "{start}": greenest is expected')
    longest_s = seconds_of(within) if start else None
    duration_s = seconds_of(duration) if duration else None
    loaded = joined().same(lambda: load_recipe(recipe, overrides))
    loaded = loaded.quicker() if quick else loaded
    with running(no_progress) as progress:
        progress.step("looking at the task and the model", brief=True)
        folder = runs / loaded.name
        if budget is not None:
            progress.say(joined().same(lambda: kept_within(budget, loaded, runs, allow_overlap)))
        planned = by_plan(runs, allow_overlap=allow_overlap, say=progress.step)
        with greenest_start(
            loaded,
            folder,
            longest_s,
            lambda: expected(loaded, folder, duration_s, plan=None if duration_s else planned),
            progress=progress,
            say=progress.say,
            allow_overlap=allow_overlap,
        ) as flags:
            return run_recipe(
                loaded,
                folder,
                allow_overlap=allow_overlap,
                progress=progress,
                say=progress.say,
                step=progress.step,
                debug="--debug" in sys.argv,
                responses=kept_answers(no_cache, progress),
                hold=by_signal,
                flags=flags,
            )


def kept_answers(no_cache: bool, progress: TerminalProgress) -> ResponseCache | None:
    """The cache of answers, unless it is not wanted."""
    from ..answering.responses import ResponseCache

    return None if no_cache else ResponseCache(say=progress.say)


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)
