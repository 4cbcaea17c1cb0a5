"""Intervals of means and sizes of comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wattune.errors import InputError
from wattune.measure.statistics import (
    Spread,
    between_seeds,
    bootstrap_mean,
    detectable_difference,
    mean_over_seeds,
    questions_needed,
)


def test_the_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, size=400).tolist()
    found = bootstrap_mean(values)
    half = 1.96 * float(np.std(values)) / math.sqrt(400)
    assert found.value == pytest.approx(float(np.mean(values)))
    assert found.low == pytest.approx(found.value - half, abs=0.15 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.15 * half)
    assert found.n == 400


def test_coverage_is_about_what_is_claimed() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        found = bootstrap_mean(generator.random(60).tolist(), resamples=400, seed=trial)
        hits += found.low <= 0.5 <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_it_is_repeatable_and_the_seed_matters() -> None:
    values = [0.0, 1.0, 1.0, 0.3, 0.7] * 7
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    values = [0.0, 1.0] * 30
    narrow, wide = bootstrap_mean(values, confidence=0.5), bootstrap_mean(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_long_lists_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from wattune.measure import statistics

    values = np.random.default_rng(3).random(50).tolist()
    whole = bootstrap_mean(values, resamples=300)
    monkeypatch.setattr(statistics, "DRAWS_AT_ONCE", 60)
    assert bootstrap_mean(values, resamples=300) == whole


def test_one_value_and_none() -> None:
    one = bootstrap_mean([0.25])
    assert (one.value, one.low, one.high, one.n) == (0.25, 0.25, 0.25, 1)
    with pytest.raises(InputError, match="no values"):
        bootstrap_mean([])


@pytest.mark.parametrize("values", [[math.nan, 1.0], [math.inf]])
def test_values_that_are_no_numbers(values: list[float]) -> None:
    with pytest.raises(InputError, match="finite"):
        bootstrap_mean(values)


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="confidence"):
        bootstrap_mean([1.0], confidence=1.0)
    with pytest.raises(InputError, match="resamples"):
        bootstrap_mean([1.0], resamples=0)


def test_questions_needed_by_hand() -> None:
    # sd of the differences = 0.45 * sqrt(2 * 0.5) = 0.45; z = 1.95996 + 0.84162 = 2.80158
    assert questions_needed() == math.ceil((2.80158 * 0.45 / 0.05) ** 2) == 636
    assert questions_needed(correlation=0.0) == math.ceil(2 * (2.80158 * 0.45 / 0.05) ** 2)
    assert questions_needed(difference=0.1) < questions_needed()
    assert questions_needed(power=0.9) > questions_needed()
    assert questions_needed(correlation=1.0) == 1


def test_that_many_questions_have_the_power() -> None:
    n = questions_needed(difference=0.2, sd=0.5, correlation=0.5)
    generator = np.random.default_rng(4)
    differences = generator.normal(0.2, 0.5, size=(4000, n))
    z = differences.mean(axis=1) / (0.5 / math.sqrt(n))
    assert float((np.abs(z) > 1.96).mean()) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    "arguments",
    [{"difference": 0.0}, {"sd": -1.0}, {"power": 1.0}, {"alpha": 0.0}, {"correlation": 1.5}],
)
def test_impossible_questions(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError, match="questions needed"):
        questions_needed(**arguments)


def test_the_detectable_difference_is_the_one_that_needs_so_many_questions() -> None:
    # (1.95996 + 0.84162) * 0.45 / sqrt(636), by hand.
    least = 2.80158 * 0.45 / math.sqrt(636)
    assert detectable_difference(636, 0.45) == pytest.approx(least, rel=1e-5)
    for n, sd, alpha in [(24, 0.3, 0.05), (200, 0.45, 0.05 / 63), (5000, 0.1, 0.01)]:
        least = detectable_difference(n, sd, alpha=alpha)
        assert questions_needed(least * 1.001, sd, alpha=alpha) <= n
        assert questions_needed(least * 0.999, sd, alpha=alpha) > n - 1
    assert detectable_difference(10, 0.0) == 0
    with pytest.raises(InputError, match="0 questions"):
        detectable_difference(0, 0.5)


def test_seeds_are_one_spread_and_questions_another() -> None:
    assert between_seeds([0.5]) is None
    assert between_seeds([]) is None
    assert between_seeds([0.25, 0.5, 0.75]) == Spread(sd=0.25, low=0.25, high=0.75, n=3)
    # Seeds that only trade questions have the same mean: no spread between them, and one over
    # questions that is narrower than a single seed's.
    first, second = [0.0, 1.0] * 50, [1.0, 0.0] * 50
    mean = mean_over_seeds([first, second])
    assert mean == (0.5,) * 100
    joint = bootstrap_mean([score for score in mean if score is not None])
    assert joint.high - joint.low < bootstrap_mean(first).high - bootstrap_mean(first).low


def test_a_question_counts_where_every_seed_has_a_score_of_it() -> None:
    assert mean_over_seeds([[1.0, None, 0.0], [0.0, 1.0, 0.0]]) == (0.5, None, 0.0)
    with pytest.raises(InputError, match=r"2 seeds with \[1, 2\] questions"):
        mean_over_seeds([[1.0], [1.0, 0.0]])
    with pytest.raises(InputError, match="at least one seed"):
        mean_over_seeds([])
