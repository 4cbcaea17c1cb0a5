"""The rule of a frugal comparison, as one function of what has been asked so far.

1. Runs are tried in the order of their expected cost, the cheapest first; the next one is prepared
   only when the one before is known to miss the floor.
2. A run is asked questions in growing batches, in one random order for all runs. It is *accepted*
   when the mean over all questions is surely at the floor, *dropped* when not even the upper end of
   its interval can reach the floor any more. Once all questions are asked, it is accepted if the
   95 % interval of its mean reaches the floor: not distinguishable from what was asked for is good
   enough. The first run that is accepted is the decision.
3. Where none is accepted (or no floor was given), the runs that were asked race for being the best:
   whoever is surely worse than another one is out, and the others are asked on, until one is left
   or all questions are asked. Then the highest mean is the best.

"Surely" holds at all looks and for all runs together: each of the two answers (which run reaches
the floor, which is the best) differs from that of the full comparison with probability `alpha` at
most. By Bonferroni: each of k runs has bounds at alpha / k, each of their pairs at alpha over the
number of pairs. See `measure.sequential`.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ..measure.score import Score
from ..measure.sequential import Bounds, difference_bounds, mean_bounds, upper_end
from ..measure.statistics import bootstrap_mean
from ..strategies.race import rungs

ALPHA = 0.05
"""How often a frugal comparison may decide otherwise than the full one would."""
FIRST = 16
"""Questions of the first batch; by then a run far from the floor may be told."""

_bounds = functools.lru_cache(maxsize=4096)(mean_bounds)  # most runs stand as they stood before
_apart = functools.lru_cache(maxsize=4096)(difference_bounds)


@dataclass(frozen=True)
class Contender:
    """One run: its scores in the order of asking so far (None where the metric does not apply);
    `out` says why it cannot be asked, or not any more."""

    name: str
    scores: tuple[float | None, ...] = ()
    out: str = ""

    @property
    def known(self) -> list[float]:
        """The scores of the questions that the metric applies to."""
        return [score for score in self.scores if score is not None]


@dataclass(frozen=True)
class State:
    """All that a decision depends on: the contenders, cheapest first, the places of all questions
    in the order of asking, and the least mean score that is wanted (None: just the best)."""

    contenders: tuple[Contender, ...]
    order: tuple[int, ...]
    floor: float | None
    alpha: float = ALPHA
    first: int = FIRST

    @property
    def questions(self) -> int:
        """How many questions there are."""
        return len(self.order)

    def interval(self, run: int) -> Score:
        """The mean of a run that was asked all questions, as its Record would have it: a bootstrap
        of the scores in the order of the task, for another order draws others."""
        scores = self.contenders[run].scores
        by_place = sorted(zip(self.order, scores, strict=True), key=lambda pair: pair[0])
        return bootstrap_mean([score for _, score in by_place if score is not None])

    def scored(self, run: int, scores: Sequence[float | None]) -> State:
        """The state with these scores of a run, all that it has by now."""
        return self._with(run, replace(self.contenders[run], scores=tuple(scores)))

    def without(self, run: int, why: str) -> State:
        """The state in which a run is out."""
        return self._with(run, replace(self.contenders[run], out=why))

    def _with(self, run: int, contender: Contender) -> State:
        contenders = list(self.contenders)
        contenders[run] = contender
        return replace(self, contenders=tuple(contenders))


Word = Literal["accepted", "dropped", "open", "out"]


class Standing(NamedTuple):
    """Where a run stands with the floor, and between what its mean over all questions lies."""

    word: Word
    bounds: Bounds


@dataclass(frozen=True)
class Ask:
    """Ask contender number `run` on, until `upto` questions in all."""

    run: int
    upto: int


@dataclass(frozen=True)
class Stop:
    """The decision: the number of the run to take, None where none reaches the floor (or none was
    given); `best` is then the best of them, None where none could be asked. `beside` are runs that
    could not be told from the best, in the order of cost."""

    chosen: int | None
    best: int | None = None
    beside: tuple[int, ...] = ()


def next_step(state: State) -> Ask | Stop:
    """What to do next: ask a run on, or stop with the decision."""
    if state.floor is not None:
        for run in range(len(state.contenders)):
            word = standing(state, run).word
            if word == "accepted":
                return Stop(chosen=run)
            if word == "open":
                return Ask(run, _upto(state, run))
    racing = still_racing(state)
    if not racing:
        return Stop(chosen=None)
    behind = min(racing, key=lambda run: len(state.contenders[run].scores))
    if len(racing) > 1 and len(state.contenders[behind].scores) < state.questions:
        return Ask(behind, _upto(state, behind))
    best = max(racing, key=lambda run: _mean(state.contenders[run]))
    return Stop(chosen=None, best=best, beside=tuple(run for run in racing if run != best))


def standing(state: State, run: int) -> Standing:
    """Where a run stands by now."""
    contender = state.contenders[run]
    each = state.alpha / len(state.contenders)
    bounds = _bounds(contender.scores, state.questions, each)
    whole = len(contender.scores) == state.questions
    if contender.out or (whole and not contender.known):
        return Standing("out", bounds)
    if state.floor is None:
        return Standing("open", bounds)
    if whole:
        word: Word = "accepted" if state.interval(run).high >= state.floor else "dropped"
        return Standing(word, bounds)
    if bounds.low >= state.floor:
        return Standing("accepted", bounds)
    # Where the metric does not apply to some, nobody knows to how many of those ahead it will.
    everywhere = len(contender.known) == len(contender.scores)
    answers = state.questions if everywhere else max(1, len(contender.known))
    if upper_end(bounds.high, answers) < state.floor:
        return Standing("dropped", bounds)
    return Standing("open", bounds)


def still_racing(state: State) -> list[int]:
    """The runs that are not surely worse than another one; those out of it are not among them."""
    able = [run for run in range(len(state.contenders)) if standing(state, run).word != "out"]
    pairs = math.comb(len(state.contenders), 2)
    worse = set()
    for one, other in itertools.combinations(able, 2):
        a, b = state.contenders[one].scores, state.contenders[other].scores
        apart = _apart(a, b, state.questions, state.alpha / pairs)
        if apart.high < 0:
            worse.add(one)
        if apart.low > 0:
            worse.add(other)
    return [run for run in able if run not in worse]


def _mean(contender: Contender) -> float:
    return statistics.fmean(contender.known) if contender.known else 0.0


def _upto(state: State, run: int) -> int:
    asked = len(state.contenders[run].scores)
    return next(size for size in rungs(state.questions, state.first) if size > asked)
