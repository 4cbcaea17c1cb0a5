"""From answers to scores: by question, over all of them, and by kind of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .answering.answer import Answer
from .answering.pool import Pool
from .measure.quality import Tools, mean, metric_of, needs_of, outcome, rate, total
from .measure.record import Score, ScoredAnswer
from .prompt import Passage
from .rag.entity_tree import DOCUMENT
from .system import System
from .tasks.items import item_of
from .tasks.task import Example, Split, Task

DIGITS = 6
"""Decimals kept of the values by question."""
RETRIEVING = ("index", "summary", "langchain")
"""Sources that look for documents: where they find none, that is a score of 0."""


def score_answers(
    examples: Sequence[Example], answers: Sequence[Answer], task: Task, tools: Tools | None = None
) -> tuple[list[ScoredAnswer], dict[str, Any]]:
    """The answers with their scores, and the fields `quality`, `quality_by`, `outcomes` and
    `scores` of their Record.

    `scores` holds the values, by question, of those metrics whose figure is their mean. Raises
    `InputError` for a metric that is not known, fails, or lacks a tool.
    """
    items = [
        item_of(example, answer.text, task, _ranked(example, answer))
        for example, answer in zip(examples, answers, strict=True)
    ]
    rated = rate(items, task.metrics, tools or Tools())
    scores = {
        name: tuple(None if value is None else round(value, DIGITS) for value in values)
        for name, values in rated.items()
        if metric_of(name.partition("/")[0]).total is mean
    }
    outcomes = [outcome(item) for item in items]
    scored = [
        ScoredAnswer(
            id=example.id,
            question=example.question,
            answers=example.answers,
            kind=example.kind,
            tags=example.tags,
            text=answer.text,
            passages=tuple(map(_shown, answer.passages, answer.cited)),
            evidence=example.evidence,
            group=example.group,
            outcome=outcomes[at],
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            tokens_reused=answer.tokens_reused,
            votes=answer.votes,
            scores={name: values[at] for name, values in scores.items()},
        )
        for at, (example, answer) in enumerate(zip(examples, answers, strict=True))
    ]
    kinds: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        for kind in (item.kind, *(f"{item.kind}/{tag}" for tag in item.tags)):
            kinds.setdefault(kind, []).append(at)

    def figures(places: Sequence[int]) -> dict[str, Score]:
        part = [items[at] for at in places]
        found = {name: total(name, part, [rated[name][at] for at in places]) for name in rated}
        return {name: figure for name, figure in found.items() if figure is not None}

    return scored, {
        "quality": figures(range(len(items))),
        "quality_by": {kind: figures(places) for kind, places in sorted(kinds.items())},
        "outcomes": dict(Counter(outcomes)),
        "scores": scores,
    }


def _ranked(example: Example, answer: Answer) -> list[str]:
    """The documents that were retrieved, best first.

    What a hierarchy told is no document: it takes no rank, unless evidence names it.
    """
    return [name for name in answer.retrieved if name != DOCUMENT or DOCUMENT in example.evidence]


def _shown(passage: Passage, cited: bool) -> dict[str, Any]:
    """The passage as JSON types, and whether the answer stands in it; without its text where that
    is the same for every question."""
    shown = {**passage.plain(), "cited": cited}
    if passage.source == "documents":
        del shown["text"]
    return shown


def reference_scores(task: Task, split: Split, tools: Tools | None = None) -> dict[str, float]:
    """What a system that always refuses would score: the floor that a table needs.

    A metric that lacks its tool is left out, and so is a judge, whose calls cost.
    """
    tools = Tools(embed=tools.embed if tools else None)
    had = {None, "embed"} if tools.embed else {None}
    names = [name for name in task.metrics if metric_of(name).needs in had]
    items = [item_of(example, task.refusal, task) for example in task.split(split)]
    figures = {
        name: total(name, items, values) for name, values in rate(items, names, tools).items()
    }
    return {name: figure.value for name, figure in figures.items() if figure is not None}


def tools_of(metrics: Sequence[str], embedder: str, pool: Pool, system: System) -> Tools:
    """What metrics may need: the scoring embedder, judges, whose calls are metered, and how many
    documents the System that answered looks for."""

    def judge(factory: str, prompts: Sequence[str]) -> Sequence[str | None]:
        with pool.meter.phase("judging"):
            return ask_chat_model(factory, prompts)

    opened = pool.embedder(embedder) if "embed" in needs_of(metrics) else None
    return Tools(
        embed=opened.uncached().encode_documents if opened else None,
        judge=judge,
        retrieves=max(
            (getattr(one, "k", 1) for one in system.sources if one.type in RETRIEVING), default=0
        ),
    )


def ask_chat_model(factory: str, prompts: Sequence[str]) -> list[str | None]:
    """Replies of the LangChain chat model that ``package.module:factory`` makes, one a prompt;
    None for a call that failed. The `judge` of `Tools`.

    Raises `ModelError` where the factory cannot be imported, fails, or makes something else.
    """
    from .models.langchain_chat import chat_model

    model = chat_model(factory)
    replies: list[Any] = model.batch(list(prompts), return_exceptions=True)
    return [None if isinstance(reply, Exception) else str(reply.text) for reply in replies]
