"""Spans of time and frequencies: what a person writes, and what is refused with a reason."""

from __future__ import annotations

import pytest

from wattune.durations import DAY_S, PER_YEAR, seconds_of, times_per_year
from wattune.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90d", 90 * DAY_S), ("1y", 365 * DAY_S), ("12h", 43_200.0), ("2s", 2.0), ("250ms", 0.25),
        ("1h30min", 5400.0), ("1.5h", 5400.0), (" 2 W ", 14 * DAY_S), ("12mo", 365 * DAY_S),
    ],
)  # fmt: skip
def test_spans(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1d2", "1 fortnight", "1e400y", "nan d"])
def test_what_is_no_span_says_what_one_is(text: str) -> None:
    with pytest.raises(InputError, match="such as 90d, 12h"):
        seconds_of(text)


def test_no_time_at_all_is_no_span() -> None:
    with pytest.raises(InputError, match="longer than nothing"):
        seconds_of("0d")


def test_frequencies() -> None:
    assert {word: times_per_year(word) for word in PER_YEAR} == PER_YEAR
    assert times_per_year("Weekly") * 7 == pytest.approx(365)
    assert times_per_year("12") == PER_YEAR["monthly"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("wekly", 'did you mean "weekly"'), ("-1", "0 or more"), ("inf", "0 or more")],
)
def test_what_is_no_frequency_says_what_one_is(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        times_per_year(text)
