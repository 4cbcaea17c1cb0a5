"""Hugging Face's libraries kept quiet for the length of a call, then put back as they were."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

TELEMETRY_VARIABLE = "HF_HUB_DISABLE_TELEMETRY"


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no log lines below ERROR from transformers while inside."""
    from transformers.utils import logging as untyped

    theirs: Any = untyped
    with _no_hub_bars(), _quiet_torchao():  # transformers' switch turns the hub's along
        bars = theirs.is_progress_bar_enabled()
        level = theirs.get_verbosity()
        theirs.disable_progress_bar()
        theirs.set_verbosity_error()
        try:
            yield
        finally:
            theirs.set_verbosity(level)
            if bars:
                theirs.enable_progress_bar()


@contextlib.contextmanager
def _quiet_torchao() -> Iterator[None]:
    """No log lines below ERROR from torchao, which transformers imports where it is installed.

    It tells of kernels for other GPUs, and torch of how torchao registers its types.
    """
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """No telemetry and no progress bars from huggingface_hub while inside.

    The library reads its environment once, when it is first imported, so the variable is set for
    that import only; afterwards the value it keeps is changed and put back.
    """
    before = os.environ.get(TELEMETRY_VARIABLE)
    os.environ[TELEMETRY_VARIABLE] = "1"
    try:
        from huggingface_hub import constants
    finally:
        if before is None:
            del os.environ[TELEMETRY_VARIABLE]
        else:
            os.environ[TELEMETRY_VARIABLE] = before
    disabled = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with _no_hub_bars():
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = disabled


@contextlib.contextmanager
def _no_hub_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    disabled = are_progress_bars_disabled()
    if not disabled:
        disable_progress_bars()
    try:
        yield
    finally:
        if disabled:
            disable_progress_bars()
        else:
            enable_progress_bars()


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """No notices from PEFT that say nothing to the caller while inside; others stay.

    One is of its own use of transformers. Another tells that prompt tuning counts positions
    itself, from the left edge: true, and harmless where nothing is padded, which we see to. A third
    is of layers whose shape PEFT cannot name: a norm has one size only. A fourth is of layers that
    an adapter has no numbers for, which is an error of ours.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        warnings.filterwarnings("ignore", "Position ids are not supported", UserWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
        yield
