"""Revision: a task as it stands after its documents were edited, and what that changed.

old documents ─┐
               ├─▶ what was touched ─▶ questions: changed | unchanged
new documents ─┘
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from .folder import TREE, load_revision
from .task import Example, Split, Task


def revised(task: Task) -> Task | None:
    """The task after its revision, or None where it has none; see `load_revision`.

    A revised split that repeats none of the old ids holds only what is new. Then the old questions
    that still hold stand behind it: those that it does not ask again (by text or group), and whose
    evidence was not touched.
    """
    new = load_revision(task)
    if new is None:
        return None
    touched = touched_by(task, new)

    def whole(split: Split) -> tuple[Example, ...]:
        given = new.split(split)
        return given + _still_holding(task.split(split), given, touched)

    return replace(new, train=whole("train"), validation=whole("validation"), test=whole("test"))


def touched_by(old: Task, new: Task) -> frozenset[str]:
    """Ids of the documents that are new, gone or no longer the same; ``hierarchy`` for that."""
    before = {document.id: document for document in old.documents}
    after = {document.id: document for document in new.documents}
    touched = {name for name in before | after if before.get(name) != after.get(name)}
    return frozenset(touched | ({TREE} if old.hierarchy != new.hierarchy else set()))


def changed_questions(old: Task, new: Task, split: Split) -> frozenset[str]:
    """Ids of the questions in a split of `new` that are new, are asked or answered otherwise than
    in `old`, or whose evidence was touched; the rest is unchanged."""
    touched = touched_by(old, new)
    known = {one.id: (one.question, one.history, one.answers) for one in old.split(split)}
    return frozenset(
        example.id
        for example in new.split(split)
        if known.get(example.id) != (example.question, example.history, example.answers)
        or touched.intersection(example.evidence)
    )


def withdrawn_questions(old: Task, new: Task, split: Split) -> frozenset[str]:
    """Ids of the questions that a split of `new` leaves out although nothing replaces them: their
    evidence was not touched, and no question of its text or group is asked."""
    kept = {example.id for example in new.split(split)}
    left = [example for example in old.split(split) if example.id not in kept]
    return frozenset(one.id for one in _holding(left, new.split(split), touched_by(old, new)))


def to_train_on(old: Task, new: Task, *, seed: int) -> tuple[list[Example], list[Example]]:
    """The training questions of `new` that changed, and as many of the others, drawn with `seed`:
    who learns only what is new forgets the old."""
    changed = changed_questions(old, new, "train")
    fresh = [example for example in new.train if example.id in changed]
    others = [example for example in new.train if example.id not in changed]
    return fresh, random.Random(seed).sample(others, min(len(fresh), len(others)))


def _still_holding(
    old: Sequence[Example], new: Sequence[Example], touched: frozenset[str]
) -> tuple[Example, ...]:
    """The questions of an old split that stand beside a new one which holds only what is new."""
    if {example.id for example in old} & {example.id for example in new}:
        return ()  # it is whole: what it leaves out was taken out
    return _holding(old, new, touched)


def _holding(
    old: Sequence[Example], new: Sequence[Example], touched: frozenset[str]
) -> tuple[Example, ...]:
    """The old questions whose evidence was not touched and that are not asked anew."""
    asked = {example.question for example in new} | {example.group for example in new}
    return tuple(
        example
        for example in old
        if not touched.intersection(example.evidence)
        and example.question not in asked
        and (example.group is None or example.group not in asked)
    )
