"""An answered question as a metric sees it."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure.quality import Item, declined
from .examples import UNANSWERABLE
from .task import Example, Task


def item_of(example: Example, text: str, task: Task, passages: Sequence[str] = ()) -> Item:
    """The answer `text` to an example of `task`; `passages` are the document ids that were
    retrieved, best first."""
    answerable = example.kind != UNANSWERABLE
    refusals = (task.refusal,) if answerable else (task.refusal, *example.answers)
    return Item(
        id=example.id,
        question=example.question,
        text=text,
        answers=example.answers,
        kind=example.kind,
        tags=example.tags,
        evidence=example.evidence,
        # The turns of one chat share a group and ask different things: only the first has it here.
        group=None if example.history else example.group,
        answerable=answerable,
        format=example.format,
        passages=tuple(passages),
        refused=declined(text, refusals),
    )
