"""Forecasts of carbon intensity, and the start at which a run of so many seconds emits the least.

A forecast is piecewise constant, so its integral over a window that slides is piecewise linear in
the window's start. The least is therefore where the window starts or ends at the border of an
interval, or as early or as late as it may: those starts are tried, and no others need be.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Literal, NamedTuple, Protocol

from .intervals import Interval
from .provider import IntensityProvider, IntensityUnavailable

SAME_DIGITS = 6
"""Decimals of g/kWh to which two windows are the same, so that rounding delays no start."""


class Window(NamedTuple):
    """A run from `start` to `end` (UTC), and the mean intensity over it, in g CO2e a kWh."""

    start: datetime
    end: datetime
    g_per_kwh: float


@dataclass(frozen=True)
class Forecast:
    """Figures of hours to come: intervals by time that do not overlap; gaps stay gaps.

    `source` names the service or file. `kind` is as in `Carbon`.
    """

    intervals: tuple[Interval, ...]
    provider: str
    source: str
    kind: Literal["average", "marginal"] = "average"

    def mean(self, start: datetime, duration: timedelta) -> Window | None:
        """A run that begins at `start`; None where a part of its time has no figure."""
        end = start + duration
        grams, covered = self._until(end)
        grams_before, covered_before = self._until(start)
        if covered - covered_before < duration:
            return None
        return Window(start, end, (grams - grams_before) / duration.total_seconds())

    def least(self, earliest: datetime, latest: datetime, duration: timedelta) -> Window | None:
        """The window of `duration` (above 0) with the least mean that starts between `earliest`
        and `latest`; of equal ones the first. None where no such window has figures throughout.
        """
        borders = {border for each in self.intervals for border in (each.start, each.end)}
        starts = {earliest, latest, *borders, *(border - duration for border in borders)}
        windows = [
            window
            for start in sorted(starts)
            if earliest <= start <= latest and (window := self.mean(start, duration)) is not None
        ]
        return min(windows, key=lambda each: round(each.g_per_kwh, SAME_DIGITS), default=None)

    def _until(self, moment: datetime) -> tuple[float, timedelta]:
        """From the beginning to `moment`: g/kWh times seconds, and the time that has figures."""
        at = bisect_right(self.intervals, moment, key=lambda each: each.start) - 1
        if at < 0:
            return 0.0, timedelta()
        each = self.intervals[at]
        inside = min(moment, each.end) - each.start
        grams, covered = self._before[at]
        return grams + each.g_per_kwh * inside.total_seconds(), covered + inside

    @cached_property
    def _before(self) -> list[tuple[float, timedelta]]:
        """For each interval what `_until` is at its start."""
        times = [each.end - each.start for each in self.intervals]
        grams = [
            each.g_per_kwh * time.total_seconds()
            for each, time in zip(self.intervals, times, strict=True)
        ]
        return list(
            zip(accumulate(grams, initial=0.0), accumulate(times, initial=timedelta()), strict=True)
        )


class Forecaster(IntensityProvider, Protocol):
    """A provider that also knows hours to come."""

    def forecast(self, start: datetime, end: datetime) -> Forecast:
        """What is expected from `start` to `end` (both with a time zone), as far as it reaches.

        Raises `IntensityUnavailable` where there is no figure at all.
        """


def forecast_over(
    intervals: Iterable[Interval],
    start: datetime,
    end: datetime,
    *,
    provider: str,
    source: str,
    kind: Literal["average", "marginal"] = "average",
) -> Forecast:
    """The intervals that overlap `start` to `end`, in order; of two that overlap the earlier counts
    up to its end. Raises `IntensityUnavailable` without any."""
    found: list[Interval] = []
    for each in sorted(intervals):
        # A service may send an hour twice, or an hour beside its halves.
        each = each._replace(start=max(each.start, found[-1].end)) if found else each
        if each.end > start and each.start < min(end, each.end):
            found.append(each)
    if not found:
        times = f"{start.astimezone(UTC):%Y-%m-%dT%H:%MZ} and {end.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        raise IntensityUnavailable(f"no forecast between {times}")
    return Forecast(tuple(found), provider, source, kind)
