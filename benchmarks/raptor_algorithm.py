"""RAPTOR's tree (arXiv 2401.18059), as published: UMAP, then mixtures of Gaussians, then again.

Its clustering in our own words, with its settings: at each level a global reduction to 10
dimensions (neighbours: the root of the number), a mixture whose size has the least BIC of up to 50,
soft membership above 0.1; within each cluster the same with 10 neighbours; clusters longer than
3,500 tokens are clustered again. Here it is seeded, which the published code is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

DIMENSIONS = 10
THRESHOLD = 0.1
MOST_CLUSTERS = 50
LOCAL_NEIGHBOURS = 10
LONGEST = 3_500
LEVELS = 5
SEED = 0

Summarise = Callable[[Sequence[str]], str]
Embed = Callable[[Sequence[str]], Any]


def tree(
    texts: Sequence[str],
    vectors: np.ndarray,
    *,
    summarise: Summarise,
    embed: Embed,
    tokens: Callable[[str], int],
    say: Callable[[str], None] = lambda line: None,
) -> list[list[str]]:
    """The levels of summaries over `texts` with their `vectors` (n, d), the lowest first."""
    levels: list[list[str]] = []
    now, at = list(texts), np.asarray(vectors, dtype=np.float32)
    lengths = [tokens(text) for text in now]
    while len(levels) < LEVELS and len(now) > DIMENSIONS + 1:
        clusters = _within_length(at, lengths, np.arange(len(now)))
        say(f"level {len(levels) + 1}: {len(now):,} nodes in {len(clusters):,} clusters")
        now = [summarise([now[i] for i in members]) for members in clusters]
        at = np.asarray(embed(now), dtype=np.float32)
        lengths = [tokens(text) for text in now]
        levels.append(now)
    return levels


def _within_length(
    vectors: np.ndarray, lengths: Sequence[int], members: np.ndarray
) -> list[np.ndarray]:
    """Clusters of `members`, those too long for one summary clustered again."""
    found: list[np.ndarray] = []
    for local in _clusters(vectors[members]):
        cluster = members[local]
        long = sum(lengths[i] for i in cluster) > LONGEST
        if long and 1 < len(cluster) < len(members):
            found.extend(_within_length(vectors, lengths, cluster))
        else:
            found.append(cluster)
    return found


def _clusters(vectors: np.ndarray) -> list[np.ndarray]:
    """Global clusters, each cut into local ones; a row may be in several."""
    if len(vectors) <= DIMENSIONS + 1:
        return [np.arange(len(vectors))]
    found: list[np.ndarray] = []
    for rows in _mixture(_reduced(vectors, int((len(vectors) - 1) ** 0.5))):
        if len(rows) <= DIMENSIONS + 1:
            found.append(rows)
            continue
        found.extend(rows[local] for local in _mixture(_reduced(vectors[rows], LOCAL_NEIGHBOURS)))
    return found


def _reduced(vectors: np.ndarray, neighbours: int) -> np.ndarray:
    from umap import UMAP

    return np.asarray(
        UMAP(
            n_neighbors=max(2, neighbours),
            n_components=min(DIMENSIONS, len(vectors) - 2),
            metric="cosine",
            random_state=SEED,
            n_jobs=1,
        ).fit_transform(vectors)
    )


def _mixture(points: np.ndarray) -> list[np.ndarray]:
    """The rows of each component of the mixture whose BIC is least."""
    from sklearn.mixture import GaussianMixture

    most = min(MOST_CLUSTERS, len(points))
    fits = [GaussianMixture(n, random_state=SEED).fit(points) for n in range(1, most)]
    best = min(fits, key=lambda fit: fit.bic(points))
    member = best.predict_proba(points) > THRESHOLD
    rows = [np.flatnonzero(member[:, column]) for column in range(member.shape[1])]
    return [each for each in rows if len(each)]
