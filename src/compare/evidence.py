"""Where answers went wrong: in finding the evidence, or in answering from it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ..measure.record import Record
from .forgetting import Parts
from .seeds import Row

RIGHT = ("contained", "accuracy", "exact_match")
"""The metrics that are 1 where an answer is right; the first that a record has decides."""
HEADERS = ("run", "found\nright", "found\nwrong", "not found\nright", "not found\nwrong")

Counts = tuple[int, int, int, int]


def evidence_counts(record: Record) -> Counts | None:
    """Questions with evidence: found and right, found and wrong, not found and right, neither.

    Found: all documents of a question's evidence are among those retrieved for it. None for a run
    that retrieves nothing, and where no metric says of each answer whether it is right.
    """
    # Whatever else was asked for, the largest k is at least as many as were retrieved.
    recalls = [name for name in record.scores if name.startswith("recall@")]
    right = next((record.scores[name] for name in RIGHT if name in record.scores), None)
    if not recalls or right is None:
        return None
    recall = record.scores[max(recalls, key=lambda name: int(name.partition("@")[2]))]
    counts = [0, 0, 0, 0]
    for found, correct in zip(recall, right, strict=True):
        if found is not None and correct is not None:
            counts[2 * (found < 1) + (correct < 1)] += 1
    return counts[0], counts[1], counts[2], counts[3]


def evidence_tables(rows: Sequence[Row]) -> list[Parts]:
    """The table of those rows that retrieve, their seeds' means; none where no row does."""
    told: list[tuple[str, ...]] = []
    for row in rows:
        found = [counts for record in row.records if (counts := evidence_counts(record))]
        if len(found) == len(row.records):
            means = [fmean(column) for column in zip(*found, strict=True)]
            told.append((row.label, *(f"{mean:,.1f}".removesuffix(".0") for mean in means)))
    title = "Where answers went wrong: evidence found or not, answer right or wrong, questions"
    return [(title, HEADERS, tuple(told))] if told else []
