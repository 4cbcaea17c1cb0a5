"""Two runs on the same questions: how far apart they are, and whether chance could do that.

Which test for which score: Dror et al., "The Hitchhiker's Guide to Testing Statistical Significance
in Natural Language Processing", ACL 2018. Why paired: Miller, "Adding Error Bars to Evals", arXiv
2411.00640, section 4: questions differ in how hard they are, for both runs alike, and the
difference of two scores of one question is free of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..errors import InputError
from ..values import Value
from .statistics import middle, resampled_means

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scores: TypeAlias = Sequence[float | None]
"""One score a question, in the task's order; None where the metric does not apply."""


class Difference(Value):
    """The mean of ``one - other`` over the `n` questions that both have a score of.

    `low` and `high` bound the 95 % interval (or what was asked for), `p` is two-sided and not
    corrected for other comparisons, by the test that is named. `sd` is the standard deviation of
    the per-question differences, None for one question.
    """

    value: float
    low: float
    high: float
    p: float
    test: Literal["bootstrap", "mcnemar"]
    sd: float | None
    n: int


def paired_differences(
    pairs: Sequence[tuple[Scores, Scores]],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
    tail: bool = False,
) -> list[Difference]:
    """The difference of each pair, ``one - other``, by paired bootstrap over the questions.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993: questions are drawn again with
    replacement, both runs' scores together; the interval holds the middle `confidence` of the
    resampled differences (ch. 13), and p is twice the share of them on the far side of 0 (the level
    at which the interval just reaches 0, ch. 15.4), one added to both counts so that it is never 0.
    It is never less than ``2 ** (1 - n)`` with n differences that are not 0, the least that an
    exact test by their signs could give. Where all scores are 0 or 1, p is McNemar's exact one.

    Where no resample lies beyond 0, p is not known to be more than 2 / (resamples + 1), and that is
    what it is; with `tail`, for many comparisons that need smaller ones, it is the normal
    distribution's of the mean over its standard error, if that is less.

    Pairs that have the same questions share their draws. Raises `InputError` for two lists of
    different lengths and for a pair without a question in common.
    """
    import numpy as np

    apart, masks = [], []
    for one, other in pairs:
        if len(one) != len(other):
            raise InputError(
                f"paired scores: {len(one)} beside {len(other)}; both must be of the same questions"
            )
        difference = np.array(one, dtype=np.float64) - np.array(other, dtype=np.float64)
        masks.append(~np.isnan(difference))
        apart.append(difference[masks[-1]])
        if not masks[-1].any():
            raise InputError("paired scores: the two runs have no scored question in common")
    alike: dict[bytes, list[int]] = {}
    for number, mask in enumerate(masks):
        alike.setdefault(mask.tobytes(), []).append(number)
    found: dict[int, Difference] = {}
    for numbers in alike.values():
        data = np.stack([apart[number] for number in numbers], axis=1)
        means = resampled_means(data, resamples=resamples, seed=seed)
        lows, highs = middle(means, confidence)
        far = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
        for column, number in enumerate(numbers):
            one, other = pairs[number]
            by_bootstrap = 2 * (far[column] + 1) / (resamples + 1)
            if tail and far[column] == 0:
                by_bootstrap = min(by_bootstrap, _normal_p(data[:, column]))
            p, test = _p(one, other, data[:, column], by_bootstrap)
            found[number] = Difference(
                value=float(data[:, column].mean()),
                low=float(lows[column]),
                high=float(highs[column]),
                p=p,
                test=test,
                sd=float(data[:, column].std(ddof=1)) if len(data) > 1 else None,
                n=len(data),
            )
    return [found[number] for number in range(len(pairs))]


def _normal_p(apart: NDArray[np.float64]) -> float:
    """Two-sided p of a mean by the normal distribution; 1 where it has no spread to go by."""
    error = float(apart.std(ddof=1)) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0
    return math.erfc(abs(float(apart.mean())) / error / math.sqrt(2)) if error else 1.0


def _p(
    one: Scores, other: Scores, apart: NDArray[np.float64], by_bootstrap: float
) -> tuple[float, Literal["bootstrap", "mcnemar"]]:
    if {*one, *other} <= {0, 1, None}:
        return mcnemar(one, other), "mcnemar"
    least = math.ldexp(1.0, 1 - int((apart != 0).sum()))
    return min(1.0, max(float(by_bootstrap), least)), "bootstrap"


def mcnemar(one: Scores, other: Scores) -> float:
    """The exact two-sided p of McNemar's test on scores of 0 and 1.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947. Only questions that one run has right and the other wrong
    count; if the runs are equal, each of them falls to either side like a coin. The binomial sum
    is taken in whole numbers, so it is exact for many such questions too. 1.0 where there is none.
    """
    wins = sum((a, b) == (1, 0) for a, b in zip(one, other, strict=True))
    losses = sum((a, b) == (0, 1) for a, b in zip(one, other, strict=True))
    tosses = wins + losses
    term = total = 1
    for heads in range(min(wins, losses)):
        term = term * (tosses - heads) // (heads + 1)
        total += term
    return min(1.0, 2 * total / (1 << tosses))


def holm(p_values: Sequence[float], comparisons: int | None = None) -> list[float]:
    """p values corrected for being many, in the order given; the chance of any false find is kept.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979: the smallest is multiplied by the number of comparisons, the next by one
    less, and none may fall below the one before. `comparisons` is that number where it is more
    than those given (a choice was made by looking at more); the others count as p = 1. Raises
    `InputError` where it is less.
    """
    family = len(p_values) if comparisons is None else comparisons
    if family < len(p_values):
        raise InputError(f"Holm: {len(p_values)} p values of only {family} comparisons were given")
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (family - rank) * p_values[number]))
        corrected[number] = least
    return corrected
