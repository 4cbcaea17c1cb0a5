"""Refusals, outcomes, formats, agreement and labels, by example."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.measure.quality import Item, Outcome, Tools, declined, outcome, rate, refused, total

NONE = "I do not know."


def item(text: str, *answers: str, **more: Any) -> Item:
    """One answered question; the refusal is `NONE`."""
    given = {"id": "q", "refused": declined(text, [NONE]), **more}
    return Item(question="?", text=text, answers=answers or (NONE,), **given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I do not know.", True),
        ("i do not know", True),
        ("I don't know.", True),
        ("I don’t know", True),
        ("I do not know. The passages do not say.", True),
        ("I do not know\nQuestion:", True),
        ("I do not know the date, but 1999 is likely", False),
        ("1999", False),
        ("", False),
        ("I know.", False),
    ],
)
def test_refused(text: str, expected: bool) -> None:
    assert refused(text, NONE) is expected
    assert declined(text, ["Nobody knows.", NONE]) is (expected or not text)


def test_a_refusal_of_two_sentences_and_an_empty_one() -> None:
    assert refused("No answer. Ask the office. Bye.", "No answer. Ask the office.")
    assert not refused("No answer. Ask me.", "No answer. Ask the office.")
    assert not refused("anything", "")


OUTCOMES: list[tuple[Item, Outcome]] = [
    (item("It is 1999.", "1999"), "correct"),
    (item("It is 2001.", "1999"), "wrong"),
    (item("I do not know.", "1999"), "refused"),
    (item(" ", "1999"), "refused"),
    (item("I don't know. Perhaps 1999.", "1999"), "correct"),
    (item("I do not know the date, but 2001 is likely.", "1999"), "wrong"),
    (item("I do not know.", answerable=False), "refused_rightly"),
    (item("I do not know the date, but 1999 is likely.", answerable=False), "hallucinated"),
    (item("1999", answerable=False), "hallucinated"),
    (item("", answerable=False), "refused_rightly"),
]


@pytest.mark.parametrize(("one", "expected"), OUTCOMES)
def test_outcomes(one: Item, expected: Outcome) -> None:
    assert outcome(one) == expected


def test_refusing_and_inventing_are_rates_of_their_own_questions() -> None:
    items = [one for one, _ in OUTCOMES]
    rated = rate(items, [], Tools())
    for name, value, n in (("refusal_rate", 2 / 6, 6), ("hallucination_rate", 2 / 4, 4)):
        score = total(name, items, rated[name])
        assert score is not None
        assert score.value == pytest.approx(value)
        assert score.n == n


def test_what_applies_to_no_question_has_no_name() -> None:
    assert set(rate([item("1999", "1999")], ["token_f1"], Tools())) == {"token_f1", "refusal_rate"}
    assert set(rate([item("x", answerable=False)], [], Tools())) == {"hallucination_rate"}
    alone = item("1999", "1999", group="g", evidence=("d",))
    assert set(rate([alone], ["recall@3", "rouge_l", "accuracy"], Tools())) == {
        "rouge_l", "accuracy", "refusal_rate"
    }  # fmt: skip


def test_retrieval_is_told_at_the_number_of_passages() -> None:
    items = [
        item("x", "x", evidence=("a",), passages=("b", "b", "a")),
        item("x", "x", evidence=("a", "c")),
        item("x", "x", passages=("a",)),
    ]
    rated = rate(items, ["recall@1"], Tools())
    assert list(rated) == ["recall@1", "refusal_rate", "recall@3", "mrr@3", "ndcg@3"]
    assert rated["recall@1"] == [0.0, 0.0, None]
    assert rated["recall@3"] == [1.0, 0.0, None]  # found nothing where there was something
    assert rated["mrr@3"] == [1 / 2, 0.0, None]  # the second document, though the third passage


def test_format_is_of_the_whole_answer() -> None:
    pattern = r"[A-Z]{2}-\d{3}"
    said = ["AB-123", " AB-123\n", "It is AB-123", "AB-123.", ""]
    items = [*(item(text, "x", format=pattern) for text in said), item("x", "x")]
    assert rate(items, [], Tools())["format"] == [1.0, 1.0, 0.0, 0.0, 0.0, None]


def test_agreement_looks_at_rewordings_only() -> None:
    said = [("the desk", "a"), ("Desk.", "a"), ("alone", "b"), ("no group", None), ("shop", "a")]
    items = [item(text, "x", group=group) for text, group in said]
    assert rate(items, [], Tools())["agreement"] == [1 / 3, None, None, None, None]


def test_questions_of_classification_are_told_apart_from_others() -> None:
    items = [
        item("billing", "Billing", kind="classification"),
        item("Repairs", "Billing", tags=("classification",)),
        item("repairs", "Repairs", "Mending", kind="classification"),
        item("mending", "Repairs", "Mending", kind="classification"),
        item("Ada Lund", "Ada Lund", kind="fact"),
    ]
    rated = rate(items, ["accuracy", "macro_f1"], Tools())
    assert rated["accuracy"] == rated["macro_f1"] == [1.0, 0.0, 1.0, 1.0, None]
    score = total("macro_f1", items, rated["macro_f1"])
    assert score is not None
    # Billing: 1 right, 1 missed, none claimed wrongly. Repairs: 2 right, 1 claimed wrongly.
    assert score.value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert score.n == 4
    assert total("macro_f1", items[4:], rated["macro_f1"][4:]) is None
