"""Adapters on a frozen base, by Hugging Face's peft."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..errors import InputError, did_you_mean
from ..values import Value
from .trainer import quiet_training


class LoraSettings(Value):
    """Low-rank adaptation (arXiv 2106.09685), in peft's own field names."""

    r: int = Field(default=16, ge=1, le=1024)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"


def add_lora(model: Any, settings: LoraSettings, *, seed: int) -> Any:
    """A peft model around `model` with fresh float32 adapter weights; the base is frozen.

    Raises `InputError` for target modules that the model does not have, naming those it has.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    chosen = settings.target_modules
    if not isinstance(chosen, str):
        known = {
            name.rsplit(".", 1)[-1]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        for name in chosen:
            if name not in known:
                raise InputError(
                    f'lora.target_modules: this model has no linear layer "{name}"'
                    + did_you_mean(name, known)
                )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=chosen if isinstance(chosen, str) else list(chosen),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with quiet_training():
        return get_peft_model(model, config)
