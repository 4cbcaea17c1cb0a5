"""Slices: a task cut to so many questions, evenly, and its revision cut to go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .recipe import Limit
from .tasks.revision import changed_questions
from .tasks.task import Example, Split, Task


def limited(task: Task, limit: Limit, split: Split) -> Task:
    """The task cut to a slice that keeps the mix of kinds."""
    changes: dict[str, Any] = {}
    if limit.questions is not None:
        changes[split] = tuple(spread(task.split(split), limit.questions))
    if limit.train is not None:
        changes["train"] = tuple(spread(task.train, limit.train))
    return replace(task, **changes)


def limited_revision(old: Task, short: Task, new: Task, limit: Limit, split: Split) -> Task:
    """The revised task cut to a slice, `short` being that of the `old` one: as many of the changed
    questions, and of the others those that are in the old slice."""
    changes: dict[str, Any] = {}
    for name, count in ((split, limit.questions), ("train", limit.train)):
        if count is not None:
            changed = changed_questions(old, new, name)
            fresh = [example for example in new.split(name) if example.id in changed]
            kept = {example.id for example in short.split(name)} - changed
            rest = (example for example in new.split(name) if example.id in kept)
            changes[name] = (*spread(fresh, count), *rest)
    return replace(new, **changes)


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` examples at even steps, so that a slice keeps the mix of the whole."""
    if count >= len(examples):
        return list(examples)
    return [examples[i * len(examples) // count] for i in range(count)]
