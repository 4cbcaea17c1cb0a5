"""Training of fresh tiny models, on the CPU in float32, where results can be compared exactly."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from wattune.peft.batches import TokenisedExample
from wattune.peft.trainer import TrainingResult, TrainingSettings, train


def some(count: int, seed: int = 0) -> list[TokenisedExample]:
    """Examples of different lengths whose answers follow from their prompts."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        first = chance.randrange(5, 250)
        prompt = tuple(chance.randrange(5, 300) for _ in range(chance.randrange(1, 20)))
        answer = tuple(first + n for n in range(chance.randrange(1, 5)))
        made.append(TokenisedExample((*prompt, first), (*answer, 1), f"q{seed}-{number}"))
    return made


class Fit(NamedTuple):
    """What a training gave, and the trained weights."""

    result: TrainingResult
    weights: dict[str, Any]


@pytest.fixture
def examples() -> list[TokenisedExample]:
    """Ten training examples."""
    return some(10)


@pytest.fixture
def validation() -> list[TokenisedExample]:
    """Seven validation examples."""
    return some(7, seed=1)


@pytest.fixture
def fresh(tiny: Path) -> Callable[[], Any]:
    """Make the tiny model anew, in float32."""

    def make() -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")

    return make


@pytest.fixture
def fit(
    tiny: Path, fresh: Callable[[], Any], examples: list[TokenisedExample], tmp_path: Path
) -> Callable[..., Fit]:
    """Train a fresh model, or the one given, two epochs long in batches of four."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    names = ("validation", "effort", "hold", "keep", "progress", "say", "use_cpu")

    def run(model: Any = None, data: Any = None, **given: Any) -> Fit:
        options = {name: given.pop(name) for name in names if name in given}
        settings = {
            "learning_rate": 5e-3,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "max_length": 128,
        }
        trained = model if model is not None else fresh()
        result = train(
            trained,
            tokenizer,
            data if data is not None else examples,
            TrainingSettings(**{**settings, **given}),
            **{"use_cpu": True, **options},
            seed=0,
            bf16=False,
            output_dir=tmp_path / "out",
        )
        weights = {name: value.detach().clone() for name, value in trained.state_dict().items()}
        return Fit(result, weights)

    return run
