"""Scores: a mean over questions, with its interval."""

from __future__ import annotations

from ..values import Value


class Score(Value):
    """A mean over questions with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int
