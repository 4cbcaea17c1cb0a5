"""Balanced k-means: a few clusters of unit vectors, none larger than the tree can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    Vectors = NDArray[np.float32]

ITERATIONS = 10
SAMPLED = 256
"""Rows a cluster that k-means looks at, as FAISS's does by default; all are assigned then."""
BLOCK = 2**16
"""Rows compared with the centres together."""
DECIMALS = 6
"""Of a similarity: what differs less is equal, and goes by the row."""


def balanced_clusters(
    vectors: Vectors, rows: Rows, fan: int, rng: np.random.Generator
) -> list[Rows]:
    """`rows` of `vectors` (n, d) in 2 to `fan` clusters, ordered by their first row.

    No cluster has more rows than a tree one level lower holds (a power of `fan`), so that a tree
    made from the top down has no more levels than it must, and making it is n log n. Rows beyond
    that go to the next nearest centre that has room, those farthest from theirs first.
    """
    import numpy as np

    room = fan
    while room * fan < len(rows):
        room *= fan
    count = fan if len(rows) > fan * fan else min(fan, -(-len(rows) // room) + 1)
    sample = rows
    if len(rows) > SAMPLED * count:
        sample = np.sort(rng.choice(rows, SAMPLED * count, replace=False))
    centres = _centres(vectors[sample], count, rng)
    likeness = np.concatenate(
        [
            np.round(vectors[rows[at : at + BLOCK]] @ centres.T, DECIMALS)
            for at in range(0, len(rows), BLOCK)
        ]
    )
    labels = _assigned(likeness, room)
    parts = [rows[labels == label] for label in range(count)]
    return sorted((part for part in parts if len(part)), key=lambda part: int(part[0]))


def _centres(points: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Spherical k-means from k-means++ seeds (Arthur and Vassilvitskii, SODA 2007); (count, d)."""
    import numpy as np

    chosen = [int(rng.integers(len(points)))]
    distance = np.ones(len(points))
    for _ in range(count - 1):
        distance = np.minimum(distance, np.clip(1 - points @ points[chosen[-1]], 0, None))
        whole = float(distance.sum())
        odds = distance / whole if whole > 0 else None
        chosen.append(int(rng.choice(len(points), p=odds)))
    centres = points[chosen]
    for _ in range(ITERATIONS):
        nearest = np.argmax(points @ centres.T, axis=1)
        sums = (nearest[:, None] == np.arange(count)).astype(np.float32).T @ points
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres)
    return centres


def _assigned(likeness: NDArray[np.float32], room: int) -> NDArray[np.int64]:
    """The cluster (n,) of each row by `likeness` (n, k): its nearest with room, at most `room` in
    each. k * room >= n, so all find a place."""
    import numpy as np

    count = likeness.shape[1]
    wishes = np.argsort(-likeness, axis=1, kind="stable")
    labels = np.full(len(likeness), -1, dtype=np.int64)
    free = [room] * count
    waiting = np.arange(len(likeness))
    for turn in range(count):
        if not waiting.size:
            break
        wished = wishes[waiting, turn]
        for cluster in range(count):
            here = waiting[wished == cluster]
            if len(here) > free[cluster]:
                nearest = np.argsort(-likeness[here, cluster], kind="stable")
                here = here[nearest[: free[cluster]]]
            labels[here] = cluster
            free[cluster] -= len(here)
        waiting = waiting[labels[waiting] < 0]
    return labels
