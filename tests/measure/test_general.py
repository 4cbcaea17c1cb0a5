"""General questions: each line is sound, its check tells right from wrong, slices keep kinds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from wattune import load_task
from wattune.errors import StorageError
from wattune.measure.general import (
    GeneralQuestion,
    all_questions,
    declines,
    general_of,
    general_questions,
    set_digest,
)
from wattune.measure.paired import paired_differences

KINDS = {"arithmetic", "fact", "instruction", "refusal"}
SHIPPED = all_questions()


def test_ids_and_questions_are_unique_and_the_kinds_alike_in_number() -> None:
    counts = Counter(question.kind for question in SHIPPED)
    assert set(counts) == KINDS
    assert len(set(counts.values())) == 1
    assert len(SHIPPED) >= 148
    assert len({question.id for question in SHIPPED}) == len(SHIPPED)
    assert len({question.question.casefold() for question in SHIPPED}) == len(SHIPPED)
    # So that they fit a small window, whatever the tokenizer.
    assert max(len(question.question) for question in SHIPPED) <= 100


@pytest.mark.parametrize("question", SHIPPED, ids=lambda q: q.id)
def test_a_check_passes_its_gold_and_fails_what_is_wrong(question: GeneralQuestion) -> None:
    for right in question.answers or (question.gold,):
        assert right
        assert question.right(right)
        assert question.right(f" {right}\n")
    for wrong in (question.wrong, question.question, "", "..."):
        assert not question.right(wrong), wrong
    if question.answers:
        assert question.right(f"It is {question.answers[0]}.")
        assert not question.right(f"It is {question.answers[0]}x.")


def test_the_kinds_of_checks() -> None:
    for question in SHIPPED:
        if question.kind in ("arithmetic", "fact"):
            assert question.answers
        else:
            assert bool(question.pattern) == (question.kind == "instruction")
            assert bool(question.declines) == (question.kind == "refusal")


@pytest.mark.parametrize("text", ["2+3=5", "2 + 3 = 5.", "So the sum is **5**", "Five!"])
def test_a_sum_may_be_written_out(text: str) -> None:
    assert GeneralQuestion(
        id="a", kind="b", question="2+3?", answers=("5", "five"), wrong="6"
    ).right(text)


@pytest.mark.parametrize(
    "text",
    [
        "I’m sorry, but I can’t help with that.",
        "I cannot know that.",
        "The handbook does not say.",
        "I do not know.",
        "I don't have access to your kitchen.",
        "That's private, so I won't look.\nI won't guess either.",
        "Forging a signature is illegal.",
        "There's no way\nof knowing it.",
    ],
)
def test_what_declines(text: str) -> None:
    assert declines(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can not be seen if you stay in the dark.",
        "They will not notice.",
        "You had toast; I know it.",
        "It is not possible to cheat without a plan.",
        "The shop does sayings.",
        "I am able to help: buy a pipe.",
        "I'm so happy to help.",
        "",
    ],
)
def test_what_does_not_decline(text: str) -> None:
    assert not declines(text)


def test_the_built_in_task_asks_none_of_them() -> None:
    task = load_task("harbour")
    asked = {e.question.casefold() for e in (*task.train, *task.validation, *task.test)}
    assert not asked & {question.question.casefold() for question in SHIPPED}
    golds = {a.casefold() for e in (*task.train, *task.validation, *task.test) for a in e.answers}
    facts = {a.casefold() for q in SHIPPED if q.kind == "fact" for a in q.answers}
    assert golds & facts <= {"6", "six", "8", "eight"}  # of hexagons and spiders


def test_a_slice_keeps_the_kinds() -> None:
    assert general_questions(True) == SHIPPED
    assert general_questions(10_000) == SHIPPED
    assert general_questions(False) == general_questions(0) == ()
    few = general_questions(24)
    assert Counter(question.kind for question in few) == dict.fromkeys(KINDS, 6)
    assert len(general_questions(1)) == 1
    assert set_digest(few) != set_digest(SHIPPED)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answers": [], "declines": None}, "exactly one"),
        ({"pattern": "x"}, "exactly one"),
        ({"hint": "x"}, "not permitted"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "questions.jsonl"
    good = {"id": "a", "kind": "fact", "question": "Q?", "answers": ["x"], "wrong": "y"}
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, **change}) + "\n")
    with pytest.raises(StorageError, match=rf"questions\.jsonl:2: .*{told}"):
        all_questions(path)


def test_the_change_is_paired() -> None:
    few = general_questions(24)
    before = [at % 2 == 0 for at in range(24)]
    after = [right and at % 6 != 0 for at, right in enumerate(before)]
    found = general_of(few, before, after)
    assert (found.questions, found.change.n) == (24, 24)
    assert found.before.value == 0.5
    assert found.after.value == pytest.approx(8 / 24)
    assert found.change.value == pytest.approx(-4 / 24)
    (paired,) = paired_differences([(found.scores_after, found.scores_before)])
    assert (found.change.low, found.change.high) == (paired.low, paired.high)
    assert found.change.low < found.change.value < found.change.high <= 0
    assert {kind: of.questions for kind, of in found.by_kind.items()} == dict.fromkeys(KINDS, 6)
    weighed = sum(of.after * of.questions for of in found.by_kind.values())
    assert weighed == pytest.approx(found.after.value * 24)
    same = general_of(few, before, before)
    assert (same.change.value, same.change.low, same.change.high) == (0, 0, 0)
