"""Serving: the two ways of giving answers, all at once and one at a time, each measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..values import Value


class Batch(Value):
    """All questions at once: how many, and how many were answered in a second (None where the
    time is not known)."""

    questions: int
    questions_per_s: float | None = None


class Realtime(Value):
    """Questions one at a time, each asked when the one before was answered.

    `questions` is how many were asked, None where an older record does not say, and
    `energy_j_per_answer` the phase's joules over that number. `latency_s` holds the seconds from
    asking to the whole answer, retrieval included, of each question that got one, `first_token_s`
    those until its first token, of each of which that is known; the percentiles are theirs.
    """

    questions: int | None = None
    first_token_p50_s: float | None = None
    first_token_p95_s: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    energy_j_per_answer: float | None = None
    latency_s: tuple[float, ...] = ()
    first_token_s: tuple[float, ...] = ()


def batch_of(questions: int, duration_s: float) -> Batch:
    """So many questions answered at once in so many seconds."""
    return Batch(
        questions=questions, questions_per_s=questions / duration_s if duration_s > 0 else None
    )


def realtime_of(
    questions: int,
    energy_j: float | None,
    latency_s: Sequence[float],
    first_token_s: Sequence[float],
) -> Realtime:
    """So many questions asked one at a time, with the energy of them all and what was waited."""
    return Realtime(
        questions=questions,
        first_token_p50_s=percentile(first_token_s, 50),
        first_token_p95_s=percentile(first_token_s, 95),
        latency_p50_s=percentile(latency_s, 50),
        latency_p95_s=percentile(latency_s, 95),
        energy_j_per_answer=None if energy_j is None else energy_j / questions,
        latency_s=tuple(latency_s),
        first_token_s=tuple(first_token_s),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value that `percent` (1 to 99) of the values lie below; None for no values.

    Between two values it is interpolated linearly, as numpy does by default: definition 7 of
    Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996.
    """
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
