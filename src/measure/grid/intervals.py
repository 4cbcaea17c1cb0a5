"""Figures over stretches of time, and their mean over the time of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from ..record import Carbon
from .provider import IntensityUnavailable

INSTANT = timedelta(microseconds=1)
"""A run of no length is taken to last this long, so that it lies in some interval."""


class Interval(NamedTuple):
    """One figure, in g CO2e a kWh, from `start` up to `end` (UTC); `note` says what it is."""

    start: datetime
    end: datetime
    g_per_kwh: float
    note: str = ""


def window(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """`start` and `end` in UTC, at least an instant apart.

    Raises `IntensityUnavailable` where they name no time zone or run backwards.
    """
    if start.utcoffset() is None or end.utcoffset() is None:
        raise IntensityUnavailable("the times of the run have no time zone")
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end < start:
        raise IntensityUnavailable(f"the run ended at {end} before it started at {start}")
    return start, max(end, start + INSTANT)


def whole_steps(
    start: datetime, end: datetime, step: timedelta, most: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """`start` to `end`, widened to whole multiples of `step`, in pieces of `most` at the most."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + (start - midnight) // step * step
    last = midnight - (midnight - end) // step * step
    while at < last:
        until = min(at + most, last)
        yield at, until
        at = until


def carbon_over(
    intervals: Iterable[Interval],
    start: datetime,
    end: datetime,
    *,
    place: str,
    provider: str,
    source: str,
    kind: Literal["average", "marginal"] = "average",
) -> Carbon:
    """The mean over `start` to `end` (as `window` gives them), each figure weighted by its overlap.

    Time without a figure is left out of the mean, and `source` says how much is covered, of how
    many figures the mean is, and what they are. Raises `IntensityUnavailable` without any overlap.
    """
    parts = [
        (each, overlap)
        for each in intervals
        if (overlap := (min(end, each.end) - max(start, each.start)).total_seconds()) > 0
    ]
    if not parts:
        raise IntensityUnavailable(f"no figure between {start.isoformat()} and {end.isoformat()}")
    covered_s = sum(overlap for _, overlap in parts)
    coverage = covered_s / (end - start).total_seconds()
    notes = Counter(each.note for each, _ in parts if each.note)
    what = ", ".join(f"{count} {note}" for note, count in sorted(notes.items()))
    return Carbon(
        place=place,
        intensity_g_per_kwh=sum(each.g_per_kwh * overlap for each, overlap in parts) / covered_s,
        source=f"{source}; mean of {len(parts)} figure(s)"
        + (f": {what}" if what else "")
        + (f"; they cover {100 * coverage:.3g} % of the time" if coverage < 0.9999 else ""),
        year=start.year,
        kind=kind,
        provider=provider,
        start=start.isoformat(timespec="seconds"),
        end=end.isoformat(timespec="seconds"),
    )
