"""What the verbs that run recipes share: their options, and the terminal while runs are made."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..answering.responses import ResponseCache
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

NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Ask the model anew in what runs, and keep no answers.")
]


def one_process() -> None:
    """Raise `RecipeError` where several processes were launched."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("several processes are not supported yet: launch with --num_processes 1")


@contextmanager
def running(no_progress: bool) -> Iterator[TerminalProgress]:
    """Bars while runs are made; a stop from the keyboard or the system says what is kept."""
    from .progress import TerminalProgress

    signal.signal(signal.SIGTERM, _terminated)  # this process is ours: no library does this
    try:
        with TerminalProgress(quiet=no_progress) as progress:
            yield progress
    except KeyboardInterrupt as error:
        typer.echo("stopped; finished runs are kept, the same command goes on", err=True)
        # 128 + the signal's number, as shells count.
        raise typer.Exit(128 + (error.args[0] if error.args else signal.SIGINT)) from None


def kept_answers(no_cache: bool, progress: TerminalProgress) -> ResponseCache | None:
    """The cache of answers, unless it is not wanted."""
    from ..answering.responses import ResponseCache

    return None if no_cache else ResponseCache(say=progress.say)


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)
