"""Spans of time and frequencies as a person writes them: ``90d``, ``12h``, ``weekly``."""

from __future__ import annotations

import math
import re

from .errors import InputError, did_you_mean

DAY_S = 86_400.0
YEAR_DAYS = 365.0
UNITS_S = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": DAY_S,
    "w": 7 * DAY_S,
    "mo": YEAR_DAYS / 12 * DAY_S,
    "y": YEAR_DAYS * DAY_S,
}
"""Seconds of each unit: a year has 365 days here, a month is a twelfth of it."""
PER_YEAR = {
    "never": 0.0,
    "yearly": 1.0,
    "quarterly": 4.0,
    "monthly": 12.0,
    "weekly": YEAR_DAYS / 7,
    "daily": YEAR_DAYS,
}
"""Times a year of each word."""


def seconds_of(text: str) -> float:
    """The seconds of a span such as ``90d``, ``1.5h`` or ``1h30min``, more than 0.

    Units are ms, s, min, h, d, w, mo and y. Raises `InputError` for anything else: a number without
    its unit could be days or seconds.
    """
    compact = text.strip().lower().replace(" ", "")
    if not _SPAN.fullmatch(compact):
        raise InputError(
            f"{text!r} is no span of time; write a number and its unit ({', '.join(UNITS_S)}), "
            "such as 90d, 12h or 1h30min"
        )
    seconds = sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(compact))
    if not 0 < seconds < math.inf:
        raise InputError(f"{text!r}: a span of time longer than nothing is expected, such as 90d")
    return seconds


def times_per_year(text: str) -> float:
    """How often a year: a word (never, yearly, quarterly, monthly, weekly, daily) or a number, 0
    or more. Raises `InputError` for anything else."""
    word = text.strip().lower()
    if word in PER_YEAR:
        return PER_YEAR[word]
    try:
        times = float(word)
    except ValueError:
        raise InputError(
            f"{text!r} is no frequency; write how often a year, such as 12, or a word"
            + did_you_mean(word, PER_YEAR)
        ) from None
    if not 0 <= times < math.inf:
        raise InputError(f"{text!r} times a year: a number 0 or more is expected")
    return times


_NAMES = "|".join(sorted(UNITS_S, key=len, reverse=True))
_PART = re.compile(rf"(\d+(?:\.\d+)?)({_NAMES})")
_SPAN = re.compile(rf"(?:\d+(?:\.\d+)?(?:{_NAMES}))+")
