"""Scores of answers, against an independent reading of the SQuAD v1.1 evaluation."""

from __future__ import annotations

import itertools
import random

import pytest

from wattune.errors import InputError
from wattune.measure.quality import (
    METRICS,
    check_metrics,
    contained,
    exact_match,
    normalise,
    rouge_l,
    token_f1,
)


def reference_normalise(text: str) -> str:
    """Lower, drop punctuation, drop a/an/the, fix blanks: letter by letter, without patterns."""
    kept = "".join(c for c in text.lower() if c not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return " ".join(word for word in kept.split() if word not in ("a", "an", "the"))


def reference_f1(prediction: str, gold: str) -> float:
    said, right = reference_normalise(prediction).split(), reference_normalise(gold).split()
    left = list(right)
    common = 0
    for word in said:
        if word in left:
            left.remove(word)
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)


WORDS = ["The", "a", "an", "cat,", "CAT", "sat.", "mat", "(1999)", "3,5", "harbour's", "-", "to"]


def test_agrees_with_the_reference_on_random_texts() -> None:
    generator = random.Random(0)
    compared = 0
    for _ in range(3000):
        prediction = " ".join(generator.choices(WORDS, k=generator.randint(0, 6)))
        golds = [
            " ".join(generator.choices(WORDS, k=generator.randint(1, 4)))
            for _ in range(generator.randint(1, 3))
        ]
        assert normalise(prediction) == reference_normalise(prediction)
        if not all(map(reference_normalise, golds)):
            continue  # an emptied gold is our own case
        compared += 1
        expected = max(reference_f1(prediction, gold) for gold in golds)
        assert token_f1(prediction, golds) == pytest.approx(expected)
        same = any(reference_normalise(prediction) == reference_normalise(g) for g in golds)
        assert exact_match(prediction, golds) == float(same)
    assert compared > 1000


@pytest.mark.parametrize(
    ("prediction", "golds", "f1", "exact", "inside"),
    [
        ("The Harbour Master", ["harbour master"], 1.0, 1.0, 1.0),
        ("It is the harbour master.", ["harbour master"], 2 * 0.5 / 1.5, 0.0, 1.0),
        ("master of the harbour", ["harbour master"], 0.8, 0.0, 0.0),
        ("15", ["5"], 0.0, 0.0, 0.0),
        ("in 1999 or so", ["1999", "2000"], 0.4, 0.0, 1.0),
        ("1,000 boats", ["1000"], 2 / 3, 0.0, 1.0),
        ("", ["x"], 0.0, 0.0, 0.0),
        ("cat cat", ["cat"], 2 / 3, 0.0, 1.0),
        ("catalogue", ["cat"], 0.0, 0.0, 0.0),
    ],
)
def test_examples(
    prediction: str, golds: list[str], f1: float, exact: float, inside: float
) -> None:
    assert token_f1(prediction, golds) == pytest.approx(f1)
    assert exact_match(prediction, golds) == exact
    assert contained(prediction, golds) == inside


@pytest.mark.parametrize("metric", [token_f1, exact_match, contained])
@pytest.mark.parametrize("gold", ["The A", "A", "the", "+", "?!", "...", "", "  "])
@pytest.mark.parametrize("prediction", ["", "an", "boat", ".", "C", "an apple"])
def test_an_emptied_gold_matches_nothing_else(metric: object, gold: str, prediction: str) -> None:
    assert callable(metric)
    assert metric(prediction, [gold]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "gold"), [("A", "A"), ("a.", "A"), ("the a", "The A"), ("+", "+"), ("?!", "?!")]
)
def test_an_emptied_gold_still_matches_itself(prediction: str, gold: str) -> None:
    assert exact_match(prediction, [gold]) == 1.0
    assert token_f1(prediction, [gold]) == 1.0
    assert contained(f"well {prediction}", [gold]) == 1.0


def test_unicode() -> None:
    assert exact_match("Cafe\u0301 Zürich", ["café zu\u0308rich"]) == 1.0
    assert exact_match("ΑΘΗΝΑ", ["αθηνα"]) == 1.0
    assert contained("答えは 東京 です", ["東京"]) == 1.0
    assert exact_match("cafe", ["café"]) == 0.0
    assert normalise("thé an") == "thé"


def test_the_best_gold_counts() -> None:
    golds = ["one two three", "two"]
    for metric, one in itertools.product(METRICS.values(), ["two", "one two three"]):
        assert metric(one, golds) == 1.0


def test_unknown_metrics_and_answers_without_gold_are_told() -> None:
    check_metrics(["exact_match", "contained", "recall@5"])
    with pytest.raises(InputError, match='did you mean "token_f1"'):
        check_metrics(["token_f2"])
    for metric in METRICS.values():
        with pytest.raises(InputError, match="no accepted answer"):
            metric("two", [])


def test_rouge_l_has_no_tokens_in_other_scripts_and_says_so() -> None:
    assert rouge_l("東京", ["東京"]) is None
    assert rouge_l("Tokyo", ["東京", "Tokyo"]) == 1.0
    assert rouge_l("", ["Tokyo"]) == 0.0
    assert rouge_l("a b c d", ["a c x d"]) == 0.75
