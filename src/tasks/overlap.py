"""Which questions are the same: equal, or so near that a word or a mark is all that differs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from .similarity import Neighbours, Shingles, character_shingles, counted, normalised, numbers
from .task import Example, Task

NEAR = 0.9
"""Jaccard similarity of character 3-shingles from which two questions are nearly equal.

Measured between training and test: none of harbour's 200 reworded test questions, none of 291 of
XQuAD, 47 of banking77's 3,080, such as "paying with card" and "paying with my card". At 0.85 there
are three times as many in banking77, and "pending" and "why pending" among them.
"""


def asked(example: Example) -> tuple[str, ...]:
    """The turns of an example up to its question, `normalised`: equal ones ask the same."""
    return tuple(
        normalised(text) for text in (*(turn.text for turn in example.history), example.question)
    )


def check_overlap(task: Task) -> list[tuple[str, str]]:
    """Pairs (test id, train or validation id) whose questions are the same.

    The same means equal after `normalised`: case, punctuation and spacing do not count; in a chat
    the turns before are equal as well. An empty list is what a fair comparison needs; what to do
    otherwise is the caller's decision.
    """
    learnt: dict[tuple[str, ...], list[str]] = {}
    for example in (*task.train, *task.validation):
        learnt.setdefault(asked(example), []).append(example.id)
    return [
        (example.id, other) for example in task.test for other in learnt.get(asked(example), ())
    ]


def near_overlap(task: Task) -> list[tuple[str, str]]:
    """Pairs (test id, train or validation id) whose questions are nearly equal, but not equal.

    Nearly equal: similar by `NEAR`, with the same numbers in them, the same turns before, and an
    accepted answer in common. Else "Room 12" and "Room 13", or "where" and "when" in a long
    question, would be taken for the same.
    """
    known = NearQuestions(task.test)
    for example in task.test:
        known.add(example)
    found: dict[str, list[str]] = {}
    for example in (*task.train, *task.validation):
        for other in (task.test[number] for number in known.near(example)):
            if asked(other) != asked(example):
                found.setdefault(other.id, []).append(example.id)
    return [(one.id, other) for one in task.test for other in found.get(one.id, ())]


class NearQuestions:
    """Finds the questions that are nearly equal to one; `likely` are some of those to come.

    Compared are only questions that could be the same: see `near_overlap`.
    """

    def __init__(self, likely: Iterable[Example]) -> None:
        self._counts = counted(character_shingles(one.question) for one in likely)
        self._comparable: dict[Hashable, tuple[Neighbours, list[int]]] = {}
        self._count = 0

    def add(self, example: Example) -> None:
        """Take one more example in; it is known by its number, counted from 0."""
        shingles = character_shingles(example.question)
        for key in _comparable(example):
            near, members = self._comparable.setdefault(key, (Neighbours(NEAR, self._counts), []))
            near.add(shingles)
            members.append(self._count)
        self._count += 1

    def near(self, example: Example) -> list[int]:
        """The numbers of the examples that were added whose question is nearly equal to this
        one's, or equal."""
        found: set[int] = set()
        shingles: Shingles | None = None
        for key in _comparable(example):
            if key in self._comparable:
                shingles = shingles or character_shingles(example.question)
                near, members = self._comparable[key]
                found |= {members[number] for number in near.near(shingles)}
        return sorted(found)


def _comparable(example: Example) -> list[Hashable]:
    """One key for each accepted answer: questions without a key in common are not the same."""
    *before, question = asked(example)
    same = (*before, *numbers(question))
    return [(len(before), same, answer) for answer in {normalised(a) for a in example.answers}]


def first_of_its_kind(examples: Sequence[Example]) -> list[Example]:
    """For each example the first that belongs together with it: itself, where none came before.

    Together belong those of one group, those with equal questions and those with nearly equal
    ones; what belongs together with the same third belongs together.
    """
    first = list(range(len(examples)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    seen: dict[object, int] = {}
    known = NearQuestions(examples)
    for number, example in enumerate(examples):
        like = [seen.setdefault(("question", asked(example)), number)]
        if example.group is not None:
            like.append(seen.setdefault(("group", example.group), number))
        like += known.near(example)
        known.add(example)
        for other in like:
            one, two = sorted((root(number), root(other)))
            first[two] = one
    return [examples[root(number)] for number in range(len(examples))]
