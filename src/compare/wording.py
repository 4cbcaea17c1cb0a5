"""Numbers, times and lists as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isclose, isfinite, log10

from ..durations import DAY_S, YEAR_DAYS

DIGITS = 3
WHOLE = (("year", YEAR_DAYS), ("month", YEAR_DAYS / 12), ("day", 1.0))
"""Units in days of which a whole number is told as it is: 90 days are no 2.96 months."""
UNITS = (
    ("year", YEAR_DAYS),
    ("day", 1.0),
    ("hour", 1 / 24),
    ("minute", 1 / 1440),
    ("second", 1 / DAY_S),
)


def rounded(value: float, digits: int = DIGITS) -> str:
    """With so many digits that count, thousands parted: ``15,000``, ``0.260``. Counts of a few
    thousand are rounded as well: more digits than the figure is known to."""
    if value == 0 or not isfinite(value):
        return f"{abs(value) if value == 0 else value:g}"
    places = digits - 1 - floor(log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}"


def number(value: float, digits: int = DIGITS) -> str:
    """As `rounded`, for a sentence: without zeros at its end, ``1,830``, ``0.431``, ``−0.5``."""
    shown = rounded(value, digits)
    return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")


def span(days: float, digits: int = DIGITS) -> str:
    """So many days as a person would say: ``1 year``, ``3 months``, ``90 days``, ``1.5 hours``."""
    counts = [(days / length, name) for name, length in WHOLE]
    whole = (one for one in counts if round(one[0]) and isclose(one[0], round(one[0])))
    name, length = next((unit for unit in UNITS if days >= unit[1]), UNITS[-1])
    count, name = next(whole, (days / length, name))
    shown = number(count, digits)
    return f"{shown} {name}{'' if shown == '1' else 's'}"


def listed(words: Sequence[str], most: int | None = None) -> str:
    """``a``, ``a and b``, ``a, b and c``; of more than `most` the first, and how many more."""
    if most is not None and len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
