"""Validation losses, and what stops a training early."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.effort import Effort
from wattune.errors import CannotRun
from wattune.measure.record import Bill
from wattune.peft.settings import TrainingSettings
from wattune.peft.watch import verdict


def metered(folder: Path, joules: float | None) -> Effort:
    """An effort that spends as much each time it is asked."""
    spent = 0.0

    def so_far() -> Bill:
        nonlocal spent
        spent += joules or 0.0
        return Bill(energy_j=None if joules is None else spent)

    return Effort(folder, so_far)


def by_hand(model: Any, examples: Any) -> float:
    """Mean negative log-likelihood of all answer tokens, row by row."""
    losses: list[float] = []
    model.eval()
    with torch.inference_mode():
        for one in examples:
            logs = model(input_ids=torch.tensor([[*one.prompt, *one.answer]])).logits[0]
            logs = logs.double().log_softmax(-1)[len(one.prompt) - 1 :]
            losses += [-float(logs[n, token]) for n, token in enumerate(one.answer)]
    return sum(losses) / len(losses)


def test_the_validation_loss_is_the_mean_over_all_answer_tokens(
    fit: Callable[..., Any], fresh: Callable[[], Any], validation: Any
) -> None:
    model = fresh()
    result, _ = fit(model, validation=validation)
    assert [step for step, _ in result.validation_losses] == [3, 6]
    assert result.validation_losses[-1][1] == pytest.approx(by_hand(model, validation), rel=1e-5)
    tokens = sum(one.length for one in validation)
    assert result.validation_tally.tokens_in == 2 * tokens
    assert result.validation_tally.passes == 2 * 2  # seven examples in batches of four
    assert result.tally.tokens_in == result.tokens
    assert fit().result.tally == result.tally  # training's own is the same without
    assert fit().result.validation_losses == ()


def test_the_best_weights_are_loaded_back_and_nothing_is_left(
    fit: Callable[..., Any], fresh: Callable[[], Any], validation: Any, tmp_path: Path
) -> None:
    model = fresh()
    result, _ = fit(
        model, validation=validation, learning_rate=3e-2, num_train_epochs=5, eval_strategy="steps",
        eval_steps=1,
    )  # fmt: skip
    losses = dict(result.validation_losses)
    assert len(losses) == result.steps == 15
    best = min(losses, key=lambda step: losses[step])
    assert (result.best_step, result.best_validation_loss) == (best, losses[best])
    assert best < result.steps, "this test needs a loss that rises again"
    assert by_hand(model, validation) == pytest.approx(losses[best], rel=1e-5)
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    last = fresh()
    fit(
        last, validation=validation, learning_rate=3e-2, num_train_epochs=5, eval_strategy="steps",
        eval_steps=1, load_best_model_at_end=False,
    )  # fmt: skip
    assert by_hand(last, validation) == pytest.approx(losses[result.steps], rel=1e-5)


def test_it_stops_early_when_the_validation_loss_rises(
    fit: Callable[..., Any], validation: Any
) -> None:
    result, _ = fit(
        validation=validation, learning_rate=3e-2, num_train_epochs=30, early_stopping_patience=2
    )
    assert result.stopped == "early_stopping"
    assert result.steps == result.best_step + 2 * 3 < 90


def test_verdicts() -> None:
    def rows(*pairs: tuple[float, float | None]) -> list[dict[str, Any]]:
        return [{"loss": 1.0}, *({"eval_loss": loss, "energy_j": j} for loss, j in pairs)]

    patient = TrainingSettings(learning_rate=1, early_stopping_patience=2)
    assert verdict(rows((3, 0), (2, 0), (2, 0)), patient) == ""
    assert verdict(rows((3, 0), (2, 0), (2, 0), (2.5, 0)), patient) == "early_stopping"
    frugal = TrainingSettings(learning_rate=1, frugal_gain_per_kj=0.1, frugal_patience=2)
    # A kilojoule each: gains of 1, 0.05 and 0.2 nats, then 0.05 twice.
    steady = [(3.0, 1e3), (2.0, 2e3), (1.95, 3e3), (1.75, 4e3), (1.7, 5e3)]
    assert verdict(rows(*steady), frugal) == ""
    assert verdict(rows(*steady, (1.65, 6e3)), frugal) == "frugal"
    assert verdict(rows(*steady, (1.65, None)), frugal) == ""


def test_frugal_training_stops_by_the_energy_it_takes(
    fit: Callable[..., Any], validation: Any, tmp_path: Path
) -> None:
    given = {"num_train_epochs": 6, "frugal_gain_per_kj": 0.5, "frugal_patience": 1}
    dear = fit(validation=validation, effort=metered(tmp_path / "dear", 1e6), **given).result
    cheap = fit(validation=validation, effort=metered(tmp_path / "cheap", 1e-3), **given).result
    assert (dear.stopped, dear.steps) == ("frugal", 6)
    assert cheap.steps > 6
    assert [step for step, _ in cheap.energy_curve] == list(range(1, cheap.steps + 1))
    joules = [energy for _, energy in cheap.energy_curve]
    assert joules == sorted(joules)
    for effort in (None, metered(tmp_path / "unknown", None)):
        with pytest.raises(CannotRun, match="frugal_gain_per_kj needs the energy"):
            fit(validation=validation, effort=effort, **given)
    with pytest.raises(CannotRun, match="frugal_gain_per_kj needs evaluations"):
        fit(effort=metered(tmp_path / "no", 1.0), **given)


def test_a_training_pauses_for_a_reason(
    fit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattune.peft.watch.POLL_S", 0.01)
    effort, asked, lain = metered(tmp_path / "stage", 1.0), 0, []

    def hold() -> str:
        nonlocal asked
        asked += 1
        lain.append(sorted(path.name for path in effort.folder.glob("checkpoint-*")))
        return "the grid is dirty" if asked in (2, 3, 4) else ""

    said: list[str] = []
    result, weights = fit(effort=effort, hold=hold, say=said.append)
    assert said == ["paused after step 2 of 6; a checkpoint of it is kept"]
    assert result.steps == 6
    assert asked == 6 + 3
    assert result.paused_s >= 0.03
    assert lain[1] == []
    assert lain[2] == ["checkpoint-2"]  # saved before it waits
    undisturbed = fit().weights
    assert all(torch.equal(weights[name], undisturbed[name]) for name in weights)
