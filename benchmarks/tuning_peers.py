"""The trainings that tuning.py compares: one in a fresh process, its figures as JSON.

python benchmarks/tuning_peers.py trl lora short float32 figures.json
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tuning_cases import BATCH, LORA, RATES, SEED, Case, case_of, learnt

from wattune.models.fetch import resolve
from wattune.models.loading import load_weights, open_tokenizer


@dataclass(frozen=True)
class Trained:
    """A trained model, the seconds it took, and (ours) the operations that no padding adds to."""

    model: Any
    seconds: float
    flops: float | None = None


def by_trl(case: Case, method: str, precision: str, folder: Path) -> Trained:
    """TRL as its documentation's first script has it: conversations in, defaults everywhere."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    model = load_weights(folder, "float32")
    tokenizer = open_tokenizer(folder)
    rows = [
        {"prompt": list(prompt), "completion": [{"role": "assistant", "content": answer}]}
        for prompt, answer in case.train
    ]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=scratch,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH,
                learning_rate=RATES[method],
                use_cpu=True,
                bf16=precision == "bfloat16",
                seed=SEED,
                report_to="none",
                save_strategy="no",
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM") if method == "lora" else None,
        )
        began = time.perf_counter()
        trainer.train()
        return Trained(trainer.model, time.perf_counter() - began)


def by_wattune(case: Case, method: str, precision: str, folder: Path) -> Trained:
    """wattune's trainer, as its strategies call it."""
    from wattune.measure.work import Tally
    from wattune.models.account import Account
    from wattune.models.chat import chat_ids
    from wattune.peft.adapters import LoraSettings, add_adapter
    from wattune.peft.batches import tokenise
    from wattune.peft.trainer import TrainingSettings, train

    bf16 = precision == "bfloat16"
    model = load_weights(folder, "bfloat16" if bf16 and method == "lora" else "float32")
    if method == "lora":
        model = add_adapter(model, LoraSettings(**LORA).config(), seed=SEED)
    tokenizer = open_tokenizer(folder)
    prompts = [chat_ids(tokenizer, prompt, add_generation_prompt=True) for prompt, _ in case.train]
    examples = tokenise(prompts, [answer for _, answer in case.train], tokenizer, 1024)
    settings = TrainingSettings(
        learning_rate=RATES[method],
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        warmup_steps=0,
    )
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        train(
            model, tokenizer, examples, settings,
            seed=SEED, bf16=bf16, use_cpu=True, output_dir=Path(scratch),
        )  # fmt: skip
        took_s = time.perf_counter() - began
    alone = Tally(
        positions=sum(one.length for one in examples),
        pairs=sum(one.length**2 for one in examples),
        heads=sum(len(one.answer) for one in examples),
    )
    return Trained(model, took_s, Account(model, "training", alone).work().flops)


def main() -> None:
    """Train and write what it took."""
    peer, method, name, precision, target = sys.argv[1:6]
    folder = resolve("smollm2-135m-q4", kind="causal_lm").folder
    case = case_of(name)
    trained = {"trl": by_trl, "wattune": by_wattune}[peer](case, method, precision, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {
        "case": name,
        "method": method,
        "peer": peer,
        "seconds": trained.seconds,
        "flops": trained.flops,
        "peak_bytes": peak,
        "examples": len(case.train),
        "threads": torch.get_num_threads(),
        "loss": learnt(trained.model, open_tokenizer(folder), case),
    }
    Path(target).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
