"""Fusion: two rankings of the same rows made into one."""

from __future__ import annotations

from collections.abc import Sequence

Hits = Sequence[tuple[int, float]]
"""(row, score), best first."""

RRF_K = 60
"""The constant of reciprocal rank fusion in Cormack et al. 2009; results hardly depend on it."""


def scaled(hits: Hits, least: float | None = None) -> dict[int, float]:
    """Scores brought to 0..1: `least` (or the lowest found) becomes 0, the highest 1.

    Where all are the same, each is 1.
    """
    if not hits:
        return {}
    scores = [score for _, score in hits]
    low, high = min(scores) if least is None else least, max(scores)
    span = high - low
    return {row: (score - low) / span if span > 0 else 1.0 for row, score in hits}


def min_max(dense: Hits, lexical: Hits, weight: float) -> list[tuple[int, float]]:
    """`weight` times the scaled cosine plus the rest times the scaled BM25, best first.

    A convex combination after min-max normalisation, which Bruch, Gai and Ingber, "An Analysis of
    Fusion Functions for Hybrid Retrieval" (arXiv 2210.11934), found better than ranks alone. As
    they advise, BM25 is scaled from its least possible value, 0. A row that one side did not find
    gets nothing from it. Equal scores are ordered by row.
    """
    near, worded = scaled(dense), scaled(lexical, least=0.0)
    return ranked(
        {
            row: weight * near.get(row, 0.0) + (1 - weight) * worded.get(row, 0.0)
            for row in near.keys() | worded.keys()
        }
    )


def reciprocal_rank(*rankings: Hits) -> list[tuple[int, float]]:
    """The sum over rankings of 1 / (60 + rank), ranks from 1, best first; ties by row.

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009.
    """
    scores: dict[int, float] = {}
    for hits in rankings:
        for rank, (row, _) in enumerate(hits, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (RRF_K + rank)
    return ranked(scores)


def ranked(scores: dict[int, float]) -> list[tuple[int, float]]:
    """Rows by their score, the highest first; equal ones, to 6 decimals, by row."""
    hits = [(row, round(score, 6)) for row, score in scores.items()]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))
