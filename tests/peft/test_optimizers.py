"""Optimizers are known by name before anything is trained, and so are missing packages."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from transformers.training_args import OptimizerNames

from wattune.errors import CannotRun
from wattune.peft import optimizers
from wattune.peft.optimizers import OF_LAYERS, OF_TORCH, check_optimizer, known_optimizer
from wattune.peft.settings import TrainingSettings


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("adamw", 'none of transformers\' optimizers; did you mean "adamw_torch"'),
        ("galore_adamw", "needs optim_target_modules"),
        ("", "known: .*adamw_torch, "),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TrainingSettings(learning_rate=1e-3, optim=name)


def test_all_of_transformers_are_known() -> None:
    names = {each.value for each in OptimizerNames if not each.value.startswith(OF_LAYERS)}
    assert set(OF_TORCH) < names
    assert {known_optimizer(name) for name in names} == names


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import trainer_optimizer

    monkeypatch.setattr(optimizers, "find_spec", lambda package: None)
    for name in OF_TORCH:
        check_optimizer(name)
    for names, package in (
        (trainer_optimizer._BITSANDBYTES_OPTIMIZERS, "bitsandbytes"),
        (trainer_optimizer._TORCHAO_OPTIMIZERS, "torchao"),
        (trainer_optimizer._SCHEDULE_FREE_OPTIMIZERS, "schedulefree"),
    ):
        for each in names:
            with pytest.raises(CannotRun, match=f"optim {each.value} needs the package {package}"):
                check_optimizer(each.value)


def test_a_plain_no_of_yaml_means_no() -> None:
    given = {"learning_rate": 1e-3, "eval_strategy": False}
    assert TrainingSettings.model_validate(given).eval_strategy == "no"
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate({**given, "eval_strategy": True})
