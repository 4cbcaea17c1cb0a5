"""Answer lengths: the one thing that operation counts cannot tell before a model has answered.

What a model writes lies between the gold answer and `max_tokens`. How near to either is its habit:
as its records in the folder of runs tell (question by question, for the same steps), else as it
answered a few questions in the calibration. A tuned model is taken to write like the answers that
it was tuned on.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..measure.calibration import Habit

if TYPE_CHECKING:
    from ..prompt import Message
    from ..system import Decoding

Taught = Literal["plain", "shots", "tuned"]
"""How a System was shown what an answer looks like."""
Ids = Callable[[str], list[int]]


FREE_TEXT = 400
"""Characters of a prompt's end that stand for what is written freely."""


class Written(NamedTuple):
    """Tokens that were written for a question before; `sure` where the same is written again."""

    tokens: int
    sure: bool = True


class Lengths:
    """Gives tokens that stand for the answers to chats, in the three ways.

    `gold` holds the answer of each question; a chat asks the longest question that its last turn
    holds. `known` holds what was written for a question before, which leaves nothing open where it
    is sure.
    `habits` are the model's, by how it was shown.
    """

    def __init__(
        self,
        gold: Mapping[str, str],
        habits: Mapping[str, Habit],
        known: Mapping[str, Written] | None = None,
    ) -> None:
        self._gold, self._habits, self._known = gold, habits, known or {}
        self._questions = sorted(gold, key=len, reverse=True)
        self._asked: dict[str, str | None] = {}
        self._ran_on = 0.0  # carried over, for questions that are asked one by one

    def basis(self, taught: Taught) -> str:
        """Where the lengths come from, as a sentence."""
        if found := [self._known[one] for one in self._gold if one in self._known]:
            whose = "its records" if all(one.sure for one in found) else "records of like steps"
            return f"answer lengths: as {whose} hold them, of {len(found)} questions"
        if taught == "tuned":
            return "answer lengths: those of the gold answers, at most as the untuned model writes"
        if (habit := self._habits.get(taught)) is None:
            return (
                "answer lengths: between the gold answers and max_tokens; the model's are unknown"
            )
        return (
            f"answer lengths: as the model answered {habit.questions} questions in the calibration "
            f"({habit.runs_on:.0%} ran on to the limit); from the gold answers to max_tokens"
        )

    def answers(
        self,
        chats: Sequence[Sequence[Message]],
        decoding: Decoding,
        taught: Taught,
        ids: Ids,
        end: int,
    ) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
        """Tokens of each answer: likely, shortest, longest; each ends in `end` where it ends."""
        most = decoding.max_tokens
        ways: tuple[list[list[int]], list[list[int]], list[list[int]]] = [], [], []
        habit = self._habits.get("plain" if taught == "tuned" else taught)
        for chat in chats:
            question = self._question(chat[-1]["content"])
            gold = [*ids(self._gold[question]), end] if question else None
            # What is written freely is of the words that it is about: a summary is read again.
            filler = (gold[:-1] if gold else ids(chat[-1]["content"][-FREE_TEXT:])) or [end]
            written = self._known.get(question) if question else None
            if written is not None and gold is not None:
                plain = min(most, max(1, written.tokens))
                ends = [plain] * 2 if written.sure else [min(plain, len(gold)), most]
                each = [_of_length(filler, end, n, most) for n in (plain, *ends)]
            elif gold is None or decoding.choices:
                # A free text runs to its limit as a rule; a choice is as long as choices are.
                each = [_of_length(filler, end, n, most) for n in self._free(decoding, ids, most)]
            else:
                # Of a habit that is not known nothing speaks for either end: every other one.
                self._ran_on += habit.runs_on if habit else 0.5
                on = self._ran_on >= 1
                self._ran_on -= on
                ratio = habit.ratio if habit else 1.0
                as_it_does = most if on else min(most, max(1, round(len(gold) * ratio)))
                plain = len(gold) if taught == "tuned" else as_it_does
                longest = max(plain, as_it_does if taught == "tuned" else most)
                shortest = min(plain, len(gold))
                each = [_of_length(filler, end, n, most) for n in (plain, shortest, longest)]
            for way, tokens in zip(ways, each, strict=True):
                way.append(tokens)
        return ways

    def _free(self, decoding: Decoding, ids: Ids, most: int) -> tuple[int, int, int]:
        if not decoding.choices:
            return most, 1, most
        sizes = [min(most, len(ids(choice)) + 1) for choice in decoding.choices]
        return round(statistics.fmean(sizes)), min(sizes), max(sizes)

    def _question(self, text: str) -> str | None:
        if text not in self._asked:
            self._asked[text] = next((q for q in self._questions if q in text), None)
        return self._asked[text]


def _of_length(filler: Sequence[int], end: int, length: int, most: int) -> list[int]:
    """So many tokens, the last of them `end` unless the limit cuts them off."""
    body = [filler[at % len(filler)] for at in range(length)]
    return body if length >= most else [*body[:-1], end]
