"""The one trainer: TRL's SFTTrainer with the loss taken where an answer token is predicted.

LoRA and full fine-tuning both come through here; they differ in the model they bring.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..errors import CannotRun
from ..measure.work import Tally
from ..values import Value
from .batches import IGNORED, AnswerCollator, TokenisedExample, columns

Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt",
]  # fmt: skip
"""transformers' schedules that need no settings of their own."""


class TrainingSettings(Value):
    """How to train, in TRL's own field names."""

    learning_rate: float = Field(gt=0)
    num_train_epochs: float = Field(default=3.0, gt=0)
    per_device_train_batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    warmup_steps: float = Field(default=0.1, ge=0)
    lr_scheduler_type: Scheduler = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=1024, ge=8)


class TrainingResult(Value):
    """What a training did: optimizer steps, tokens seen, and the loss as it went down.

    `tally` are its forward and backward passes, of this process.
    """

    steps: int
    examples: int
    tokens: int
    trainable_parameters: int
    final_loss: float
    losses: tuple[tuple[int, float], ...]
    tally: Tally = Tally()


def train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TokenisedExample],
    settings: TrainingSettings,
    *,
    seed: int,
    bf16: bool,
    use_cpu: bool,
    output_dir: Path,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train `model` in place on `examples`.

    `bf16` runs the operations in bfloat16 under autocast; the trained parameters stay in the
    float32 they came in, because small updates vanish below bfloat16's resolution.
    Raises `CannotRun` when the loss stops being a number.
    """
    import datasets  # type: ignore[import-untyped]
    from trl.trainer.sft_config import SFTConfig

    with quiet_training():
        config = SFTConfig(
            output_dir=str(output_dir),
            **settings.plain(),
            seed=seed,
            data_seed=seed,
            bf16=bf16,
            fp16=False,
            use_cpu=use_cpu,
            train_sampling_strategy="group_by_length",
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            logging_strategy="steps",
            logging_steps=1,
            logging_nan_inf_filter=False,  # else a loss that is no number is logged as one
            disable_tqdm=True,
            log_level="critical",
            dataloader_pin_memory=not use_cpu,
            push_to_hub=False,
        )
        trainer = _trainer_class()(
            model=model,
            args=config,
            train_dataset=datasets.Dataset.from_dict(columns(examples)),
            processing_class=tokenizer,
            data_collator=AnswerCollator(tokenizer.pad_token_id),
            callbacks=[_watch(progress)],
        )
        # They would print every log line; ours are in the result.
        from transformers import PrinterCallback, ProgressCallback

        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        try:
            with _autocast_decides(model, bf16):
                outcome = trainer.train()
        finally:
            trainer.accelerator.free_memory()
    losses = tuple(
        (int(row["step"]), float(row["loss"])) for row in trainer.state.log_history if "loss" in row
    )
    tokens = round(sum(example.length for example in examples) * settings.num_train_epochs)
    return TrainingResult(
        steps=int(outcome.global_step),
        examples=len(examples),
        tokens=tokens,
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        final_loss=_mean_of_last(losses),
        losses=losses,
        tally=trainer.tally + Tally(steps=int(outcome.global_step), tokens_in=tokens),
    )


@contextlib.contextmanager
def _autocast_decides(model: Any, bf16: bool) -> Iterator[None]:
    """Leave precision to autocast inside adapters.

    PEFT casts each layer's input to the adapter's float32, which autocast casts back: two copies
    of every activation for nothing.
    """
    from peft import PeftModel
    from peft.helpers import disable_input_dtype_casting

    if isinstance(model, PeftModel) and bf16:
        with disable_input_dtype_casting(model):
            yield
    else:
        yield


def _mean_of_last(losses: Sequence[tuple[int, float]], share: float = 0.1) -> float:
    last = losses[-max(1, round(len(losses) * share)) :]
    return sum(loss for _, loss in last) / len(last)


def _trainer_class() -> Any:
    import torch
    from trl.trainer.sft_trainer import SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc,unused-ignore]
        """Computes the head's 49k-word logits for answer columns only, and no other metrics."""

        tally = Tally()

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            labels = inputs["labels"]
            first = int((labels != IGNORED).any(dim=0).nonzero()[0])
            rows, length = labels.shape
            keep = length - first + 1  # one column earlier predicts the first token
            self.tally += Tally.of_pass(rows, length, heads=rows * keep)
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
                logits_to_keep=keep,
            )
            targets = labels[:, first:]
            logits = outputs.logits[:, :-1][targets != IGNORED].float()
            total = torch.nn.functional.cross_entropy(
                logits, targets[targets != IGNORED], reduction="sum"
            )
            scored = (
                (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
            )
            loss = total / scored
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

    return AnswerTrainer


def _watch(progress: Callable[[int, int], None] | None) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        """Tells how far the training is and stops it when the loss is no number."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if progress is not None:
                progress(state.global_step, state.max_steps)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(loss):
                raise CannotRun(
                    f"the training loss became {loss} at step {state.global_step}; "
                    f"lower learning_rate ({args.learning_rate:g}) or max_grad_norm"
                )

    return Watch()


@contextlib.contextmanager
def quiet_training() -> Iterator[None]:
    """No telemetry, no log lines and no warnings from the trainer; all as it was afterwards."""
    import warnings

    import huggingface_hub.constants as hub

    names = ("transformers", "trl", "accelerate", "datasets", "torchao", "torch.utils._pytree")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    telemetry = hub.HF_HUB_DISABLE_TELEMETRY
    hub.HF_HUB_DISABLE_TELEMETRY = True
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.HF_HUB_DISABLE_TELEMETRY = telemetry
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
