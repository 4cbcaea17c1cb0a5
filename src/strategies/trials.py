"""Trials: variants of a prompt asked validation questions, scored, and remembered."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..answering.answer import Answer
from ..answering.session import Session
from ..errors import InputError
from ..measure.quality import Tools, mean, metric_of
from ..system import System
from ..tasks.items import item_of
from ..tasks.task import Example
from .base import Context
from .prompt import Prompt
from .race import Answered
from .variants import identity_of


class Trials:
    """Asks variants of a prompt the task's validation questions, none of them twice.

    The questions stand in an order that the seed draws and in which every beginning has the mix of
    kinds of the whole.
    """

    def __init__(self, system: System, ctx: Context, metric: str, questions: int | None) -> None:
        self._system, self._ctx, self._metric = system, ctx, metric
        self.examples = mixed(ctx.task.validation, ctx.seed)[:questions]
        self._asked: dict[str, tuple[Session, list[Answer]]] = {}

    @property
    def answers(self) -> int:
        """How many questions were asked, over all variants."""
        return sum(len(answers) for _, answers in self._asked.values())

    def ask(self, variant: Prompt, count: int) -> list[Answered]:
        """The variant's answers to the first `count` questions, with their scores."""
        key = identity_of(variant)
        if key not in self._asked:
            opened = self._ctx.open(self._ctx.fold(self._system, [variant]))
            self._asked[key] = (opened, [])
        session, answers = self._asked[key]
        more = self.examples[len(answers) : count]
        if more:
            answers += session.answer(more)
        return self._scored(answers[:count])

    def _scored(self, answers: Sequence[Answer]) -> list[Answered]:
        items = [
            item_of(example, answer.text, self._ctx.task, [p.document for p in answer.passages])
            for example, answer in zip(self.examples, answers, strict=False)
        ]
        # Of all so far, not of the new ones alone: some metrics look at several questions at once.
        scores = metric_of(self._metric).rate(items, Tools())[self._metric]
        return [
            Answered(
                text=answer.text,
                score=None if answer.failed else score,
                tokens_in=answer.tokens_in,
                tokens_out=answer.tokens_out,
            )
            for answer, score in zip(answers, scores, strict=True)
        ]


def mixed(examples: Sequence[Example], seed: int) -> list[Example]:
    """The examples in a seeded order in which the kinds stand at even steps."""
    shuffled = random.Random(seed).sample(examples, len(examples))
    kinds: dict[str, list[Example]] = {}
    for example in shuffled:
        kinds.setdefault(example.kind, []).append(example)
    placed = [
        ((number + 0.5) / len(group), example)
        for group in kinds.values()
        for number, example in enumerate(group)
    ]
    return [example for _, example in sorted(placed, key=lambda pair: pair[0])]


def check_metric(name: str) -> None:
    """Raise `InputError` unless the metric scores each answer by itself, without a model."""
    metric = metric_of(name)
    if metric.needs is not None:
        tool = {"judge": "a judge, whose calls cost", "embed": "an embedder"}[metric.needs]
        raise InputError(
            f'the metric "{name}" needs {tool}; a prompt search asks for very many scores: give '
            "`metric:` one that needs no model, such as token_f1"
        )
    if metric.total is not mean:
        raise InputError(
            f'the metric "{name}" is no mean over questions, so variants cannot be compared '
            "question by question; give `metric:` one that is, such as accuracy"
        )
