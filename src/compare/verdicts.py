"""Verdicts: whether a run is worse than the best one of a metric, or not distinguishable from it.

The best run is found by looking at the very scores that are tested, and the best of many is partly
the luckiest. So each pair of runs counts as compared when the p values are corrected, though only
those with the best one are shown: with seven runs that are equally good, correcting for the six
comparisons with the best finds a false difference three times as often as it claims
(`false_finds` in tests/compare/test_verdicts.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..measure.paired import Difference, Scores, holm, paired_differences
from ..measure.quality import better
from ..measure.statistics import detectable_difference, questions_needed
from .seeds import Row

LEVEL = 0.05
RESAMPLES = 10_000
RESAMPLES_A_COMPARISON = 100
"""The least p is 2 / (resamples + 1); times the comparisons it must stay below the level."""
MOST_RESAMPLES = 50_000
MOST_MEANS = 30_000_000
"""Of a resampling: more takes minutes, and more memory than a laptop has. Where so many comparisons
are made that they would need more, p beyond what the resamples resolve is that of the normal
distribution (`paired_differences`, `tail`)."""


@dataclass(frozen=True)
class Verdict:
    """`word` on a run; `difference` is run minus best, None for the best one itself.

    `p` is corrected. Where tied, `detectable` is the least difference that these questions show
    (80 % power at the corrected level), and `needed` the number of questions that would show the
    difference there is; None where it cannot be told.
    """

    word: Literal["best", "better", "worse", "tied"]
    best: str
    difference: Difference | None = None
    p: float | None = None
    detectable: float | None = None
    needed: int | None = None


@dataclass(frozen=True)
class Verdicts:
    """By group, metric and row (the order of the rows); None where there is no claim."""

    of: tuple[dict[str, tuple[Verdict | None, ...]], ...]
    comparisons: int


def verdicts(groups: Sequence[Sequence[Row]], metrics: Sequence[str]) -> Verdicts:
    """Each row against the best of its group by paired test, corrected over all comparisons.

    There is no claim for a single row, for rows without scores by question, nor for rows of other
    questions than the best one's.
    """
    asked: list[tuple[int, str, int, int]] = []  # group, metric, row, best row
    pairs: list[tuple[Scores, Scores]] = []
    comparisons = 0
    for number, rows in enumerate(groups):
        for metric in metrics:
            best = _best(rows, metric)
            if best is None:
                continue
            scored = {n: s for n, row in enumerate(rows) if (s := row.scores(metric)) is not None}
            rivals = [n for n in scored if n != best and _alike(rows[n], rows[best])]
            rivals = [n for n in rivals if best in scored and _common(scored[n], scored[best])]
            asked += [(number, metric, n, best) for n in rivals]
            pairs += [(scored[n], scored[best]) for n in rivals]
            comparisons += len(rivals) * (len(rivals) + 1) // 2
    wanted = max(RESAMPLES, RESAMPLES_A_COMPARISON * comparisons)
    resamples = min(wanted, MOST_RESAMPLES, max(1000, MOST_MEANS // max(1, len(pairs))))
    differences = paired_differences(pairs, resamples=resamples, tail=resamples < wanted)
    corrected = holm([difference.p for difference in differences], comparisons)
    given: list[dict[str, list[Verdict | None]]] = [{} for _ in groups]
    for (number, metric, n, best), difference, p in zip(asked, differences, corrected, strict=True):
        rows = groups[number]
        column = given[number].setdefault(metric, [None] * len(rows))
        column[best] = Verdict("best", rows[best].label)
        column[n] = _verdict(rows[best].label, metric, difference, p, comparisons)
    return Verdicts(
        tuple({metric: tuple(column) for metric, column in one.items()} for one in given),
        comparisons,
    )


def _verdict(best: str, metric: str, difference: Difference, p: float, family: int) -> Verdict:
    if p <= LEVEL:
        ahead = (difference.value > 0) == (better(metric) == "higher")
        return Verdict("better" if ahead else "worse", best, difference, p)
    if not difference.sd:
        return Verdict("tied", best, difference, p)
    size, alpha = abs(difference.value), LEVEL / family
    return Verdict(
        "tied",
        best,
        difference,
        p,
        detectable_difference(difference.n, difference.sd, alpha=alpha),
        questions_needed(size, difference.sd, alpha=alpha) if size else None,
    )


def _best(rows: Sequence[Row], metric: str) -> int | None:
    means = {n: mean for n, row in enumerate(rows) if (mean := row.mean(metric)) is not None}
    if len(means) < 2:
        return None
    sign = 1 if better(metric) == "higher" else -1
    return max(means, key=lambda n: sign * means[n])


def _alike(one: Row, other: Row) -> bool:
    """Whether both answered the same questions: the tests are paired by their order."""
    items = {record.task.get("items") for record in (*one.records, *other.records)}
    return len(items) == 1 and None not in items


def _common(one: Scores, other: Scores) -> bool:
    return len(one) == len(other) and any(
        a is not None and b is not None for a, b in zip(one, other, strict=True)
    )
