"""Progress on the terminal: one bar a piece of work, with how long it will take."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class TerminalProgress:
    """A `Progress` that draws to standard error; silent where `quiet` or no terminal is there."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self._quiet = quiet
        self._plain = not quiet and not console.is_terminal
        self._console = console
        self._bars: Bars = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or self._plain,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._steps: list[TaskID] = []

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar of `what`; a finished bar goes. With a `total` of 0 `what` is a remark."""
        if not total:
            self.say(what)
            return
        for step in self._steps:
            self._bars.remove_task(step)
        self._steps = []
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        task = self._tasks[what]
        self._bars.update(task, completed=done, total=total)
        if done >= total:
            self._bars.remove_task(task)
            del self._tasks[what]

    def step(self, sentence: str, *, brief: bool = False) -> None:
        """What begins now and takes a while of unknown length (a download, a conversion). A brief
        one is worth no line where there is no terminal."""
        for task in self._steps:
            self._bars.remove_task(task)
        self._steps = [] if self._quiet else [self._bars.add_task(sentence, total=None)]
        if self._plain and not brief:
            self.say(sentence)

    def say(self, line: str) -> None:
        """One line that stays, above the bars; also where no terminal is there."""
        if not self._quiet:
            self._bars.console.print(line, style="dim", highlight=False, markup=False)
