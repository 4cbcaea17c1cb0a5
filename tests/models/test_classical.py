"""The classifier: what is kept of it predicts as it did, and its work is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from wattune.errors import CannotRun, StorageError
from wattune.measure.work import NO_WORK
from wattune.models.classical import ClassicalModel, ClassicalSettings
from wattune.system import Decoding

if TYPE_CHECKING:
    from wattune.models.generation import Reply
    from wattune.prompt import Message

TEXTS = [
    "my card has not arrived",
    "where is my new card",
    "the card is late, is it lost?",
    "what is the rate for dollars",
    "which exchange rate do you use",
    "is the rate for euros good",
    "i forgot my pin",
    "the pin is blocked",
]
LABELS = ["card", "card", "card", "rate", "rate", "rate", "pin", "pin"]
ASKED = ["is the card here?", "what rate", "a new pin please", "zzz", ""]
WORDS = ClassicalSettings(analyzer="word", ngram_range=(1, 1))


def chats(texts: list[str]) -> list[list[Message]]:
    return [[{"role": "user", "content": text}] for text in texts]


def answers(model: ClassicalModel, texts: list[str]) -> list[str]:
    return [reply.text for reply in model.generate(chats(texts), Decoding())]


@pytest.mark.parametrize(
    "settings",
    [
        ClassicalSettings(),
        WORDS,
        ClassicalSettings(analyzer="word", min_df=2, class_weight="balanced"),
        ClassicalSettings(max_features=20, sublinear_tf=False, C=0.5),
    ],
)
@pytest.mark.parametrize("count", [6, 8])  # two labels have one row of coefficients, three three
def test_opened_again_it_predicts_the_same_to_the_last_bit(
    tmp_path: Path, settings: ClassicalSettings, count: int
) -> None:
    fitted = ClassicalModel.fit(TEXTS[:count], LABELS[:count], settings)
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    opened = ClassicalModel.open(tmp_path)
    assert answers(opened, ASKED) == answers(fitted, ASKED)
    assert opened.account.tally == fitted.account.tally

    def probabilities(model: ClassicalModel) -> Any:
        return model._classifier.predict_proba(model._vectorizer.transform(ASKED))

    assert np.array_equal(probabilities(opened), probabilities(fitted))
    assert opened.labels == sorted(set(LABELS[:count]))


def test_it_answers_with_the_label_of_like_questions() -> None:
    model = ClassicalModel.fit(TEXTS, LABELS, WORDS)
    assert answers(model, ASKED[:3]) == ["card", "rate", "pin"]
    assert model.converged
    assert not ClassicalModel.fit(TEXTS, LABELS, ClassicalSettings(max_iter=1)).converged


def test_replies_have_no_tokens_and_are_told_one_by_one() -> None:
    told: dict[int, Reply] = {}
    model = ClassicalModel.fit(TEXTS, LABELS, WORDS)
    replies = model.generate(chats(ASKED), Decoding(), told=told.__setitem__)
    assert [told[number] for number in range(len(ASKED))] == replies
    assert {(one.tokens_in, one.tokens_out) for one in replies} == {(None, None)}
    assert model.generate([], Decoding()) == []


def test_operations_are_those_of_the_sparse_product() -> None:
    model = ClassicalModel.fit(TEXTS, LABELS, WORDS)
    before = model.account.tally
    answers(model, ["the card", "zzz", "rate rate pin"])
    done = model.account.work(before)
    assert (done.flops, done.flops_method) == (2.0 * 3 * (2 + 0 + 2), "counted")
    assert (done.tokens_in, done.tokens_out) == (None, None)
    assert model.account.work(model.account.tally) == NO_WORK


def test_operations_of_fitting_are_unknown() -> None:
    done = ClassicalModel.fit(TEXTS, LABELS, WORDS).fitting.work()
    assert (done.flops, done.flops_method, done.bytes_moved) == (None, "", None)


def test_no_term_left_is_said() -> None:
    with pytest.raises(CannotRun, match=r"no terms are left in 8 training questions .* min_df"):
        ClassicalModel.fit(
            TEXTS, LABELS, ClassicalSettings(analyzer="word", ngram_range=(3, 3), min_df=8)
        )
    with pytest.raises(CannotRun, match="no terms are left in 2"):
        ClassicalModel.fit(["!", "?"], ["a", "b"], WORDS)


@pytest.mark.parametrize("damage", ["cut", "terms", "json"])
def test_a_damaged_one_is_named(tmp_path: Path, damage: str) -> None:
    ClassicalModel.fit(TEXTS, LABELS, WORDS).save(tmp_path)
    weights, terms = tmp_path / "classifier.safetensors", tmp_path / "classifier.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-8])
    elif damage == "json":
        terms.write_text("{")
    else:
        content = json.loads(terms.read_text())
        content["terms"].pop()
        terms.write_text(json.dumps(content))
    with pytest.raises(StorageError, match="holds no classifier that can be read"):
        ClassicalModel.open(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"ngram_range": (2, 1)}, {"ngram_range": (0, 1)}, {"min_df": 1.5}, {"min_df": 0}, {"C": 0}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClassicalSettings(**settings)
