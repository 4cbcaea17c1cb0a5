"""Packed examples have the losses that they have alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from wattune.errors import CannotRun
from wattune.peft.answer_trainer import answer_trainer
from wattune.peft.batches import AnswerCollator, TokenisedExample, columns
from wattune.peft.packing import check_packing, packed
from wattune.peft.quiet import quiet_training


def loss_of(model: Any, rows: Sequence[Sequence[TokenisedExample]], packing: bool) -> Any:
    """The summed loss of a batch of rows, its scored tokens and its pass, as the trainer has it."""
    made = columns(rows)
    each = [{name: made[name][row] for name in made} for row in range(len(rows))]
    trainer = object.__new__(answer_trainer())
    return trainer._summed(model, AnswerCollator(1, packing)(each))[:3]


def test_rows_hold_every_example_once_and_no_more_than_fits(
    examples: list[TokenisedExample],
) -> None:
    rows = packed(examples, 40)
    assert sorted(one.id for row in rows for one in row) == sorted(one.id for one in examples)
    assert max(sum(one.length for one in row) for row in rows) <= 40
    assert len(rows) < len(examples) / 2


def test_packed_losses_and_gradients_are_those_of_the_examples_alone(
    fresh: Callable[[], Any], examples: list[TokenisedExample]
) -> None:
    found = {}
    for packing, rows in ((False, [(one,) for one in examples]), (True, packed(examples, 60))):
        model = fresh()
        total, scored, passed = loss_of(model, rows, packing)
        total.backward()
        found[packing] = total.item(), int(scored), model.model.embed_tokens.weight.grad
        longest = max(sum(one.length for one in row) for row in rows)
        assert passed.positions == len(rows) * longest
        assert passed.pairs == len(rows) * longest**2  # what attention computes, masked or not
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-6)
    assert found[True][1] == found[False][1] == sum(len(one.answer) for one in examples)
    apart = found[True][2] - found[False][2]
    assert float(apart.norm()) < 1e-5 * float(found[False][2].norm())


def test_packing_trains_as_batches_of_the_same_examples_do(fit: Callable[..., Any]) -> None:
    given = {"num_train_epochs": 1, "per_device_train_batch_size": 10, "max_length": 32}
    plain, tight = fit(**given).result, fit(**given, packing=True).result
    assert plain.losses[0][1] == pytest.approx(tight.losses[0][1], rel=1e-6)
    assert plain.tokens == tight.tokens == tight.tally.tokens_in
    assert tight.tally.positions < plain.tally.positions


def test_scoring_all_tokens_leaves_out_the_first_of_each_example(
    fresh: Callable[[], Any], examples: list[TokenisedExample]
) -> None:
    texts = [TokenisedExample((), (*one.prompt, *one.answer)) for one in examples]
    _, scored, _ = loss_of(fresh(), packed(texts, 60), True)
    assert int(scored) == sum(text.length - 1 for text in texts)
    whole, prompted = columns([texts[:2]]), columns([examples[:2]], completion_only=False)
    assert whole["labels"] == prompted["labels"]


def test_a_model_that_cannot_keep_texts_apart_is_refused(fresh: Callable[[], Any]) -> None:
    model = fresh()
    check_packing(model)
    inner = model.forward

    def blind(input_ids: Any, position_ids: Any = None, logits_to_keep: int = 0, **_: Any) -> Any:
        return inner(input_ids=input_ids)

    model.forward = blind
    with pytest.raises(CannotRun, match=r"LlamaForCausalLM cannot be .* would see one another"):
        check_packing(model)
    model.forward = lambda input_ids, logits_to_keep=0: inner(input_ids=input_ids)
    with pytest.raises(CannotRun, match="it takes no position_ids"):
        check_packing(model)


def test_prompt_tuning_is_refused(fresh: Callable[[], Any]) -> None:
    from peft import PromptTuningConfig, get_peft_model

    with quiet_training():
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
        model = get_peft_model(fresh(), config)
    with pytest.raises(CannotRun, match="cannot be trained with packing"):
        check_packing(model)
