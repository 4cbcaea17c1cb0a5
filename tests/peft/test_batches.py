"""Batches score the answer alone, and memory is asked for before it is used."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wattune.errors import CannotRun, InputError
from wattune.peft.batches import (
    IGNORED,
    AnswerCollator,
    TokenisedExample,
    checked,
    columns,
    tokenise,
)
from wattune.peft.memory import (
    MARGIN,
    SCORE_BYTES,
    fitting_batch,
    scored_columns,
    training_bytes,
)
from wattune.peft.settings import TrainingSettings

CONFIG = SimpleNamespace(hidden_size=32, num_hidden_layers=2)


@pytest.fixture
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def test_an_answer_follows_its_prompt_and_ends_the_turn(tokenizer: Any) -> None:
    prompt = tokenizer("Who keeps the gate?", add_special_tokens=False)["input_ids"]
    (example,) = tokenise([prompt], ["the master"], tokenizer, max_length=100)
    assert list(example.prompt) == prompt
    assert tokenizer.decode(example.answer) == "the master<|end|>"
    assert example.length == len(prompt) + len(example.answer)


def test_an_example_that_is_too_long_is_named_with_both_lengths(tokenizer: Any) -> None:
    asked = [[5] * 4, [5] * 12, [5] * 20]
    said = r"2 of 3 training examples are longer than max_length \(12 tokens\); .* c, has 22; raise"
    with pytest.raises(InputError, match=said):
        tokenise(asked, ["a", "a", "a"], tokenizer, max_length=12, ids=["a", "b", "c"])


def test_an_example_without_an_answer_is_refused_by_its_id(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="training example q2 has an empty answer"):
        tokenise([[5], [6]], ["yes", " "], tokenizer, max_length=12, ids=["q1", "q2"])
    with pytest.raises(InputError, match="validation example q3 has no answer token to predict"):
        checked([TokenisedExample((5, 6), (), "q3")], 12, "validation")


def test_labels_stand_on_the_answer_only_and_answers_end_in_one_column() -> None:
    examples = [TokenisedExample((5, 6, 7), (8, 1)), TokenisedExample((9,), (10, 11, 1))]
    made = columns([(one,) for one in examples])
    assert made["input_ids"] == [[5, 6, 7, 8, 1], [9, 10, 11, 1]]
    assert made["labels"] == [[IGNORED] * 3 + [8, 1], [IGNORED, 10, 11, 1]]
    rows = [{key: made[key][row] for key in made} for row in range(2)]
    batch = AnswerCollator(pad_token_id=0)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 1], [0, 9, 10, 11, 1]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [0, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORED] * 3 + [8, 1], [IGNORED] * 2 + [10, 11, 1]]


def needed(size: int, **more: Any) -> int:
    return training_bytes(1000, 1000, CONFIG, size * 50, bf16=False, **more)


def test_the_batch_is_halved_until_it_fits() -> None:
    def fit(free: int) -> int:
        return fitting_batch(
            8, 50, free=free, parameters=1000, trained=1000, config=CONFIG, bf16=False
        )

    assert fit(needed(8)) == 8
    assert fit(needed(8) - 1) == 4
    assert fit(needed(2)) == 2
    assert fit(needed(1)) == 1
    with pytest.raises(CannotRun, match=r"needs about 0\.0 GB and 0\.0 GB is free"):
        fit(needed(1) - 1)


def test_a_head_that_scores_full_text_needs_memory_for_its_scores() -> None:
    examples = [TokenisedExample((5, 6, 7), (8, 1)), TokenisedExample((9,), (10, 11, 1))]
    answers = TrainingSettings(learning_rate=1)
    text, packing = (
        TrainingSettings(learning_rate=1, **one)
        for one in ({"completion_only_loss": False}, {"packing": True})
    )
    alone = [(one,) for one in examples]
    # Answers end in the same column, and each token is predicted one column earlier.
    assert scored_columns(alone, answers) == 4
    assert scored_columns(alone, text) == 5
    assert scored_columns([tuple(examples)], packing) == 9
    # Behind a learnt prompt the texts are padded on the right: answers stand anywhere.
    assert scored_columns(alone, answers, pads_right=True) == 5
    config = SimpleNamespace(hidden_size=32, num_hidden_layers=2, vocab_size=1000)

    def fit(free: int) -> int:
        return fitting_batch(
            8, 50, free=free, parameters=1000, trained=1000, config=config, bf16=False, scored=9
        )

    assert needed(4, scores=4 * 9 * 1000) - needed(4) == 4 * 9 * 1000 * SCORE_BYTES
    assert fit(needed(8, scores=8 * 9 * 1000)) == 8
    assert fit(needed(8, scores=8 * 9 * 1000) - 1) == 4


def test_what_cannot_be_trained_says_what_it_needs_and_what_is_there() -> None:
    with pytest.raises(CannotRun, match=r"training needs about 112\.0 GB and 24\.0 GB is free"):
        fitting_batch(
            8, 0, free=24 * 10**9, parameters=7 * 10**9, trained=7 * 10**9, config=CONFIG,
            bf16=False,
        )  # fmt: skip


def test_a_frozen_base_needs_no_optimizer_and_bfloat16_halves_it() -> None:
    full = training_bytes(10**6, 10**6, CONFIG, 0, bf16=False)
    assert full == 16 * 10**6  # weight, gradient, two moments, four bytes each
    assert training_bytes(10**6, 0, CONFIG, 0, bf16=False) == 4 * 10**6
    assert training_bytes(10**6, 0, CONFIG, 0, bf16=True) == 2 * 10**6
    assert training_bytes(0, 0, CONFIG, 100, bf16=False) == 100 * 64 * 34 * 2 * MARGIN
