"""Confidence sequences: they hold at all looks together, tell more than deterministic bounds, and
leave nothing unsure at the end."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from wattune.errors import InputError
from wattune.measure.sequential import difference_bounds, mean_bounds, upper_end
from wattune.measure.statistics import bootstrap_mean


def zeros_and_ones(ones: int, n: int) -> list[float]:
    return [1.0] * ones + [0.0] * (n - ones)


POPULATIONS = {
    "rare": zeros_and_ones(4, 80),
    "half": zeros_and_ones(40, 80),
    "often": zeros_and_ones(74, 80),
    "F1": np.random.default_rng(3).beta(0.3, 0.5, 80).tolist(),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_mean_is_within_the_bounds_of_all_looks_but_in_a_share_of_alpha(name: str) -> None:
    population, alpha, orders = POPULATIONS[name], 0.2, 120
    mean = statistics.fmean(population)
    wrong = narrower = 0
    for order in range(orders):
        shuffled = random.Random(order).sample(population, len(population))
        # What was ruled out at any look stays so: the last look but a few tells of all of them.
        low, high, _ = mean_bounds(shuffled[:-5], len(population), alpha)
        wrong += not low - 1e-9 <= mean <= high + 1e-9
        early = mean_bounds(shuffled[:40], len(population), alpha)
        narrower += early.high - early.low < 0.4  # without a test it is 1/2
    assert wrong <= alpha * orders + 2 * math.sqrt(alpha * (1 - alpha) * orders)
    assert narrower == orders


def test_an_ordinary_interval_at_every_look_is_wrong_more_often_than_it_says() -> None:
    """What the sequence is for: the same looks, by bootstrap intervals of 80 %."""
    population = zeros_and_ones(200, 400)
    wrong = 0
    for order in range(60):
        shuffled = random.Random(order).sample(population, len(population))
        looks = [
            bootstrap_mean(shuffled[:m], resamples=300, confidence=0.8) for m in range(8, 41, 4)
        ]
        wrong += any(not look.low <= 0.5 <= look.high for look in looks)
    assert wrong / 60 > 0.3


def test_differences_of_runs_that_find_the_same_questions_hard_are_told_sooner() -> None:
    draw = random.Random(5)
    hard = [draw.random() for _ in range(200)]
    good = [0.0 if one < 0.3 else 1.0 for one in hard]
    worse = [0.0 if one < 0.5 else 1.0 for one in hard]
    apart = difference_bounds(good[:64], worse[:128], 200, 0.05)
    one, other = mean_bounds(good[:64], 200, 0.025), mean_bounds(worse[:64], 200, 0.025)
    true = statistics.fmean(good) - statistics.fmean(worse)
    assert 0 < apart.low <= true <= apart.high
    assert apart.mean == pytest.approx(statistics.fmean(good[:64]) - statistics.fmean(worse[:64]))
    assert one.low - other.high < 0  # their own bounds cannot tell them apart yet


def test_a_difference_is_wrong_in_a_share_of_alpha_at_most() -> None:
    one = POPULATIONS["half"]
    other = random.Random(1).sample(one, len(one))
    wrong = 0
    for order in range(100):
        places = random.Random(order).sample(range(80), 75)
        found = difference_bounds([one[p] for p in places], [other[p] for p in places], 80, 0.2)
        wrong += not found.low - 1e-9 <= 0 <= found.high + 1e-9
    assert wrong <= 0.2 * 100 + 2 * math.sqrt(0.2 * 0.8 * 100)


def test_bounds_are_what_is_left_to_be_learnt_and_nothing_at_the_end() -> None:
    scores = [1.0, 0.0, 1.0, 1.0]
    assert mean_bounds([], 4, 0.05) == (0.0, 1.0, None)
    assert mean_bounds(scores[:3], 4, 0.05) == pytest.approx((0.5, 0.75, 2 / 3))
    assert mean_bounds(scores, 4, 0.05) == (0.75, 0.75, 0.75)
    assert mean_bounds([0.3] * 3, 3, 0.05) == pytest.approx((0.3, 0.3, 0.3))
    low, high, _ = mean_bounds([0.25] * 4999, 5000, 0.05)  # narrower than the grid
    assert low == pytest.approx(0.25 * 4999 / 5000)
    assert high == pytest.approx(0.25 * 4999 / 5000 + 1 / 5000)


def test_questions_that_a_metric_does_not_apply_to_are_passed_over() -> None:
    known = zeros_and_ones(12, 16)
    mixed = [score for one in known for score in (one, None)]
    assert mean_bounds(mixed, 32, 0.05).mean == 0.75
    assert mean_bounds(mixed, 32, 0.05) == mean_bounds(known, 16, 0.05)
    unknown_left = mean_bounds(mixed, 64, 0.05)
    assert unknown_left == mean_bounds(known, 48, 0.05)
    apart = difference_bounds([1.0, None, 1.0], [0.0, 1.0, None], 3, 0.05)
    assert apart == (1.0, 1.0, 1.0)


def test_passed_over_questions_do_not_make_it_wrong_more_often() -> None:
    population: list[float | None] = [*zeros_and_ones(24, 40), *[None] * 40]
    wrong = 0
    for order in range(120):
        shuffled = random.Random(order).sample(population, 80)
        low, high, _ = mean_bounds(shuffled[:64], 80, 0.2)
        wrong += not low - 1e-9 <= 0.6 <= high + 1e-9
    assert wrong <= 0.2 * 120 + 2 * math.sqrt(0.2 * 0.8 * 120)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.15, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("questions", [20, 100, 200])
def test_the_upper_end_is_above_that_of_any_interval_with_such_a_mean(
    questions: int, share: float
) -> None:
    right = max(1, round(share * questions))
    mean = right / questions
    for scores in (
        [0.0] * (questions - right) + [1.0] * right,
        [mean] * questions,
        [0.0] * (questions // 2) + [min(1.0, 2 * mean)] * (questions - questions // 2),
    ):
        own = statistics.fmean(scores)
        assert bootstrap_mean(scores).high <= upper_end(own, questions) + 1e-9
    assert upper_end(1.0, 10) == 1.0
    assert upper_end(0.0, 10) == 0.0


@pytest.mark.parametrize(
    ("scores", "questions", "alpha", "sentence"),
    [
        ([0.5, 1.5], 10, 0.05, "a score of 1.5; it needs a metric with scores from 0 to 1"),
        ([-0.2], 10, 0.05, "a score of -0.2"),
        ([math.nan], 10, 0.05, "a score of nan"),
        ([1.0, 1.0], 1, 0.05, "2 scores of only 1 questions"),
        ([1.0], 10, 0.0, "alpha 0 must lie between 0 and 1"),
    ],
)
def test_what_is_no_score_is_refused(
    scores: list[float], questions: int, alpha: float, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        mean_bounds(scores, questions, alpha)
