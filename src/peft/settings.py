"""How to train, and what a training did."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..measure.work import Tally
from ..values import Value
from .optimizers import known_optimizer

Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt",
]  # fmt: skip
"""transformers' schedules that need no settings of their own."""

Stopped = Literal["finished", "early_stopping", "frugal"]


class TrainingSettings(Value):
    """How to train, in TRL's own field names; those below `save_steps` are ours.

    `gradient_checkpointing` None: only where not even one row fits into memory without it.
    `eval_strategy` counts where there are validation examples; "steps" needs `eval_steps`.
    `save_steps` and `checkpoint_minutes`: a checkpoint every so many steps, and when so many
    minutes went by since the last one, besides those at evaluations and epochs.
    `frugal_gain_per_kj`: stop when the validation loss fell by less than so many nats per kilojoule
    spent, `frugal_patience` evaluations in a row.
    """

    learning_rate: float = Field(gt=0)
    num_train_epochs: float = Field(default=3.0, gt=0)
    max_steps: int = Field(default=-1, ge=-1)
    per_device_train_batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    warmup_steps: float = Field(default=0.1, ge=0)
    lr_scheduler_type: Scheduler = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    optim: Annotated[str, AfterValidator(known_optimizer)] = "adamw_torch_fused"
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    max_length: int = Field(default=1024, ge=8)
    packing: bool = False
    completion_only_loss: bool = True
    gradient_checkpointing: bool | None = None
    # YAML reads a plain no as false.
    eval_strategy: Annotated[
        Literal["no", "steps", "epoch"],
        BeforeValidator(lambda given: "no" if given is False else given),
    ] = "epoch"
    eval_steps: float | None = Field(default=None, gt=0)
    load_best_model_at_end: bool = True
    save_steps: int | None = Field(default=None, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    frugal_gain_per_kj: float | None = Field(default=None, ge=0)
    frugal_patience: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.max_steps == 0:
            raise ValueError("max_steps is 0; give a number of steps, or -1 for whole epochs")
        if self.eval_strategy == "steps" and self.eval_steps is None:
            raise ValueError('eval_strategy "steps" needs eval_steps: evaluate every how many?')
        return self


class TrainingResult(Value):
    """What a training did, all attempts together.

    Losses are nats per answer token, each with its step; `final_loss` is the mean of the last tenth
    of `losses`. `energy_curve` are the joules of the whole stage up to each step. `tally` are the
    forward and backward passes of this process, `validation_tally` its forward passes on validation
    examples; `tokens` are the training tokens that all processes read. The batch figures are those
    really used. `notes` are sentences for a person: what went otherwise than asked.
    """

    steps: int
    examples: int
    tokens: int
    trainable_parameters: int
    final_loss: float
    losses: tuple[tuple[int, float], ...]
    validation_losses: tuple[tuple[int, float], ...] = ()
    energy_curve: tuple[tuple[int, float], ...] = ()
    best_step: int | None = None
    best_validation_loss: float | None = None
    stopped: Stopped = "finished"
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: bool = False
    resumed_from_step: int | None = None
    paused_s: float = 0.0
    notes: tuple[str, ...] = ()
    tally: Tally = Tally()
    validation_tally: Tally = Tally()
