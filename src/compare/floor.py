"""Whether a run is good enough: compare, advise and the frugal comparison ask it here alike."""

from __future__ import annotations

from typing import Literal

from ..measure.quality import better
from ..measure.score import Score

Reach = Literal["surely", "perhaps", "no"]


def reaches(score: Score, floor: float, metric: str) -> Reach:
    """Whether a mean reaches a floor: surely where the whole 95 % interval does, perhaps where it
    holds the floor, so that these questions cannot tell the two apart (acceptable before optimal).

    A metric of which less is better has a ceiling for a floor.
    """
    if better(metric) == "higher":
        return "surely" if score.low >= floor else "perhaps" if score.high >= floor else "no"
    return "surely" if score.high <= floor else "perhaps" if score.low <= floor else "no"
