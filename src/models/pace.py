"""When the next request to an endpoint may start: rate limit, back-off, and the server's wishes."""

from __future__ import annotations

import email.utils
import random
from datetime import UTC, datetime

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0
"""No single wait is longer; a server that asks for more is not asked again."""


class Pace:
    """Turns for requests, by a clock in seconds: evenly apart, and none while the server rests."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap_s = 60 / per_minute if per_minute else 0.0
        self._next_s = 0.0

    def turn(self, now_s: float) -> float:
        """Take the next turn; how many seconds it is away."""
        start = max(now_s, self._next_s)
        self._next_s = start + self._gap_s
        return start - now_s

    def rest(self, until_s: float) -> None:
        """Give no turn before `until_s`."""
        self._next_s = max(self._next_s, until_s)


def back_off(retry: int, chance: random.Random) -> float:
    """Seconds before retry 0, 1, 2, ...: doubled each time, bounded, and the upper half drawn.

    Clients that were refused together would come back together without the draw (M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    longest = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(retry, 30))
    return longest * chance.uniform(0.5, 1.0)


def retry_after(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After asks for: a number, or a date (RFC 9110, 10.2.3); None where
    it says nothing that can be read."""
    text = (header or "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())
