"""Diversity: of passages that say the same, one is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def marginal_relevance(
    relevance: Sequence[float], vectors: NDArray[Any], k: int, weight: float
) -> list[int]:
    """The positions of `k` candidates, each the best beside those chosen before it.

    `vectors` (n, d) of unit length are those of the n candidates. The next one maximises ``weight *
    relevance - (1 - weight) * its highest cosine with one already chosen`` (Carbonell and
    Goldstein, "The Use of MMR", SIGIR 1998); equal ones in the order given.
    """
    import numpy as np

    relevant = weight * np.asarray(relevance, dtype=np.float64)
    units = np.asarray(vectors, dtype=np.float64)
    nearest = np.zeros(len(units))  # nothing is chosen yet, so nothing is like it
    chosen: list[int] = []
    open_ = np.ones(len(units), dtype=bool)
    while len(chosen) < min(k, len(units)):
        worth = np.where(open_, np.round(relevant - (1 - weight) * nearest, 9), -np.inf)
        best = int(np.argmax(worth))
        like = units @ units[best]
        nearest = like if not chosen else np.maximum(nearest, like)
        chosen.append(best)
        open_[best] = False
    return chosen
