"""TRL's arguments, from our settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ranks import joined
from .settings import TrainingSettings

OURS = frozenset(
    {
        "packing",
        "gradient_checkpointing",
        "eval_strategy",
        "load_best_model_at_end",
        "save_steps",
        "early_stopping_patience",
        "checkpoint_minutes",
        "frugal_gain_per_kj",
        "frugal_patience",
    }
)
"""Settings that are not handed to TRL as they stand: what we do ourselves, or only sometimes."""


def sft_config(
    settings: TrainingSettings,
    *,
    folder: Path,
    batch: int,
    accumulation: int,
    checkpointing: bool,
    evaluates: bool,
    resumes: bool,
    steps: int,
    seed: int,
    bf16: bool,
    use_cpu: bool,
) -> Any:
    """TRL's SFTConfig for micro-batches of `batch` rows and `steps` optimizer steps in all.

    With `resumes` checkpoints are whole and come at each evaluation, or else each epoch; without,
    weights are saved only where the best are wanted back.
    """
    from trl.trainer.sft_config import SFTConfig

    given = {name: value for name, value in settings.plain().items() if name not in OURS}
    given |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    if settings.warmup_steps * steps < 1:
        # transformers rounds a share up to one step, whose rate is 0: of few steps that is much.
        given["warmup_steps"] = 0
    when = settings.eval_strategy if evaluates else "no"
    best = when != "no" and settings.load_best_model_at_end
    saves = "best" if best else "no"
    if resumes:
        saves = "steps" if when == "steps" else "epoch"
    if saves == "steps":
        given["save_steps"] = settings.eval_steps
    made = SFTConfig(
        output_dir=str(folder),
        **given,
        gradient_checkpointing=checkpointing,
        seed=seed,
        data_seed=seed,
        bf16=bf16,
        fp16=False,
        use_cpu=use_cpu,
        eval_strategy=when,
        save_strategy=saves,
        # Of sharded weights transformers takes back the best only from whole checkpoints.
        save_only_model=not resumes and joined().size == 1,
        load_best_model_at_end=best,
        metric_for_best_model="loss",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        report_to="none",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # else a loss that is no number is logged as one
        disable_tqdm=True,
        log_level="critical",
        log_level_replica="critical",
        dataloader_pin_memory=not use_cpu,
        ddp_find_unused_parameters=False,
        push_to_hub=False,
    )
    made._n_gpu = min(1, made.n_gpu)  # one process, one GPU: else the model is copied to all
    return made
