"""Figures and times as a person reads them."""

from __future__ import annotations

import math

import pytest

from wattune.compare.wording import listed, number, rounded, span


@pytest.mark.parametrize(
    ("value", "table", "sentence"),
    [
        (0.0, "0", "0"),
        (-0.0, "0", "0"),
        (0.26, "0.260", "0.26"),
        (-0.5, "-0.500", "−0.5"),
        (999.9, "1,000", "1,000"),
        (15432.0, "15,400", "15,400"),
        (math.inf, "inf", "inf"),
    ],
)
def test_three_digits_count(value: float, table: str, sentence: str) -> None:
    assert (rounded(value), number(value)) == (table, sentence)
    assert rounded(15_432, 2) == "15,000"


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (365.0, "1 year"),
        (730.0, "2 years"),
        (365 / 4, "3 months"),
        (90.0, "90 days"),
        (400.0, "400 days"),
        (555.5, "1.52 years"),
        (45.5, "45.5 days"),
        (0.125, "3 hours"),
        (1 / 24, "1 hour"),
        (0.5 / 86_400, "0.5 seconds"),
    ],
)
def test_a_time_is_told_in_the_unit_that_keeps_it_short(days: float, words: str) -> None:
    assert span(days) == words


def test_of_many_names_the_first_are_told() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c"], 3) == "a, b and c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
