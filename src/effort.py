"""Effort: what a build spends over all its attempts, those that were killed included.

    attempt 1   ───────●───×          ● checkpoint, with what was spent up to it
    attempt 2          └───────●──×   × killed: what was noted last is known
    attempt 3                  └────  finished

What leads to the result (the straight way from one checkpoint to the next) is attributed to it.
What was spent between a checkpoint and the kill behind it is lost, and told apart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from .errors import StorageError
from .files import read_text, write_text
from .measure.record import Bill
from .values import Value

NOTE = "spent.json"
NOTE_EVERY_S = 1.0
"""Between two notes: what a kill can lose of the books."""


class Noted(Value):
    """What all attempts spent until now, and what replies from a cache, used on the way that
    leads to the newest checkpoint, had first cost: that is attributed too, and was not spent."""

    attempts: int = 0
    spent: Bill = Bill()
    recalled: Bill = Bill()


class Effort:
    """One attempt at building something in `folder`, which outlives it when it is killed.

    `so_far` gives what this attempt has spent until now, `recalled` what replies that it took from
    a cache had first cost. With `writes` False nothing is noted: of the processes of one launch the
    main one writes. The folder is made by who first writes into it.
    """

    def __init__(
        self,
        folder: Path,
        so_far: Callable[[], Bill] = Bill,
        recalled: Callable[[], Bill] = Bill,
        *,
        writes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._so_far, self._recalled = so_far, recalled
        self._writes, self._clock = writes, clock
        self._next_note_s = clock()
        self._earlier = _noted(folder / NOTE)
        self._carried: Bill | None = None
        self._recalled_by_now: Bill | None = None

    @property
    def attempts(self) -> int:
        """How many attempts there were, this one included."""
        return self._earlier.attempts + 1

    @property
    def carried(self) -> Bill | None:
        """What earlier attempts had spent up to the checkpoint that this one went on from; None
        where it began anew."""
        return self._carried

    def spent(self) -> Bill:
        """What the result has cost by now: what was carried, and this attempt so far."""
        return (self._first_cost() if self._carried is None else self._carried) + self._so_far()

    def carry(self, bill: Bill) -> None:
        """Go on from a checkpoint, which held `bill` as its `spent`; before the first `note`."""
        self._carried = bill
        if not self._earlier.attempts:  # its notes could not be written: what it lost is unknown
            unknown = bill.model_copy(update={"energy_j": None, "net_energy_j": None})
            self._earlier = Noted(attempts=1, spent=unknown)

    def lost(self) -> Bill:
        """What earlier attempts spent, all together, that did not lead to this result."""
        earlier = self._earlier
        led = self._first_cost() if self._carried is None else self._carried
        return _less(earlier.spent + earlier.recalled, led)

    def note(self) -> None:
        """Write down what was spent by now, once a second at most; to be called often.

        A note that cannot be written ends no build.
        """
        if not self._writes or self._clock() < self._next_note_s:
            return
        noted = Noted(
            attempts=self.attempts,
            spent=self._earlier.spent + self._so_far(),
            recalled=self._earlier.recalled if self._earlier.attempts else self._first_cost(),
        )
        with contextlib.suppress(StorageError, OSError):
            write_text(self.folder / NOTE, noted.model_dump_json(indent=2) + "\n")
        self._next_note_s = self._clock() + NOTE_EVERY_S

    def _first_cost(self) -> Bill:
        """Of the replies taken from a cache; asked once, for they are used before any training."""
        if self._recalled_by_now is None:
            self._recalled_by_now = self._recalled()
        return self._recalled_by_now


def _noted(path: Path) -> Noted:
    """What earlier attempts noted; nothing where there is no note that can be read."""
    try:
        return Noted.model_validate_json(read_text(path))
    except (StorageError, OSError, ValidationError):
        return Noted()


def _less(whole: Bill, part: Bill) -> Bill:
    """`whole` less `part`, not below 0: a checkpoint can be newer than the note before a kill."""

    def less(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else max(0.0, one - other)

    return Bill(
        energy_j=less(whole.energy_j, part.energy_j),
        duration_s=max(0.0, whole.duration_s - part.duration_s),
        net_energy_j=less(whole.net_energy_j, part.net_energy_j),
    )
