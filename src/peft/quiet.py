"""Around a training: no noise, and the model's own ways as they were."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

NOTICES = ("torchao", "torch.utils._pytree")
"""Loggers that tell, when torchao is imported, of kernels for other GPUs and of how it registers
its types. PEFT and transformers' trainer import it where it is installed."""


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """No such notices while these are imported; errors and all warnings stay."""
    with _at_level(logging.ERROR, NOTICES):
        yield


@contextlib.contextmanager
def _at_level(level: int, names: Sequence[str]) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, own in zip(loggers, before, strict=True):
            logger.setLevel(own)


@contextlib.contextmanager
def quiet_training() -> Iterator[None]:
    """No telemetry, no log lines and no warnings from the trainer; all as it was afterwards."""
    import warnings

    import huggingface_hub.constants as hub
    from transformers.utils import logging as transformers_logging

    names = ("transformers", "trl", "accelerate", "datasets", *NOTICES)
    telemetry = hub.HF_HUB_DISABLE_TELEMETRY
    hub.HF_HUB_DISABLE_TELEMETRY = True
    bars: Any = transformers_logging
    showing = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with _at_level(logging.CRITICAL, names), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if showing:
            bars.enable_progress_bar()
        hub.HF_HUB_DISABLE_TELEMETRY = telemetry


@contextlib.contextmanager
def autocast_decides(model: Any, bf16: bool) -> Iterator[None]:
    """Leave precision to autocast inside adapters.

    PEFT casts each layer's input to the adapter's float32, which autocast casts back: two copies
    of every activation for nothing.
    """
    from peft.helpers import disable_input_dtype_casting
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    # IA3, VeRA and some more know no such casting.
    if bf16 and layers and all(hasattr(layer, "cast_input_dtype_enabled") for layer in layers):
        with disable_input_dtype_casting(model):
            yield
    else:
        yield


@contextlib.contextmanager
def as_it_was(model: Any) -> Iterator[None]:
    """Take back what trainers leave on a model: wrapped `forward`s, gradient checkpointing, and a
    configuration that says to keep no key-value cache."""
    from peft import PeftModel

    modules = [model, model.get_base_model()] if isinstance(model, PeftModel) else [model]
    forwards = [module.__dict__.get("forward") for module in modules]
    use_cache = getattr(model.config, "use_cache", None)
    checkpointing = model.is_gradient_checkpointing
    try:
        yield
    finally:
        for module, forward in zip(modules, forwards, strict=True):
            module.__dict__.pop("forward", None)
            if forward is not None:
                module.forward = forward
        model.config.use_cache = use_cache
        if model.is_gradient_checkpointing and not checkpointing:
            model.gradient_checkpointing_disable()
