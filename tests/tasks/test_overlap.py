"""Questions that are the same: equal, nearly equal, and what only looks so."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from wattune.errors import TaskError
from wattune.job import OVERLAP_ALLOWED, check_task
from wattune.tasks.examples import split_examples
from wattune.tasks.load import load_task
from wattune.tasks.overlap import check_overlap, first_of_its_kind, near_overlap
from wattune.tasks.similarity import Neighbours, counted, jaccard, word_shingles
from wattune.tasks.task import Example, Task, Turn

LONG = "Why was I charged an extra fee when paying with my card?"


def asked(name: str, question: str, answer: str = "fee", **more: Any) -> Example:
    return Example(id=name, question=question, answers=(answer,), **more)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.75, 0.9, 1.0])
def test_the_search_finds_all_that_a_comparison_of_all_finds(threshold: float) -> None:
    rng = random.Random(3)
    texts = [" ".join(rng.choices("abcdef", k=rng.randint(1, 9))) for _ in range(200)]
    texts += texts[:20]
    shingles = [word_shingles(text, 2) for text in texts]
    for likely in (counted(shingles), Counter[str]()):
        known = Neighbours(threshold, likely)
        for number, own in enumerate(shingles):
            wanted = [n for n in range(number) if jaccard(own, shingles[n]) >= threshold]
            assert known.near(own) == wanted
            known.add(own)


@pytest.mark.parametrize(
    ("question", "near"),
    [
        (LONG.replace("my ", ""), True),
        (LONG.replace("paying", "payin"), True),
        ("On paying by card, why was there a fee?", False),
        (LONG.upper() + "!!", False),  # equal, which check_overlap tells
    ],
)
def test_a_word_or_a_letter_more_is_nearly_the_same(question: str, near: bool) -> None:
    task = Task(name="t", train=(asked("a", LONG),), test=(asked("t", question),))
    assert near_overlap(task) == ([("t", "a")] if near else [])
    assert bool(check_overlap(task)) == (not near and question.upper() == question)


def test_numbers_answers_and_the_turns_before_tell_questions_apart() -> None:
    room = "On which floor of the northern building is meeting room 12 to be found?"
    turn = (Turn(role="user", text="Hello"), Turn(role="assistant", text="Hello."))
    task = Task(
        name="t",
        train=(asked("a", room), asked("b", LONG)),
        test=(
            asked("number", room.replace("12", "13")),
            asked("answer", LONG.replace("my ", ""), "other"),
            asked("history", LONG.replace("my ", ""), history=turn),
            asked("equal but for the history", LONG, history=turn),
        ),
    )
    assert near_overlap(task) == []
    assert check_overlap(task) == []


def test_harbours_rewordings_are_no_false_alarm() -> None:
    assert near_overlap(load_task("harbour")) == []


def test_a_file_is_never_parted_between_questions_that_are_nearly_the_same() -> None:
    pairs = [
        (asked(f"{n}", f"{LONG} Case {n}"), asked(f"{n}-b", f"{LONG.replace('my ', '')} Case {n}"))
        for n in range(60)
    ]
    splits = split_examples(itertools.chain(*pairs))
    task = Task(name="t", train=splits["train"], test=splits["test"])
    assert all(splits.values())
    assert near_overlap(task) == check_overlap(task) == []


def test_what_belongs_together_with_a_third_belongs_together() -> None:
    one, two = asked("1", "One?", group="g"), asked("2", "Two?")
    bridge, other = asked("3", "two", group="g"), asked("4", "Four?")
    assert [e.id for e in first_of_its_kind([one, two, bridge, other])] == ["1", "1", "1", "4"]


def test_a_nearly_equal_test_question_is_refused_or_marked() -> None:
    twice = (asked("a", LONG), asked("b", LONG + "?!"))
    near = asked("near", LONG.replace("my ", ""))
    task = Task(name="t", train=twice, test=(asked("t", LONG), near))
    told = r"2 test question\(s\) .*\(t = a, t = b, near almost = a, near almost = b\); remove .*"
    with pytest.raises(TaskError, match=told + "--allow-overlap"):
        check_task(task, allow_overlap=False)
    assert check_task(task, allow_overlap=True) == (OVERLAP_ALLOWED,)
    assert check_task(Task(name="t", train=twice, test=(asked("t", "Else?"),)), False) == ()
