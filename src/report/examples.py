"""Examples side by side: questions that tell the runs apart, and what each run said."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..compare.seeds import Row
from ..errors import StorageError
from ..measure.record import Record, ScoredAnswer
from ..measure.store import load_answers

MOST_EXAMPLES = 20
MOST_RUNS = 12
"""Answers to one question, beyond which a page is no longer read."""
MOST_CHARACTERS = 2000
"""Of one passage or answer; what is longer stands whole in the answers file."""


@dataclass(frozen=True)
class Said:
    """What a run answered to a question, how that scored, and what it was given to read."""

    run: str
    seed: int | None
    text: str
    outcome: str
    score: float | None
    passages: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Example:
    """A question, its accepted answers, and what each run answered."""

    id: str
    question: str
    kind: str
    accepted: tuple[str, ...]
    evidence: tuple[str, ...]
    said: tuple[Said, ...]


def answers_of(
    files: Mapping[int, object], records: Sequence[Record]
) -> dict[int, list[ScoredAnswer]]:
    """The answers beside each record's file, by the record's identity (`id`); a record without them
    has none."""
    found = {}
    for record in records:
        try:
            found[id(record)] = load_answers(str(files[id(record)]), record)
        except StorageError:
            continue  # they were deleted, or never kept
    return found


def examples_of(
    rows: Sequence[Row], answers: Mapping[int, Sequence[ScoredAnswer]], metric: str
) -> list[Example]:
    """The questions on which the runs differ the most in `metric`, first those of each kind in
    turn; none where fewer than two runs have their answers.

    Of several seeds the first one's answers are shown. Questions on which all score alike tell
    nothing apart and are left out.
    """
    told = [
        (row, row.records[0], {answer.id: answer for answer in answers[id(row.records[0])]})
        for row in rows
        if answers.get(id(row.records[0]))
    ][:MOST_RUNS]
    if len(told) < 2:
        return []
    shared = [key for key in told[0][2] if all(key in by_id for _, _, by_id in told)]
    spreads: dict[str, float] = {}
    for key in shared:
        scores = [by_id[key].scores.get(metric) for _, _, by_id in told]
        known = [score for score in scores if score is not None]
        if len(known) > 1 and (spread := statistics.pstdev(known)) > 0:
            spreads[key] = spread
    kinds: dict[str, int] = {}
    turns = {}
    for key in sorted(spreads, key=lambda key: -spreads[key]):  # stable: in the task's order
        kind = told[0][2][key].kind
        turns[key] = kinds[kind] = kinds.get(kind, 0) + 1
    chosen = sorted(turns, key=lambda key: (turns[key], -spreads[key]))[:MOST_EXAMPLES]
    return [_example(key, told, metric) for key in chosen]


def _example(
    key: str, told: Sequence[tuple[Row, Record, Mapping[str, ScoredAnswer]]], metric: str
) -> Example:
    first = told[0][2][key]
    said = tuple(
        Said(
            run=row.label,
            seed=record.seed if len(row.records) > 1 else None,
            text=_cut(by_id[key].text),
            outcome=by_id[key].outcome.replace("_", " "),
            score=by_id[key].scores.get(metric),
            passages=tuple(_passage(passage) for passage in by_id[key].passages),
        )
        for row, record, by_id in told
    )
    return Example(first.id, first.question, first.kind, first.answers, first.evidence, said)


def _passage(passage: Mapping[str, object]) -> tuple[str, str]:
    """Where a passage is from, and its text."""
    where = str(passage.get("id") or passage.get("document") or passage.get("source") or "passage")
    score = passage.get("score")
    told = f"{where}, score {score:.3f}" if isinstance(score, float) else where
    return told, _cut(str(passage.get("text", "")))


def _cut(text: str) -> str:
    left = len(text) - MOST_CHARACTERS
    return text if left <= 0 else f"{text[:MOST_CHARACTERS]}… ({left:,} more characters)"
