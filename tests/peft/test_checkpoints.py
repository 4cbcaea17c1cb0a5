"""A training that was cut off goes on from its last whole checkpoint to the same end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.effort import Effort
from wattune.errors import CannotRun, StorageError
from wattune.measure.record import Bill
from wattune.peft.adapters import LoraSettings, add_adapter
from wattune.peft.checkpoints import SEAL, found


class Cut(Exception):
    """The end of an attempt."""


def cut_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, of: int) -> None:
        if done == step:
            raise Cut

    return progress


def names(folder: Path) -> list[str]:
    return [path.name for path in found(folder)]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=1e-5) for name in one)


def resumed(fit: Callable[..., Any], folder: Path, at: int, **given: Any) -> Any:
    """Cut a training off at a step, and train again."""
    with pytest.raises(Cut):
        fit(**given, effort=Effort(folder, lambda: Bill(energy_j=7.0)), progress=cut_at(at))
    said: list[str] = []
    again = fit(**given, effort=Effort(folder, lambda: Bill(energy_j=1.0)), say=said.append)
    last = again.result.resumed_from_step
    assert [line.partition(" of ")[0] for line in said] == (
        [f"goes on from step {last}"] if last else []
    )
    return again


@pytest.mark.parametrize(("at", "last"), [(2, None), (4, 3), (5, 4)])
def test_the_end_is_the_same(
    fit: Callable[..., Any], validation: Any, tmp_path: Path, at: int, last: int | None
) -> None:
    given = {"validation": validation, "save_steps": 2}
    whole = fit(**given, effort=Effort(tmp_path / "whole", lambda: Bill(energy_j=1.0)))
    again = resumed(fit, tmp_path / "stage", at, **given)
    assert again.result.resumed_from_step == last
    assert again.result.losses == whole.result.losses
    assert again.result.validation_losses == whole.result.validation_losses
    assert again.result.tally == whole.result.tally
    assert again.result.validation_tally == whole.result.validation_tally
    assert again.result.tokens == whole.result.tokens
    assert same(again.weights, whole.weights)
    joules = dict(again.result.energy_curve)
    assert joules[6] == (8.0 if last else 1.0)  # what was carried, and this attempt's


def test_an_adapter_with_dropout_comes_to_the_same_end(
    fit: Callable[..., Any], fresh: Callable[[], Any], tmp_path: Path
) -> None:
    def adapted() -> Any:
        return add_adapter(
            fresh(), LoraSettings(r=4, lora_alpha=8, lora_dropout=0.3).config(), seed=0
        )

    folder = tmp_path / "stage"
    whole = fit(adapted(), save_steps=1)
    with pytest.raises(Cut):
        fit(adapted(), save_steps=1, effort=Effort(folder), progress=cut_at(6))
    again = fit(adapted(), save_steps=1, effort=Effort(folder))
    assert again.result.resumed_from_step == 5
    assert again.result.losses == whole.result.losses
    assert same(again.weights, whole.weights)
    assert again.result.trainable_parameters == whole.result.trainable_parameters


def test_one_that_had_stopped_trains_no_further(
    fit: Callable[..., Any], validation: Any, tmp_path: Path
) -> None:
    given = {
        "validation": validation, "learning_rate": 3e-2, "num_train_epochs": 30,
        "early_stopping_patience": 2,
    }  # fmt: skip
    whole = fit(**given, effort=Effort(tmp_path / "stage"))
    again = fit(**given, effort=Effort(tmp_path / "stage"))
    assert whole.result.stopped == again.result.stopped == "early_stopping"
    assert again.result.resumed_from_step == whole.result.steps == again.result.steps
    assert same(again.weights, whole.weights)


def test_the_last_two_are_kept_and_the_best(
    fit: Callable[..., Any], validation: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "stage"
    result, _ = fit(
        validation=validation, effort=Effort(folder), learning_rate=0.03, num_train_epochs=8
    )
    assert result.best_step is not None
    assert result.best_step <= 18, "this test needs a loss that rises again"
    assert names(folder) == ["checkpoint-24", "checkpoint-21", f"checkpoint-{result.best_step}"]
    assert not list(folder.rglob("training_args.bin"))
    assert not list(folder.rglob("README.md"))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    fit: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "stage"
    given = {"save_steps": 1}
    whole = fit(**given)
    with pytest.raises(Cut):
        fit(**given, effort=Effort(folder), progress=cut_at(6))
    assert names(folder) == ["checkpoint-5", "checkpoint-4"]
    optimizer = folder / "checkpoint-5" / "optimizer.pt"
    content = bytearray(optimizer.read_bytes())
    content[len(content) // 2] ^= 1
    optimizer.write_bytes(content)
    again = fit(**given, effort=Effort(folder))
    assert again.result.resumed_from_step == 4
    assert again.result.notes == (
        "checkpoint-5 is damaged (optimizer.pt is not what was written); it was left out",
    )
    assert again.result.losses == whole.result.losses
    assert same(again.weights, whole.weights)


def test_one_that_was_not_sealed_or_is_of_other_settings_is_left_out(
    fit: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "stage"
    with pytest.raises(Cut):
        fit(save_steps=1, effort=Effort(folder), progress=cut_at(4))
    (folder / "checkpoint-3" / SEAL).unlink()
    result, _ = fit(save_steps=1, weight_decay=0.1, effort=Effort(folder))
    assert result.resumed_from_step is None
    assert [note.partition("; ")[0] for note in result.notes] == [
        "checkpoint-3 was not written to its end",
        "checkpoint-2 is of other settings or data",
    ]


def test_minutes_that_went_by_make_a_checkpoint(fit: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    fit(effort=Effort(folder), checkpoint_minutes=1e-9, max_steps=2)
    assert names(folder) == ["checkpoint-2", "checkpoint-1"]


def test_too_little_disk_is_said_before_training(
    fit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 600_000})
    monkeypatch.setattr("wattune.peft.checkpoints.shutil.disk_usage", lambda folder: usage)
    # 28,832 weights and two moments of each, four bytes, four times.
    with pytest.raises(CannotRun, match=r"4 checkpoints need 1\.38 MB and 0\.60 MB is free"):
        fit(effort=Effort(tmp_path / "stage"), progress=cut_at(1))
    fit(max_steps=1)


@pytest.mark.parametrize("words", ["OSError", "torch"])
def test_a_disk_that_fills_up_leaves_the_earlier_checkpoints(
    fit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    folder = tmp_path / "stage"
    with pytest.raises(Cut):
        fit(save_steps=1, effort=Effort(folder), progress=cut_at(3))
    assert names(folder) == ["checkpoint-2", "checkpoint-1"]
    full: Exception = OSError(28, "No space left on device")
    if words == "torch":
        with pytest.raises(RuntimeError) as told:
            torch.save({"a": torch.zeros(10_000)}, "/dev/full")
        full = told.value

    def save(*args: Any, **kwargs: Any) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", save)
        with pytest.raises(StorageError, match=r"the disk is full: .*checkpoint-3"):
            fit(save_steps=1, effort=Effort(folder))
    assert names(folder) == ["checkpoint-2", "checkpoint-1"]
    assert fit(save_steps=1, effort=Effort(folder)).result.resumed_from_step == 2


def test_without_an_effort_nothing_is_kept(fit: Callable[..., Any], tmp_path: Path) -> None:
    fit(save_steps=1)
    assert not list(tmp_path.rglob("checkpoint-*"))


def test_a_loss_that_is_no_number_says_where_it_came_from(
    fit: Callable[..., Any], fresh: Callable[[], Any], examples: Any, tmp_path: Path
) -> None:
    model, folder = fresh(), tmp_path / "stage"

    passes = 0

    def spoil(*_: Any) -> None:
        nonlocal passes
        passes += model.training  # not those that try what the model can
        if passes == 4:
            with torch.no_grad():
                model.model.norm.weight[0] = torch.nan

    model.register_forward_pre_hook(spoil)
    with pytest.raises(CannotRun) as told:
        fit(model, effort=Effort(folder), save_steps=1, lr_scheduler_type="constant")
    said = str(told.value)
    assert "the training loss became nan at step 4; lower learning_rate (it stood at 0.005)" in said
    assert sum(one.id in said for one in examples) == 4
    assert said.endswith(f"The last good checkpoint lies in {folder / 'checkpoint-3'}")


def test_one_killed_after_its_last_step_makes_no_more(
    fit: Callable[..., Any], tmp_path: Path
) -> None:
    given: dict[str, Any] = {"max_steps": 4, "lr_scheduler_type": "constant"}  # in mid-epoch
    whole = fit(**given)

    def killed(model: Any, state: Any) -> None:
        raise Cut

    with pytest.raises(Cut):
        fit(**given, effort=Effort(tmp_path / "stage"), keep=killed)
    again = fit(**given, effort=Effort(tmp_path / "stage"))
    assert (again.result.resumed_from_step, again.result.steps) == (4, 4)
    assert again.result.losses == whole.result.losses
    assert again.result.tokens == whole.result.tokens
    assert same(again.weights, whole.weights)


def test_where_the_best_weights_are_damaged_it_goes_back_before_them(
    fit: Callable[..., Any], validation: Any, tmp_path: Path
) -> None:
    given = {
        "validation": validation, "num_train_epochs": 6, "learning_rate": 6e-2,
        "lr_scheduler_type": "constant",
    }  # fmt: skip
    whole = fit(**given)
    best, folder = whole.result.best_step, tmp_path / "stage"
    assert best < 15  # it is not the newest, when the training is cut off
    with pytest.raises(Cut):
        fit(**given, effort=Effort(folder), progress=cut_at(17))
    weights = next((folder / f"checkpoint-{best}").glob("model*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-10])
    again = fit(**given, effort=Effort(folder))
    assert any("best weights" in note for note in again.result.notes)
    assert again.result.best_step == best
    assert again.result.validation_losses == whole.result.validation_losses
    assert same(again.weights, whole.weights)
