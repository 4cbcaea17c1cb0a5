"""Started by test_launched_training.py, alone or under torchrun: trains the tiny model and writes,
for each process, what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from wattune.effort import Effort
from wattune.measure.processes import launch
from wattune.peft.adapters import LoraSettings, add_adapter
from wattune.peft.batches import TokenisedExample
from wattune.peft.quiet import quiet_training
from wattune.peft.trainer import TrainingSettings, train


class Cut(Exception):
    """The end of an attempt."""


def some(count: int, seed: int) -> list[TokenisedExample]:
    """Examples of different lengths."""
    chance = random.Random(seed)
    return [
        TokenisedExample(
            tuple(chance.randrange(5, 300) for _ in range(chance.randrange(1, 20))),
            (*(chance.randrange(5, 300) for _ in range(chance.randrange(1, 5))), 1),
            f"q{number}",
        )
        for number in range(count)
    ]


def main(tiny: str, folder: Path, kind: str, accumulation: int, cut: int) -> None:
    """Train; with `cut`, first up to that step and then again from the checkpoints."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stand, kept = launch(), []
    tokenizer = AutoTokenizer.from_pretrained(tiny)

    def fit(stop_at: int) -> Any:
        with quiet_training():
            model = AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")
        if kind == "lora":
            model = add_adapter(model, LoraSettings(r=4, lora_alpha=8).config(), seed=0)

        def progress(done: int, of: int) -> None:
            if done == stop_at:
                raise Cut

        def keep(model: Any, state: dict[str, Any] | None) -> None:
            from safetensors.torch import save_file

            found = state if state is not None else model.state_dict()
            save_file(
                {name: value.detach().clone() for name, value in found.items()},
                folder / "weights.safetensors",
            )
            kept.append([type(model).__name__, state is not None])

        return train(
            model,
            tokenizer,
            some(12, 0),
            TrainingSettings(
                learning_rate=5e-3,
                num_train_epochs=2,
                per_device_train_batch_size=2,
                gradient_accumulation_steps=accumulation,
                max_length=128,
                save_steps=1,
            ),
            validation=some(5, 1),
            seed=0,
            bf16=False,
            use_cpu=True,
            output_dir=folder / "out",
            effort=Effort(folder / "stage", writes=stand.rank == 0) if cut else None,
            keep=keep,
            progress=progress,
        )

    if cut:
        with contextlib.suppress(Cut):
            fit(cut)
    result = fit(0)
    content = {"result": result.plain(), "kept": kept}
    (folder / f"rank-{stand.rank}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
