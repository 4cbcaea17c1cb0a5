"""The trainer: its loss is plain cross entropy on the answers, and training lowers it."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.errors import CannotRun, InputError
from wattune.models.local import LocalModel
from wattune.peft.adapters import LoraSettings, add_adapter
from wattune.peft.answer_trainer import answer_trainer
from wattune.peft.batches import IGNORED, AnswerCollator, TokenisedExample, columns
from wattune.peft.trainer import TrainingResult, TrainingSettings, train

EXAMPLES = [
    TokenisedExample((5, 6, 7, 8, 9, 10), (40, 41, 1)),
    TokenisedExample((12, 13), (50, 1)),
    TokenisedExample((5, 20, 21, 22), (60, 61, 62, 63, 64, 1)),
    TokenisedExample(tuple(range(70, 100)), (40, 1)),
]


@pytest.fixture
def opened(tiny: Path) -> Any:
    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        yield model


def run(opened: Any, folder: Path, model: Any = None, **settings: Any) -> TrainingResult:
    given = {"learning_rate": 5e-3, "num_train_epochs": 6, "per_device_train_batch_size": 2}
    return train(
        model if model is not None else opened.model,
        opened.tokenizer,
        EXAMPLES,
        TrainingSettings(**{**given, **settings}),
        seed=0,
        bf16=False,
        use_cpu=True,
        output_dir=folder / "out",
    )


def by_hand(model: Any, examples: list[TokenisedExample]) -> float:
    """Mean negative log-likelihood of all answer tokens, row by row without padding."""
    losses: list[float] = []
    with torch.inference_mode():
        for example in examples:
            ids = torch.tensor([[*example.prompt, *example.answer]])
            logs = model(input_ids=ids).logits[0].double().log_softmax(-1)
            start = len(example.prompt)
            losses += [-float(logs[start + i - 1, t]) for i, t in enumerate(example.answer)]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("given", [True, False])
def test_the_loss_is_plain_cross_entropy_on_the_answers(opened: Any, given: bool) -> None:
    made = columns([(one,) for one in EXAMPLES])
    rows = [{key: made[key][row] for key in made} for row in range(len(EXAMPLES))]
    batch = AnswerCollator(opened.tokenizer.pad_token_id)(rows)
    trainer = object.__new__(answer_trainer())
    trainer.args = type("Args", (), {"average_tokens_across_devices": False})()
    scored = (batch["labels"] != IGNORED).sum() if given else None
    with torch.inference_mode():
        loss = trainer.compute_loss(opened.model, batch, num_items_in_batch=scored)
    assert float(loss) == pytest.approx(by_hand(opened.model, EXAMPLES), abs=1e-5)


def test_training_lowers_the_loss_it_reports(opened: Any, tmp_path: Path) -> None:
    before = by_hand(opened.model, EXAMPLES)
    result = run(opened, tmp_path)
    opened.model.eval()
    assert by_hand(opened.model, EXAMPLES) < before / 2
    assert result.steps == 12
    assert result.tokens == 6 * sum(example.length for example in EXAMPLES)
    assert [step for step, _ in result.losses] == list(range(1, 13))
    assert result.final_loss == pytest.approx(result.losses[-1][1])
    assert result.final_loss < result.losses[0][1]
    assert result.trainable_parameters == opened.model.num_parameters()


def test_accumulating_sees_the_same_batch_as_one_large_one(tiny: Path, tmp_path: Path) -> None:
    losses = []
    for size, times in ((4, 1), (1, 4)):
        with LocalModel.open(tiny, dtype="float32", device="cpu") as opened:
            result = run(
                opened,
                tmp_path,
                num_train_epochs=1,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=times,
            )
        assert result.steps == 1
        losses.append(result.losses[0][1])
    # Rows differ in length, so a mean of means would be another number.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_lora_trains_the_adapter_and_leaves_the_base_alone(opened: Any, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in opened.model.named_parameters()}
    model = add_adapter(opened.model, LoraSettings(r=4, lora_alpha=8).config(), seed=0)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    result = run(opened, tmp_path, model, learning_rate=2e-2)
    assert result.trainable_parameters == sum(
        value.numel() for value in model.parameters() if value.requires_grad
    )
    assert result.final_loss < result.losses[0][1]
    after = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): value
        for name, value in model.named_parameters()
        if "lora_" not in name
    }
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_target_modules_that_are_not_there_are_named(opened: Any) -> None:
    settings = LoraSettings(target_modules=("q_prj",))
    with pytest.raises(InputError, match='no layer "q_prj"; did you mean "q_proj"'):
        add_adapter(opened.model, settings.config(), seed=0)


def test_a_loss_that_is_no_number_stops_the_training(opened: Any, tmp_path: Path) -> None:
    with torch.no_grad():
        opened.model.model.embed_tokens.weight[40] = math.nan
    with pytest.raises(
        CannotRun, match=r"the training loss became nan at step 1; lower learning_rate"
    ):
        run(opened, tmp_path, per_device_train_batch_size=4)


def test_it_is_quiet_and_leaves_loggers_as_they_were(
    opened: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    levels = {name: logging.getLogger(name).level for name in ("transformers", "trl", "datasets")}
    capfd.readouterr()
    run(opened, tmp_path, num_train_epochs=1)
    assert capfd.readouterr() == ("", "")
    assert levels == {name: logging.getLogger(name).level for name in levels}


def test_a_training_of_one_step_learns_something(opened: Any, tmp_path: Path) -> None:
    before = by_hand(opened.model, EXAMPLES)
    result = run(opened, tmp_path, num_train_epochs=1, per_device_train_batch_size=4)
    assert result.steps == 1
    opened.model.eval()
    assert by_hand(opened.model, EXAMPLES) < before
