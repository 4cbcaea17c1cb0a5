"""Race: which of several variants scores best, asked as few questions as that takes.

Successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", arXiv 1502.07970): all variants answer the first few questions, the
better half answers as many more, and so on. The race ends early once its winner is certain. No
model is known here: `ask` gives the answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Literal, NamedTuple

from ..measure.paired import Difference, holm, paired_differences
from ..values import Value

Ending = Literal["certain", "alike", "questions", "alone"]
"""Why a race ended. certain: all others still in it were worse beyond chance, or answered like the
winner; alike: all that were left gave the same answers; questions: there were no more of them;
alone: there was nothing to choose from."""

LEVEL = 0.05
PLACES = 9
"""Decimals of a mean that count in a ranking: what differs later is rounding."""


class Answered(NamedTuple):
    """One variant's answer to one question; no score where the metric does not apply or no answer
    came."""

    text: str
    score: float | None
    tokens_in: int | None
    tokens_out: int | None


class Entrant(Value):
    """How one variant did over the `questions` that it was asked.

    `mean` is of the metric, tokens are means by question; None where nothing tells. `difference` is
    the variant's score less that of the first variant, paired by question; `more_in` and `more_out`
    are the tokens that it takes more. `left_at` is the number of questions after which it was
    dropped, None for one that ran to the end.
    """

    questions: int
    mean: float | None
    tokens_in: float | None
    tokens_out: float | None
    difference: Difference | None = None
    more_in: float | None = None
    more_out: float | None = None
    left_at: int | None = None


class Race(Value):
    """A finished race: its variants in the order given, the number of the winner, and why it
    ended."""

    winner: int
    ended: Ending
    entrants: tuple[Entrant, ...]


def race(
    count: int,
    ask: Callable[[int, int], Sequence[Answered]],
    *,
    questions: int,
    first: int = 16,
    keep: float = 0.5,
    better: Literal["higher", "lower"] = "higher",
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Race:
    """The best of `count` variants on at most `questions` questions.

    ``ask(variant, n)`` gives a variant's answers to the first `n` questions, in their order; it is
    asked with growing `n`. Rungs are `first` questions, twice as many, and so on up to all. After
    each, variants are ranked by their mean over the questions that all of them have a score of;
    ties go to fewer prompt tokens, then to the order given. The best `keep` of them stay, at least
    two; the first variant, what stands already, stays to the end so that all are compared with it.

    The winner is certain when every other variant that is left gave the same answers, or is worse:
    the 95 % interval of their paired difference excludes 0, and its p, corrected by Holm for the
    others, is below 0.05 (on few questions the interval alone is too sure of itself).
    """
    if count == 1:
        alone = Entrant(questions=0, mean=None, tokens_in=None, tokens_out=None)
        return Race(winner=0, ended="alone", entrants=(alone,))
    running = list(range(count))
    answers: list[Sequence[Answered]] = [[] for _ in running]
    left_at: dict[int, int] = {}
    sizes = rungs(questions, first)
    ended: Ending = "questions"
    winner = 0
    for rung, size in enumerate(sizes, start=1):
        what = f"rung {rung} of {len(sizes)}, {len(running)} variants"
        for done, number in enumerate(running):
            progress(what, done, len(running))
            answers[number] = ask(number, size)
        progress(what, len(running), len(running))
        ranked = _ranked(running, answers, better)
        winner = ranked[0]
        over = _over(ranked, answers, better, seed)
        if over or size == sizes[-1]:
            ended = over or ended
            break
        stay = {0, *ranked[: max(2, math.ceil(len(ranked) * keep))]}
        left_at |= {number: size for number in running if number not in stay}
        running = [number for number in running if number in stay]
    return Race(
        winner=winner,
        ended=ended,
        entrants=tuple(
            _entrant(answers[number], answers[0], left_at.get(number), seed)
            for number in range(count)
        ),
    )


def rungs(questions: int, first: int) -> list[int]:
    """How many questions have been asked by the end of each rung: `first`, doubled up to all."""
    sizes = []
    while first < questions:
        sizes.append(first)
        first *= 2
    return [*sizes, questions]


def _ranked(
    running: Sequence[int], answers: Sequence[Sequence[Answered]], better: str
) -> list[int]:
    scored = [
        at
        for at in range(len(answers[running[0]]))
        if all(answers[number][at].score is not None for number in running)
    ]
    sign = -1 if better == "higher" else 1

    def standing(number: int) -> tuple[float, float, int]:
        mean = _mean([answers[number][at].score for at in scored])
        tokens = _mean([one.tokens_in for one in answers[number]])
        return (
            0.0 if mean is None else sign * round(mean, PLACES),
            math.inf if tokens is None else tokens,
            number,
        )

    return sorted(running, key=standing)


def _over(
    ranked: Sequence[int], answers: Sequence[Sequence[Answered]], better: str, seed: int
) -> Ending | None:
    """Why the race is over, if it is; the best variant stands first."""
    best, *others = ranked
    texts = [one.text for one in answers[best]]
    unlike = [other for other in others if [one.text for one in answers[other]] != texts]
    if not unlike:
        return "alike"
    apart = [_difference(answers[best], answers[other], seed) for other in unlike]
    known = [one for one in apart if one is not None]
    if len(known) < len(apart):
        return None
    chances = holm([one.p for one in known])
    excluded = all((one.low > 0 if better == "higher" else one.high < 0) for one in known)
    return "certain" if excluded and max(chances) < LEVEL else None


def _difference(one: Sequence[Answered], other: Sequence[Answered], seed: int) -> Difference | None:
    """One variant's scores less another's, where they have a scored question in common."""
    pairs = [(a.score, b.score) for a, b in zip(one, other, strict=True)]
    if not any(a is not None and b is not None for a, b in pairs):
        return None
    scores = tuple(zip(*pairs, strict=True))
    return paired_differences([(scores[0], scores[1])], seed=seed)[0]


def _entrant(
    own: Sequence[Answered],
    incumbent: Sequence[Answered],
    left_at: int | None = None,
    seed: int = 0,
) -> Entrant:
    tokens_in = _mean([one.tokens_in for one in own])
    tokens_out = _mean([one.tokens_out for one in own])
    found = Entrant(
        questions=len(own),
        mean=_mean([one.score for one in own if one.score is not None]),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        left_at=left_at,
    )
    if own is incumbent:
        return found
    same = incumbent[: len(own)]
    more: dict[str, Any] = {
        "difference": _difference(own, same, seed),
        "more_in": _less(tokens_in, _mean([one.tokens_in for one in same])),
        "more_out": _less(tokens_out, _mean([one.tokens_out for one in same])),
    }
    return found.model_copy(update=more)


def _mean(values: Sequence[float | None]) -> float | None:
    """Their mean, None where there are none or one is not known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
