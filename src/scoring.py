"""From answers to scores: by question, over all of them, and by kind of question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .measure.quality import score as score_answer
from .measure.record import Score, ScoredAnswer
from .measure.statistics import bootstrap_mean
from .session import Answer
from .tasks.task import Example, Split, Task


def score_example(example: Example, answer: Answer, metrics: Sequence[str]) -> ScoredAnswer:
    """One answer with its scores, as it stands in the answers file."""
    return ScoredAnswer(
        id=example.id,
        question=example.question,
        answers=example.answers,
        kind=example.kind,
        tags=example.tags,
        text=answer.text,
        passages=tuple(passage.plain() for passage in answer.passages),
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        scores=score_answer(answer.text, example.answers, metrics),
    )


def quality_of(scored: Sequence[ScoredAnswer], metrics: Sequence[str]) -> dict[str, Any]:
    """Mean scores with intervals: over all questions, and by kind and tag."""
    groups: dict[str, list[ScoredAnswer]] = {}
    for answer in scored:
        for name in (answer.kind, *(f"{answer.kind}/{tag}" for tag in answer.tags)):
            groups.setdefault(name, []).append(answer)

    def means(answers: Sequence[ScoredAnswer]) -> dict[str, Score]:
        return {m: bootstrap_mean([answer.scores[m] for answer in answers]) for m in metrics}

    return {
        "quality": means(scored),
        "quality_by": {name: means(answers) for name, answers in sorted(groups.items())},
    }


def reference_scores(task: Task, split: Split) -> dict[str, float]:
    """What a system that always refuses would score: the floor that a table needs."""
    examples = task.split(split)
    rows = [score_answer(task.refusal, example.answers, task.metrics) for example in examples]
    return {m: sum(row[m] for row in rows) / max(1, len(rows)) for m in task.metrics}
