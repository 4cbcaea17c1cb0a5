"""What runs are called that differ in their model: the run, an @ and the model's short name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from ..endpoint_ref import EndpointRef
from ..values import digest

LONGEST = 61
"""Characters of a run's name, as a recipe allows them."""


def model_labels(models: Sequence[str | EndpointRef]) -> list[str]:
    """Short names of models, each another: ``smollm2-135m`` of ``org/smollm2-135m@main``, the last
    folder of a path, what a server calls it. Equal ones get a digest of the whole."""
    short = [_short(model) for model in models]
    return [
        name if short.count(name) == 1 else f"{name}-{_digest(model)}"
        for name, model in zip(short, models, strict=True)
    ]


def name_at(run: str, label: str) -> str:
    """``rag@smollm2-135m``; both cut, and a digest behind them, where that is too long."""
    name = f"{run}@{label}"
    return name if len(name) <= LONGEST else f"{run[:28]}@{label[:22]}-{digest(name)[:8]}"


def _short(model: str | EndpointRef) -> str:
    if isinstance(model, EndpointRef):
        named = model.model or str(model.langchain).rpartition(":")[2]
    else:
        named = PurePath(model).name.partition("@")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", named).strip("_.") or "model"


def _digest(model: str | EndpointRef) -> str:
    return digest(model if isinstance(model, str) else model.plain())[:6]
