"""Looking again and again at a test that is still going on, without being fooled by it.

    questions asked      16        32            64                 200 of 200
    the mean of all   [.10 ─────── .61]   [.22 ── .44]             .31

An ordinary interval holds for one look. These hold at all looks together: with probability
1 - alpha the mean over *all* questions lies in every interval that is ever worked out. So a test
may stop as soon as one of them tells enough.

What is asked is a finite list of questions in random order, none twice, and what is sought is the
mean over that list. So every answer also tells what is left to be learnt, and when all are asked
nothing is unsure any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import InputError
from .statistics import CONFIDENCE, RESAMPLES

GRID = 1000
"""Candidate means that are tried are 1/1000 apart; intervals are rounded outwards to them."""
MOST_AT_STAKE = 0.5
"""The share of its wealth that a bet may lose: `c` of Waudby-Smith and Ramdas, who take 1/2 to
3/4."""
ROUNDING = 1e-9
"""What sums of scores may be off by."""


class Bounds(NamedTuple):
    """Between what the mean over all questions surely lies; `mean` is that of those asked, None
    before the first."""

    low: float
    high: float
    mean: float | None


def mean_bounds(scores: Sequence[float | None], questions: int, alpha: float) -> Bounds:
    """Bounds of the mean over all `questions`, from the `scores` of those asked so far.

    The scores, 0 to 1, stand in the order of asking, which must have been drawn at random. With
    probability 1 - `alpha` the mean lies within the bounds of every beginning of that order. A
    question that the metric does not apply to (None) is passed over, and the number of all falls
    by one: others that do not apply may be ahead, so the number is too high rather than too low,
    which widens the bounds.

    The betting confidence sequence for sampling without replacement of Waudby-Smith and Ramdas,
    "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86, 2024
    (arXiv 2010.09686), section 5, with bets of the kind they call approximate GRAPA. Against each
    candidate mean somebody bets on the scores to come, at odds that are fair if the candidate is
    true; his wealth then exceeds 1 / alpha with probability alpha at most, ever (Ville's
    inequality), so candidates against which he got that rich are ruled out. So are those that the
    rest cannot reach: with the sum s of m of n scores the mean is in [s / n, (s + n - m) / n].

    Raises `InputError` for scores outside of 0 to 1, for more scores than questions, and for an
    alpha outside of (0, 1).
    """
    import numpy as np

    known = [score for score in scores if score is not None]
    n = questions - (len(scores) - len(known))
    _check(known, len(scores), questions, alpha)
    if not known:
        return Bounds(0.0, 1.0, None)
    asked_mean = math.fsum(known) / len(known)
    if len(known) == n:
        return Bounds(asked_mean, asked_mean, asked_mean)
    candidates = np.linspace(0.0, 1.0, GRID + 1)
    wealth = np.zeros(GRID + 1)  # its logarithm
    ruled_out = np.zeros(GRID + 1, dtype=bool)
    total, mean, spread, variance = 0.0, 0.5, 0.25, 0.25
    for drawn, score in enumerate(known):
        # What the next score is expected to be, if the candidate is the mean of all.
        expected = (n * candidates - total) / (n - drawn)
        ruled_out |= (expected < -ROUNDING) | (expected > 1 + ROUNDING)
        expected = expected.clip(ROUNDING, 1 - ROUNDING)
        edge = mean - expected
        bet = edge / (variance + edge**2)
        bet = bet.clip(-MOST_AT_STAKE / (1 - expected), MOST_AT_STAKE / expected)
        wealth += np.log1p(bet * (score - expected))
        ruled_out |= wealth >= -math.log(alpha)
        total += score
        mean = (0.5 + total) / (drawn + 2)
        spread += (score - mean) ** 2
        variance = spread / (drawn + 2)
    least, most = total / n, (total + n - len(known)) / n
    left = np.flatnonzero(~ruled_out)
    if left.size:  # to the candidates beside them, for the mean may lie between two
        least = max(least, float(candidates[max(0, left[0] - 1)]))
        most = min(most, float(candidates[min(GRID, left[-1] + 1)]))
    return Bounds(least, most, asked_mean)


def difference_bounds(
    one: Sequence[float | None], other: Sequence[float | None], questions: int, alpha: float
) -> Bounds:
    """Bounds of the mean of ``one - other`` over all `questions`, -1 to 1, by `mean_bounds`.

    Both answered the same questions in the same order; the longer list is cut to the shorter. How
    hard a question is, it is for both, so differences vary less than scores. A question without a
    score of either is passed over.
    """
    apart = [
        None if a is None or b is None else (a - b + 1) / 2
        for a, b in zip(one, other, strict=False)
    ]
    low, high, mean = mean_bounds(apart, questions, alpha)
    return Bounds(2 * low - 1, 2 * high - 1, None if mean is None else 2 * mean - 1)


def upper_end(mean: float, questions: int) -> float:
    """How high at most the upper end of the 95 % interval of such a mean is, by `bootstrap_mean`.

    Of scores from 0 to 1 with that mean those vary most that are 0 or 1 (Bhatia and Davis, "A
    better bound on the variance", Am. Math. Monthly 107, 2000); their resampled sum is binomial.
    Its quantile is taken three standard errors of the resamples further out.
    """
    from scipy.stats import binom  # type: ignore[import-untyped]

    tail = (1 - CONFIDENCE) / 2
    further = 3 * math.sqrt(tail * (1 - tail) / RESAMPLES)
    most = binom.ppf(min(1.0, 1 - tail + further), questions, min(1.0, max(0.0, mean)))
    return float(most) / questions


def _check(known: Sequence[float], asked: int, questions: int, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"sequential test: alpha {alpha:g} must lie between 0 and 1")
    if asked > questions:
        raise InputError(f"sequential test: {asked} scores of only {questions} questions")
    wrong = next((score for score in known if not -ROUNDING <= score <= 1 + ROUNDING), None)
    if wrong is not None:  # not a number, too
        raise InputError(
            f"sequential test: a score of {wrong:g}; it needs a metric with scores from 0 to 1"
        )
