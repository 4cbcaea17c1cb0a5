"""How long answers will be: as they were written, else as the model's habit is."""

from __future__ import annotations

from wattune.measure.calibration import Habit
from wattune.planning.lengths import Lengths, Written
from wattune.prompt import Message
from wattune.system import Decoding

MOST = 48
GOLD = {f"question {n}?": "a b c" for n in range(10)}
"""Of three tokens each; one more ends an answer."""


def ids(text: str) -> list[int]:
    return [ord(word[0]) for word in text.split()]


def lengths(known: Lengths, *questions: str) -> list[tuple[int, ...]]:
    """Likely, shortest and longest of the answers to questions that are asked together."""
    chats: list[list[Message]] = [[{"role": "user", "content": one}] for one in questions]
    ways = known.answers(chats, Decoding(max_tokens=MOST), "plain", ids, 0)
    return [tuple(map(len, row)) for row in zip(*ways, strict=True)]


def test_what_was_written_before_is_certain_only_of_the_same_steps() -> None:
    known = {"question 0?": Written(9), "question 1?": Written(9, sure=False)}
    found = Lengths(GOLD, {}, known)
    assert lengths(found, "question 0?") == [(9, 9, 9)]
    assert lengths(found, "question 1?") == [(9, 4, MOST)]
    assert "as records of like steps hold them, of 2 questions" in found.basis("plain")
    assert "unknown" in Lengths(GOLD, {}, {"another one?": Written(9)}).basis("plain")


def test_as_many_run_on_one_by_one_as_together() -> None:
    habits = {"plain": Habit(questions=12, runs_on=0.4, ratio=2.0)}
    together = lengths(Lengths(GOLD, habits), *GOLD)
    known = Lengths(GOLD, habits)
    alone = [found for question in GOLD for found in lengths(known, question)]
    assert alone == together
    assert [likely for likely, _, _ in alone].count(MOST) == 4
