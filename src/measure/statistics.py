"""How sure a mean is, and how many questions a comparison needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from ..errors import InputError
from .record import Score

DRAWS_AT_ONCE = 1 << 20
"""Numbers drawn in one go, so that long value lists do not fill the memory (8 MiB)."""


def bootstrap_mean(
    values: Sequence[float], *, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Score:
    """The mean with its percentile bootstrap interval.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13: the values are drawn
    again with replacement `resamples` times, and the interval holds the middle `confidence` of the
    means. One value alone gives an interval of no width, which says nothing about its spread.
    Raises `InputError` for no values, values that are not finite, or a confidence outside (0, 1).
    """
    import numpy as np

    if resamples < 1:
        raise InputError(f"bootstrap: {resamples} resamples were asked for; at least 1 is needed")
    if not 0 < confidence < 1:
        raise InputError(f"bootstrap: confidence {confidence:g} must lie between 0 and 1")
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise InputError("a mean of no values was asked for; at least one is needed")
    if not np.isfinite(data).all():
        raise InputError("a mean was asked for of values that are not all finite numbers")
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS_AT_ONCE // data.size)
    means = np.concatenate(
        [
            data[generator.integers(data.size, size=(min(rows, resamples - done), data.size))].mean(
                axis=1
            )
            for done in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Score(value=float(data.mean()), low=float(low), high=float(high), n=int(data.size))


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
    score; `correlation` is that of the two systems' scores over the questions.
    """
    if difference <= 0 or sd <= 0:
        raise InputError(
            f"questions needed: difference {difference:g} and sd {sd:g} must be above 0"
        )
    if not (0 < alpha < 1 and 0 < power < 1 and -1 <= correlation <= 1):
        raise InputError(
            f"questions needed: alpha {alpha:g} and power {power:g} must lie between 0 and 1, "
            f"correlation {correlation:g} between -1 and 1"
        )
    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    spread = sd * math.sqrt(2 * (1 - correlation))
    return max(1, math.ceil((z * spread / difference) ** 2))
