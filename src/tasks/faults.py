"""Faults of a task's files, gathered so that a person mends them in one go; and notes on them."""

from __future__ import annotations

from ..errors import TaskError

SHOWN = 20
"""Faults told at once; more are counted."""


class Faults:
    """Sentences about what is wrong, each opening with its place (``file:line``); beside them
    notes about what is right enough, such as an empty document that is left out."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._sentences: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, sentence: str) -> None:
        """Note one fault; beyond the first 20 they are only counted."""
        self._count += 1
        if self._count <= SHOWN:
            self._sentences.append(sentence)

    def note(self, sentence: str) -> None:
        """Keep a sentence that a person should know; nothing is wrong."""
        self._notes.append(sentence)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes; beyond the first 20 they are only counted."""
        more = len(self._notes) - SHOWN
        told = (f"There are {more} more notes on the task's files.",) if more > 0 else ()
        return (*self._notes[:SHOWN], *told)

    def check(self) -> None:
        """Raise `TaskError` with every sentence if there is any."""
        if not self._count:
            return
        if self._count == 1:
            raise TaskError(self._sentences[0])
        lines = [f"{self._count} faults:", *(f"  {sentence}" for sentence in self._sentences)]
        if self._count > SHOWN:
            lines.append(f"  and {self._count - SHOWN} more")
        raise TaskError("\n".join(lines))


def kind_of(value: object) -> str:
    """What a JSON value is, in a word for a person."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "an object"
