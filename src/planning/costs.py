"""Costs of a model's work, kept on disk: to count them takes seconds for each kind of model."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from ..files import cache_folder, write_json
from ..measure.work import Costs
from ..models.flops import Kind, costs
from ..values import digest

COUNTED_BY = 1
"""Raised when `models.flops` counts otherwise."""


def kept_costs(model: Any, kind: Kind) -> Costs:
    """What `models.flops.costs` says of a skeleton, found again by all that determines it.

    None in place of a model: nothing is known.
    """
    if model is None:
        return Costs()
    weights = [
        [name, list(p.shape), str(p.dtype), getattr(p, "stored_bytes", None), p.requires_grad]
        for name, p in model.named_parameters()
    ]
    said = [COUNTED_BY, kind, str(model), str(getattr(model, "config", "")), weights]
    key = digest([*said, version("torch"), version("transformers")])
    place = cache_folder() / "machine" / f"costs-{key}.json"
    try:
        return Costs.model_validate(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        found = costs(model, kind)
        write_json(place, found.plain())
        return found
