"""Holds: reasons to pause a training. Each is a callable that says why, or "" to go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .measure.record import Carbon

ASK_EVERY_S = 300.0
"""Between two questions to a grid provider, whose figures are of half an hour or an hour."""

Hold = Callable[[], str]
"""Why to pause now, or ""."""


def no_hold() -> str:
    """Never pauses."""
    return ""


class Switch:
    """Paused and let go on by hand: from a signal handler, or another thread."""

    def __init__(self) -> None:
        self._reason = ""

    def turn(self, reason: str) -> None:
        """Pause for `reason`; where it is paused already, go on."""
        self._reason = "" if self._reason else reason

    def go_on(self) -> None:
        """Go on, if it is paused."""
        self._reason = ""

    def __call__(self) -> str:
        return self._reason


class IntensityLimit:
    """Pauses while the grid's carbon intensity is above `above_g_per_kwh` (g CO2e a kWh).

    `intensity` is asked every five minutes at most. Where it has no figure nothing is paused: a
    server that is down must not hold up a training.
    """

    def __init__(
        self,
        intensity: Callable[[], Carbon | None],
        above_g_per_kwh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intensity, self._above, self._clock = intensity, above_g_per_kwh, clock
        self._ask_at_s = clock()
        self._reason = ""

    def __call__(self) -> str:
        if self._clock() >= self._ask_at_s:
            found = self._intensity()
            self._ask_at_s = self._clock() + ASK_EVERY_S
            self._reason = (
                f"the grid is at {found.intensity_g_per_kwh:.0f} g/kWh, above {self._above:g}"
                if found is not None and found.intensity_g_per_kwh > self._above
                else ""
            )
        return self._reason


class Holds:
    """Several holds as one: the first that has a reason pauses; `progress` shows it as a piece of
    work, `say` leaves a line."""

    def __init__(
        self,
        progress: Callable[[str, int, int], None],
        say: Callable[[str], None],
        *holds: Hold,
    ) -> None:
        self._progress, self._say, self._holds = progress, say, holds
        self._told = ""

    def __call__(self) -> str:
        reason = next((reason for hold in self._holds if (reason := hold())), "")
        if reason != self._told:
            if self._told:
                self._progress(f"paused: {self._told}", 1, 1)
            if reason:
                self._progress(f"paused: {reason}", 0, 1)
            self._say(f"paused: {reason}" if reason else "going on after a pause")
            self._told = reason
        return reason
