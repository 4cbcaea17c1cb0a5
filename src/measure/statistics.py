"""How sure a mean is, how far seeds lie apart, and how many questions a comparison needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from ..errors import InputError
from ..values import Value
from .record import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Of a record's own intervals."""
DRAWS_AT_ONCE = 1 << 20
"""Numbers drawn in one go, so that long value lists do not fill the memory (8 MiB)."""


class Spread(Value):
    """How far the means of several seeds lie apart: their standard deviation (n - 1 in the
    denominator), the lowest, the highest, and how many they are."""

    sd: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Score:
    """The mean with its percentile bootstrap interval.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13: the values are drawn
    again with replacement `resamples` times, and the interval holds the middle `confidence` of the
    means. One value alone gives an interval of no width, which says nothing about its spread.
    Raises `InputError` for no values, values that are not finite, or a confidence outside (0, 1).
    """
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InputError("a mean of no values was asked for; at least one is needed")
    means = resampled_means(data[:, None], resamples=resamples, seed=seed)
    low, high = middle(means, confidence)
    return Score(value=float(data.mean()), low=float(low[0]), high=float(high[0]), n=data.size)


def resampled_means(data: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """The means of columns over rows that are drawn again: (n, m) to (resamples, m).

    All columns see the same rows in each draw, so what belongs together stays together. Raises
    `InputError` for values that are not finite and for fewer than one resample.
    """
    import numpy as np

    if resamples < 1:
        raise InputError(f"bootstrap: {resamples} resamples were asked for; at least 1 is needed")
    if not np.isfinite(data).all():
        raise InputError("a mean was asked for of values that are not all finite numbers")
    generator = np.random.default_rng(seed)
    n = len(data)
    at_once = max(1, DRAWS_AT_ONCE // n)
    parts = []
    for done in range(0, resamples, at_once):
        rows = min(at_once, resamples - done)
        drawn = generator.integers(n, size=(rows, n)) + np.arange(0, rows * n, n)[:, None]
        # How often each row of the data was drawn, so that the means are one product.
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        parts.append(counts @ data / n)
    return np.concatenate(parts)


def middle(
    means: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the middle `confidence` of each column: (resamples, m) to two of (m,).

    Raises `InputError` for a confidence outside (0, 1).
    """
    import numpy as np

    if not 0 < confidence < 1:
        raise InputError(f"bootstrap: confidence {confidence:g} must lie between 0 and 1")
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def between_seeds(means: Sequence[float]) -> Spread | None:
    """How far the means of seeds lie apart; None for fewer than two, which say nothing of it."""
    if len(means) < 2:
        return None
    return Spread(sd=statistics.stdev(means), low=min(means), high=max(means), n=len(means))


def mean_over_seeds(scores: Sequence[Sequence[float | None]]) -> tuple[float | None, ...]:
    """Each question's mean over the seeds: (seeds, questions) to (questions,).

    A bootstrap over these draws questions, so its interval is of questions and not of seeds. None
    where any seed has no score, so that all questions weigh the same seeds. Raises `InputError`
    for no seeds, and where they have different numbers of questions.
    """
    counts = {len(one) for one in scores}
    if len(counts) != 1:
        raise InputError(
            f"scores of {len(scores)} seeds with {sorted(counts)} questions were to be averaged; "
            "at least one seed is needed, and all must have answered the same questions"
        )
    questions = zip(*scores, strict=True)
    known = ([score for score in question if score is not None] for question in questions)
    return tuple(statistics.fmean(k) if len(k) == len(scores) else None for k in known)


def questions_needed(
    difference: float = 0.05,
    sd: float = 0.45,
    power: float = 0.8,
    alpha: float = 0.05,
    correlation: float = 0.5,
) -> int:
    """Questions that both systems must answer to see `difference` between their mean scores.

    Paired comparison of two means, two-sided, by the normal approximation
    ``n = ((z[1 - alpha/2] + z[power]) * sd_d / difference)^2`` with the standard deviation of the
    per-question differences ``sd_d = sd * sqrt(2 * (1 - correlation))``; see Miller, "Adding Error
    Bars to Evals", arXiv 2411.00640, sections 4 and 5. `difference` and `sd` are in units of the
    score; `correlation` is that of the two systems' scores over the questions. Where ``sd_d`` is
    known, give it as `sd` and leave the correlation at 0.5.
    """
    if difference <= 0 or sd <= 0:
        raise InputError(
            f"questions needed: difference {difference:g} and sd {sd:g} must be above 0"
        )
    if not -1 <= correlation <= 1:
        raise InputError(f"questions needed: correlation {correlation:g} must lie between -1 and 1")
    spread = sd * math.sqrt(2 * (1 - correlation))
    return max(1, math.ceil((_z(power, alpha) * spread / difference) ** 2))


def detectable_difference(
    questions: int, sd: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The least difference of means that so many questions show, with `sd` that of the per-question
    differences: `questions_needed` solved for the difference (same source, same units)."""
    if questions < 1 or sd < 0:
        raise InputError(
            f"detectable difference: {questions} questions must be 1 or more, sd {sd:g} 0 or more"
        )
    return _z(power, alpha) * sd / math.sqrt(questions)


def _z(power: float, alpha: float) -> float:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise InputError(
            f"questions needed: alpha {alpha:g} and power {power:g} must lie between 0 and 1"
        )
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
