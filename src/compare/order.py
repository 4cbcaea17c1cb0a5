"""Order: whether the same runs stand in the same order under two circumstances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt


@dataclass(frozen=True)
class Order:
    """How alike two orders of the same runs are.

    `tau` is Kendall's tau-b: 1 for the same order, -1 for the reverse, None where one side has but
    one value. `turned` are the pairs of which one run is ahead here and the other there, by their
    places; `pairs` is how many there are in all.
    """

    tau: float | None
    pairs: int
    turned: tuple[tuple[int, int], ...]

    @property
    def same(self) -> bool:
        """Whether no pair turns."""
        return not self.turned


def order(one: Sequence[float], other: Sequence[float]) -> Order:
    """The order of the same runs by two lists of figures, run by run.

    Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945: pairs that agree less
    those that turn, over the root of the pairs not tied here times those not tied there.
    """
    agree, here, there = 0, 0, 0
    turned = []
    for first, second in combinations(range(len(one)), 2):
        a = _sign(one[first] - one[second])
        b = _sign(other[first] - other[second])
        here, there, agree = here + abs(a), there + abs(b), agree + a * b
        if a * b < 0:
            turned.append((first, second))
    tau = agree / sqrt(here * there) if here and there else None
    return Order(tau, len(one) * (len(one) - 1) // 2, tuple(turned))


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
