"""The parts of a model read from their folders: tokenizer, weights, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ModelError
from .quiet import quiet_peft, quiet_transformers


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, without its weights; `ModelError` if it cannot be read."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder}: the tokenizer cannot be read: {error}") from error


def load_weights(folder: Path, dtype: str) -> Any:
    """The causal language model of `folder` in `dtype`; a `ModelError` if it cannot be opened."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the model cannot be opened: {error}") from error


def end_tokens(model: Any, tokenizer: Any) -> tuple[frozenset[int], int]:
    """The tokens that end an answer, and the one to pad with.

    The model's own generation settings may name more ends than the tokenizer. Then they are
    replaced, because transformers fills what a call leaves open from them; the ends stay, so that a
    tuned copy saved from this model keeps them.
    """
    from transformers import GenerationConfig

    named = model.generation_config.eos_token_id
    ends = {named} if isinstance(named, int) else set(named or ())
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    pad = tokenizer.pad_token_id
    if pad is None:
        pad = min(ends, default=0)  # any will do: it is masked
    settings: Any = GenerationConfig
    model.generation_config = settings(eos_token_id=sorted(ends) or None, pad_token_id=pad)
    return frozenset(ends), pad


def with_adapter(model: Any, folder: Path) -> tuple[Any, bool]:
    """The model with one adapter, and whether it was merged into the weights."""
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{folder} has no adapter_model.safetensors, so it is no usable adapter")
    try:
        kind = PeftConfig.from_pretrained(str(folder))
        with quiet_peft():
            wrapped = PeftModel.from_pretrained(model, folder, config=kind, is_trainable=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the adapter does not fit the model: {error}") from error
    if kind.is_prompt_learning or not hasattr(wrapped.base_model, "merge_and_unload"):
        return wrapped, False
    return wrapped.merge_and_unload(), True
