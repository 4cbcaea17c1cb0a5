"""From rows to Examples, with every fault placed; and splitting."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import TaskError, did_you_mean
from ..values import digest
from .faults import Faults, kind_of
from .overlap import first_of_its_kind
from .task import REFUSAL, Example, Split, Turn

FIELDS = ("id", "question", "answers", "kind", "tags", "evidence", "group", "format")
FORMS = ("messages", "prompt", "completion")
"""Keys of chat and completion data, which `chats` reads."""
SHARES = (0.60, 0.15, 0.25)
"""Train, validation and test shares of a file that has no splits of its own."""
UNANSWERABLE = "unanswerable"
"""The kind of a question whose right answer is the refusal."""


class ExampleReader:
    """Builds the Examples of one task and remembers where each id was first used."""

    def __init__(self, faults: Faults, *, refusal: str = REFUSAL) -> None:
        self.faults = faults
        self.refusal = refusal
        self.places: dict[str, str] = {}

    def read(self, row: object, place: str, *, history: tuple[Turn, ...] = ()) -> Example | None:
        """The Example in a row of `FIELDS`, or None with its faults noted.

        `question` and `answers` (text or a list of texts) are required; an unanswerable question
        (kind "unanswerable") may leave its answers out. Without an id one is made of the content,
        so that it does not depend on the order of rows.
        """
        if not isinstance(row, Mapping):
            self.faults.add(
                f"{place}: an object with question and answers is expected, not {kind_of(row)}"
            )
            return None
        before = len(self.faults)
        for key in row:
            if key not in FIELDS:
                self.faults.add(
                    f'{place}: unknown key "{key}"{did_you_mean(str(key), (*FIELDS, *FORMS))}'
                )
        question = self._text(row, "question", place)
        kind = self._text(row, "kind", place)
        name = self._text(row, "id", place)
        group = self._text(row, "group", place)
        pattern = self._pattern(row, place)
        answers = self._texts(row, "answers", place)
        tags, evidence = self._texts(row, "tags", place), self._texts(row, "evidence", place)
        if not answers and kind == UNANSWERABLE:
            answers = (self.refusal,)
        if len(self.faults) == before and not question:
            self.faults.add(f"{place}: question is missing")
        if len(self.faults) == before and not answers:
            self.faults.add(
                f"{place}: answers is missing or empty (a question that has no answer carries "
                f'"kind": "{UNANSWERABLE}")'
            )
        if len(self.faults) > before or not question:
            return None
        content: list[Any] = [question, list(answers)]
        if history:
            content.append([turn.plain() for turn in history])
        made = self._claim(name, place, content)
        if made is None:
            return None
        return Example(
            id=made,
            question=question,
            answers=answers,
            kind=kind or "question",
            tags=tags,
            evidence=evidence,
            group=group,
            format=pattern,
            history=history,
        )

    def _claim(self, name: str | None, place: str, content: list[Any]) -> str | None:
        if name is None:
            base = name = f"q-{digest(content)}"
            number = 1
            while name in self.places:
                number += 1
                name = f"{base}-{number}"
        elif name in self.places:
            self.faults.add(f'{place}: the id "{name}" is already used at {self.places[name]}')
            return None
        self.places[name] = place
        return name

    def _text(self, row: Mapping[Any, Any], key: str, place: str) -> str | None:
        value = row.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.faults.add(f"{place}: {key} must be text, not {kind_of(value)}")
            return None
        if not value.strip():
            self.faults.add(f"{place}: {key} is empty")
            return None
        return value.strip()

    def _pattern(self, row: Mapping[Any, Any], place: str) -> str | None:
        pattern = self._text(row, "format", place)
        try:
            re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            self.faults.add(f'{place}: format "{pattern}" is no regular expression ({error})')
        return pattern

    def _texts(self, row: Mapping[Any, Any], key: str, place: str) -> tuple[str, ...]:
        value = row.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple):
            self.faults.add(f"{place}: {key} must be text or a list of texts, not {kind_of(value)}")
            return ()
        texts: list[str] = []
        for item in value:
            if not isinstance(item, str):
                self.faults.add(
                    f"{place}: each of {key} must be text, not {kind_of(item)}; "
                    "write a number in quotes"
                )
            elif not item.strip():
                self.faults.add(f"{place}: one of {key} is empty")
            elif item.strip() not in texts:
                texts.append(item.strip())
        return tuple(texts)


def split_examples(
    examples: Iterable[Example], shares: Sequence[float] = SHARES
) -> dict[Split, tuple[Example, ...]]:
    """Divide examples into train, validation and test by a hash, the same on every machine.

    Hashed is the `group` where there is one, else the id. Equal and nearly equal questions
    (`first_of_its_kind`) go by the first of them, so that none is on both sides. Adding examples
    moves no other, but those that are nearly equal to two.
    A file so small that chance leaves the test empty gives it the group of the highest hash.

    Raises `TaskError` unless `shares` are three numbers from 0 to 1 that sum to 1, the last > 0.
    """
    if (
        len(shares) != 3
        or not all(0 <= share <= 1 for share in shares)
        or abs(sum(shares) - 1) > 1e-6
        or shares[2] <= 0
    ):
        raise TaskError(
            f"the shares of train, validation and test must be three numbers from 0 to 1 that sum "
            f"to 1, with some left for the test; got {', '.join(map(str, shares))}"
        )
    given = list(examples)
    placed = [
        (_fraction(first.group or first.id), example)
        for first, example in zip(first_of_its_kind(given), given, strict=True)
    ]
    until_validation, until_test = shares[0], shares[0] + shares[1]
    if placed and all(at < until_test for at, _ in placed):
        until_test = max(at for at, _ in placed)
        until_validation = min(until_validation, until_test)
    return {
        "train": tuple(one for at, one in placed if at < until_validation),
        "validation": tuple(one for at, one in placed if until_validation <= at < until_test),
        "test": tuple(one for at, one in placed if at >= until_test),
    }


def _fraction(key: str) -> float:
    """A number in [0, 1) from the SHA-256 of a text: its first 52 bits, exact in a float."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:13], 16) / 16**13
