"""A beginning that all rows share is computed once, and nothing else changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from wattune.peft import beginnings
from wattune.peft.adapters import LoraSettings, add_adapter
from wattune.peft.answer_trainer import answer_trainer
from wattune.peft.batches import AnswerCollator, TokenisedExample, columns
from wattune.peft.beginnings import LEAST, can_share, shared_tokens
from wattune.peft.quiet import quiet_training

SYSTEM = tuple(range(100, 100 + LEAST + 3))
ROWS = [
    TokenisedExample((*SYSTEM, 20, 21, 22, 23), (40, 41, 1)),
    TokenisedExample((*SYSTEM, 24), (50, 1)),
    TokenisedExample((*SYSTEM, 25, 26, 27, 28, 29, 30), (60, 61, 62, 63, 64, 1)),
]


def batch_of(examples: Sequence[TokenisedExample], collate: AnswerCollator) -> dict[str, Any]:
    made = columns([(one,) for one in examples])
    return collate([{name: made[name][row] for name in made} for row in range(len(examples))])


def computed(model: Any, examples: Sequence[TokenisedExample], shares: bool) -> tuple[Any, ...]:
    """Loss, gradients by name, and the tally of the passes."""
    trainer = object.__new__(answer_trainer())
    model.zero_grad()
    batch = batch_of(examples, AnswerCollator(0, shares=shares))
    assert ("beginning" in batch) == shares
    loss, scored, tally, _ = trainer._summed(model, batch)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), int(scored), {n: g.clone() for n, g in grads.items()}, tally


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_loss_and_gradients_are_those_of_the_plain_way(
    fresh: Callable[[], Any], adapted: bool
) -> None:
    model = fresh()
    if adapted:
        model = add_adapter(model, LoraSettings(r=4).config(), seed=0)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    model.train()
    assert can_share(model)
    loss, scored, wanted, plain = computed(model, ROWS, False)
    shared_loss, shared_scored, found, shared = computed(model, ROWS, True)
    assert shared_loss == pytest.approx(loss, rel=1e-5)
    assert shared_scored == scored == 11
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-4), name
    longest = max(one.length for one in ROWS)
    assert plain.positions == len(ROWS) * longest
    assert shared.positions == len(SYSTEM) + len(ROWS) * (longest - len(SYSTEM))


def test_a_beginning_leaves_the_token_that_predicts_the_answer() -> None:
    same = [*SYSTEM, 7]
    assert shared_tokens([same, same]) == len(SYSTEM)
    assert shared_tokens([same, [*SYSTEM, 8, 9]]) == len(SYSTEM)
    assert shared_tokens([same]) == 0
    assert shared_tokens([[1, *SYSTEM], same]) == 0
    assert shared_tokens([SYSTEM[: LEAST - 1], SYSTEM]) == 0


def test_rows_without_a_common_beginning_are_as_before() -> None:
    rows = [dataclasses.replace(one, prompt=one.prompt[n:]) for n, one in enumerate(ROWS)]
    shared = batch_of(rows, AnswerCollator(0, shares=True))
    plain = batch_of(rows, AnswerCollator(0))
    assert shared.keys() == plain.keys()
    assert all(torch.equal(shared[name], plain[name]) for name in plain)


def test_training_by_shared_beginnings_comes_to_the_same_weights(
    fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [
        TokenisedExample((*SYSTEM, 20 + n, 40 - n), (60 + n, 61 + n, 1), str(n)) for n in range(9)
    ]
    # Adam makes whole steps of gradients that are nothing but rounding; plain descent does not.
    plainly: dict[str, Any] = {"optim": "sgd", "learning_rate": 0.05}
    shared = fit(data=data, validation=data[:3], **plainly)
    monkeypatch.setattr("wattune.peft.attempt.can_share", lambda model: False)
    plain = fit(data=data, validation=data[:3], **plainly)
    assert [loss for _, loss in shared.result.losses] == pytest.approx(
        [loss for _, loss in plain.result.losses], rel=1e-4
    )
    assert shared.result.validation_losses[-1][1] == pytest.approx(
        plain.result.validation_losses[-1][1], rel=1e-4
    )
    assert shared.result.tokens == plain.result.tokens
    assert shared.result.tally.positions < plain.result.tally.positions
    for name, weight in plain.weights.items():
        assert torch.allclose(shared.weights[name], weight, atol=1e-4), name


def test_dropout_learnt_prompts_and_windows_train_the_plain_way(fresh: Callable[[], Any]) -> None:
    from peft import PromptTuningConfig, get_peft_model

    assert not can_share(add_adapter(fresh(), LoraSettings(r=4, lora_dropout=0.1).config(), seed=0))
    with quiet_training():
        prompted: Any = get_peft_model(
            fresh(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
        )
    assert not can_share(prompted)
    windowed = fresh()
    windowed.config.layer_types = ["sliding_attention"] * windowed.config.num_hidden_layers
    assert not can_share(windowed)


def test_a_model_that_answers_otherwise_trains_the_plain_way(
    fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = beginnings.read_beginning
    monkeypatch.setattr(
        beginnings, "read_beginning", lambda model, ids, rows: read(model, ids.flip(1), rows)
    )
    assert not can_share(fresh())


def test_noise_that_goes_by_the_length_is_put_on_whole_texts(fit: Callable[..., Any]) -> None:
    data = [TokenisedExample((*SYSTEM, 20 + n), (60 + n, 1), str(n)) for n in range(8)]
    quiet, noisy = fit(data=data), fit(data=data, neftune_noise_alpha=5.0)
    assert noisy.result.tally.positions > quiet.result.tally.positions
