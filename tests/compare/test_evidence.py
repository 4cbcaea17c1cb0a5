"""The table that tells a fault of finding from a fault of answering."""

from __future__ import annotations

from typing import Any

from wattune.compare import compare
from wattune.compare.evidence import HEADERS, evidence_counts
from wattune.measure.record import Record, Score

RECALL = (1.0, 1.0, 1.0, 0.5, 0.0, None)
RIGHT = (1.0, 1.0, 0.0, 1.0, 0.0, 1.0)


def run(name: str, scores: dict[str, Any], **changes: Any) -> Record:
    """A finished record with these scores by question."""
    quality = {metric: Score(value=0.5, low=0.0, high=1.0, n=5) for metric in scores}
    seed = changes.get("seed", 0)
    given = {
        "name": name,
        "key": f"{name}-{seed}",
        "recipe": {"runs": {name: []}, "seed": seed},
        "task": {"name": "ferry", "items": "0123", "split": "test", "questions": 6},
        "fingerprints": {"scorer": "s"},
        "answers": 6,
        "quality": quality,
        "scores": scores,
    }
    return Record.model_validate({**given, **changes})


def table(*records: Record) -> dict[str, list[str]] | None:
    found = [t for t in compare(records).tables() if t.title.startswith("Where answers went")]
    if not found:
        return None
    (one,) = found
    assert one.headers == HEADERS
    return {name: cells for name, *cells in one.rows}


def test_a_question_counts_once_and_part_of_the_evidence_is_not_found() -> None:
    record = run("rag", {"contained": RIGHT, "recall@2": RECALL})
    assert evidence_counts(record) == (2, 1, 1, 1)  # the sixth question has no evidence
    shown = table(record, run("bare", {"contained": RIGHT}))
    assert shown == {"rag": ["2", "1", "1", "1"]}  # what retrieves nothing has no row


def test_the_largest_k_is_what_the_prompt_had() -> None:
    first = (0.0,) * 5 + (None,)
    scores = {"contained": RIGHT, "recall@1": first, "recall@10": RECALL, "recall@2": RECALL}
    assert evidence_counts(run("rag", scores)) == (2, 1, 1, 1)


def test_seeds_are_one_row_of_means() -> None:
    one = run("rag", {"exact_match": RIGHT, "recall@2": RECALL})
    other = run("rag", {"exact_match": (0.0,) * 6, "recall@2": RECALL}, seed=1)
    shown = table(one, other)
    assert shown == {"rag (2 seeds)": ["1", "2", "0.5", "1.5"]}


def test_without_a_metric_of_right_and_wrong_there_is_no_table() -> None:
    assert table(run("rag", {"token_f1": RIGHT, "recall@2": RECALL})) is None
    assert table(run("bare", {"contained": RIGHT})) is None
