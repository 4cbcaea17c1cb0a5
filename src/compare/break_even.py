"""Break-even: after how many answers a run that costs more to prepare has paid back.

Answers come at `v` a day, refreshes at `r` a year and idle hours at `h` a day, so each answer
brings `r / (365 v)` refreshes and `3600 h / v` idle seconds with it. After N answers a run has cost

    T(N) = prepare + N x u,   u = (1 - cached) x answer + r / (365 v) x refresh + 3600 h / v x idle

and the dearer one to prepare (d) has caught up with the cheaper one (c) where the two meet:

    N = (prepare_d - prepare_c) / (u_c - u_d)

Refreshes and idle time thus count by the answer: the fewer answers a day, the more of a refresh
each has to bear, so that seldom used systems that are dear to refresh never pay back. A refresh is
spread evenly here; paid at once, it moves the crossing by up to one refresh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from ..durations import YEAR_DAYS
from .lifecycle import Estimate, LifeCycle, RunCosts
from .seeds import Row
from .uncertainty import interval
from .usage import HOUR_S, Usage

if TYPE_CHECKING:
    from .uncertainty import Draws

MOST_PAIRED = 8
"""Rows of a group that are set side by side, 28 pairs: more than that nobody reads."""


@dataclass(frozen=True)
class BreakEven:
    """After how many answers the dearer one to prepare has paid back what it cost more.

    `word` says whether it does: "after" so many `answers`; "never", for no saving was measured;
    "always", for the one that is cheaper to prepare is surely cheaper an answer too, so it is the
    cheaper one at any number of answers and the dearer one pays back just as little; "unknown"
    where costs are not known. `answers` is None but for "after"; its interval goes up to infinity
    where no saving at all is within the 95 %. `saving_j_per_answer` is the cheaper one's joules an
    answer less the dearer one's, with their refreshes and idle time, negative where nothing is
    saved.
    """

    dearer_to_prepare: Row
    cheaper_to_prepare: Row
    answers: Estimate | None
    word: Literal["after", "never", "always", "unknown"]
    saving_j_per_answer: Estimate | None


def break_even(one: RunCosts, other: RunCosts, usage: Usage) -> BreakEven:
    """After how many answers one of two rows has paid back what it costs more before the first.

    The order of the two does not matter. Where both cost the same to prepare, the one that takes
    more an answer is called the dearer one. Without answers a day (0), refreshes and idle time have
    no rate an answer and are left out. The interval is that of the bootstrap draws of both
    (compare/uncertainty.py).
    """
    rates = _rates(usage)
    upfront = [costs.prepare_j for costs in (one, other)]
    running = [_per_answer(costs, *rates) for costs in (one, other)]
    known = [
        (prepare, each)
        for prepare, each in zip(upfront, running, strict=True)
        if prepare is not None and each is not None
    ]
    if len(known) < 2:
        dearer, cheaper = one, other
        if None not in upfront and (upfront[1] or 0.0) > (upfront[0] or 0.0):
            dearer, cheaper = other, one
        return BreakEven(dearer.row, cheaper.row, None, "unknown", None)
    (dear, dearer), (cheap, cheaper) = sorted(
        zip(known, (one, other), strict=True), key=lambda both: (both[0], both[1].row.label)
    )[::-1]
    more, saves = dear[0] - cheap[0], cheap[1] - dear[1]
    drawn_saves = _drawn(cheaper, *rates) - _drawn(dearer, *rates)
    low, high = interval(drawn_saves)
    saving = Estimate(saves, min(low, saves), max(high, saves))
    if saves <= 0:
        word: Literal["always", "never"] = "always" if saving.high < 0 else "never"
        return BreakEven(dearer.row, cheaper.row, None, word, saving)
    drawn_more = dearer.drawn(1, 0, 0) - cheaper.drawn(1, 0, 0)
    low, high = interval(_answers(drawn_more, drawn_saves))
    answers = more / saves
    answers_of = Estimate(answers, min(low, answers), max(high, answers))
    return BreakEven(dearer.row, cheaper.row, answers_of, "after", saving)


def break_evens(cycles: Sequence[LifeCycle], matter: Sequence[LifeCycle] = ()) -> list[BreakEven]:
    """Between every pair of a cost group, the soonest paid back first.

    Of more than `MOST_PAIRED` rows only so many are paired: those that `matter` (as good enough
    ones do), then those with the least totals.
    """
    found = [
        break_even(one.costs, other.costs, one.usage)
        for one, other in combinations(_paired(cycles, matter), 2)
    ]
    place = {"after": 0, "never": 1, "always": 2, "unknown": 3}

    def order(pair: BreakEven) -> tuple[int, float, str, str]:
        answers = pair.answers.value if pair.answers else 0.0
        names = (pair.dearer_to_prepare.label, pair.cheaper_to_prepare.label)
        return (place[pair.word], answers, *names)

    return sorted(found, key=order)


def _paired(cycles: Sequence[LifeCycle], matter: Sequence[LifeCycle]) -> list[LifeCycle]:
    """The life cycles that are set side by side, of many the least totals, unknown ones last."""
    first = {id(cycle) for cycle in matter}

    def order(cycle: LifeCycle) -> tuple[bool, float, str]:
        total = cycle.total_j.value if cycle.total_j else math.inf
        return (id(cycle) not in first, total, cycle.costs.row.label)

    return sorted(cycles, key=order)[:MOST_PAIRED]


def _rates(usage: Usage) -> tuple[float, float, float]:
    """Refreshes, answers that are worked out, and idle seconds, of one answer."""
    worked_out = 1 - usage.cached_share
    if not usage.answers_per_day:
        return 0.0, worked_out, 0.0
    refreshes = usage.refreshes_per_year / YEAR_DAYS / usage.answers_per_day
    idle_s = usage.idle_hours_per_day * HOUR_S / usage.answers_per_day
    return refreshes, worked_out, idle_s


def _per_answer(costs: RunCosts, *rates: float) -> float | None:
    """Joules of one answer with its part of refreshes and idle time."""
    answer = None if costs.answer_j is None else costs.answer_j.value
    parts = list(zip(rates, (costs.refresh_j, answer, costs.idle_w), strict=True))
    if any(rate and joules is None for rate, joules in parts):
        return None
    return sum(rate * joules for rate, joules in parts if joules is not None)


def _drawn(costs: RunCosts, refreshes: float, answers: float, idle_s: float) -> Draws:
    return costs.drawn(0, refreshes, answers) + idle_s * (costs.idle_w or 0.0)


def _answers(more: Draws, saves: Draws) -> Draws:
    """Draws of the number of answers; infinity where a draw saves nothing."""
    import numpy as np

    more, saves = np.broadcast_arrays(more, saves)
    drawn: Draws = np.full(more.shape, math.inf)
    np.divide(np.maximum(more, 0.0), saves, out=drawn, where=saves > 0)
    return drawn
