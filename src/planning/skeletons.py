"""Skeletons: models as structures on torch's meta device, which have shapes and no numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ..measure.predicted import Expected
from ..models.account import skeleton
from ..models.devices import preferred_device, preferred_dtype
from ..models.folders import stores_quantized
from ..models.quiet import quiet_transformers
from ..peft.adapters import add_adapter
from ..peft.beginnings import can_share
from ..peft.quiet import quiet_training
from ..strategies import LoRA, PeftMethod
from ..strategies.tuning import Tuning
from .planned import NotPlanned
from .weightless import virtual_tokens


def bare_model(folder: Path, dtype: str | None = None) -> Any:
    """The model of a folder as a structure on torch's meta device, in the precision that answers,
    or another. Raises `CannotRun` for weights that are stored quantised."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if stores_quantized(folder):
        raise NotPlanned(f"{folder.name} is stored quantised, which is not planned yet")
    classes: Any = AutoModelForCausalLM
    with quiet_transformers(), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        wanted = dtype or preferred_dtype(preferred_device())
        return classes.from_config(config, dtype=getattr(torch, wanted)).eval()


def held_bytes(model: Any) -> Expected:
    return Expected.exactly(float(sum(weight.nbytes for weight in model.parameters())))


def dtype_of(name: str) -> Any:
    import torch

    return getattr(torch, name)


def of_config(config: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    classes: Any = AutoModelForCausalLM
    with quiet_transformers(), torch.device("meta"):
        return classes.from_config(config, dtype=torch.float32)


def adapted(model: Any, strategy: LoRA | PeftMethod, seed: int) -> Any:
    """A skeleton with the adapter of a step. A start that takes a part of the weights is planned
    as one that does not: there are no weights to take it from, and the shapes are the same."""
    import torch

    config = strategy.adapter()
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = True
    with quiet_training(), torch.device("meta"):
        return skeleton(add_adapter(model, config, seed=seed))


def shares_beginnings(model: Any, strategy: Tuning, seed: int) -> bool:
    """Whether the trainer will read shared beginnings once: tried on one layer with any weights."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = copy.deepcopy(inner.config.get_text_config())
    depth = config.num_hidden_layers
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == depth:
            setattr(config, name, value[:1])
    config.num_hidden_layers = 1
    from transformers import AutoModelForCausalLM

    classes: Any = AutoModelForCausalLM
    with quiet_transformers():
        tried = classes.from_config(config)
    if isinstance(strategy, LoRA | PeftMethod):
        if virtual_tokens(model):
            return False
        tried = add_adapter(tried, strategy.adapter(), seed=seed)
    return can_share(tried)
