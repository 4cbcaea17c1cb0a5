"""The parts of a model read from their folders: tokenizer, weights, adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CannotRun, ModelError
from .folders import stores_quantized
from .head import flatten_head_input
from .quiet import quiet_transformers
from .rows import Trunk


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


def tokenizer_folder(folder: Path, weights: Path | None) -> Path:
    """Where the tokenizer and the configuration lie that answer: with `weights` that have a
    tokenizer of their own there, else with the model in `folder`."""
    own = weights is not None and (weights / "tokenizer_config.json").is_file()
    return weights if weights is not None and own else folder


def context_window(folder: Path) -> int | None:
    """The most tokens of prompt and answer together; None where the model names no limit."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    window = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(window) if window else None


def load_weights(
    folder: Path, dtype: str, device: str = "cpu", *, quantization_config: Any = None
) -> Any:
    """The causal language model of `folder` in `dtype`; a `ModelError` if it cannot be opened.

    It lies in main memory. Quantised weights, those that are being quantised too, lie on `device`
    at once, for they may not be moved; they come in the precision that they were quantised for.
    `CannotRun` where the package that reads them is missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": dtype}
    stored = stores_quantized(folder)
    if stored:
        options["dtype"] = "auto"
    elif quantization_config is not None:
        options["quantization_config"] = quantization_config
    if stored or quantization_config is not None:
        _allow_int4_of_cpus()
        if device != "cpu":
            options["device_map"] = {"": device}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    except ImportError as error:
        raise CannotRun(f"{folder}: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the model cannot be opened: {error}") from error
    return flatten_head_input(model)


def is_quantized(model: Any) -> bool:
    """Whether a transformers model in memory has quantised weights."""
    return getattr(model, "hf_quantizer", None) is not None


def _allow_int4_of_cpus() -> None:
    """Let torchao save and read the int4 weights of CPUs as safetensors: 0.18 left them out."""
    try:
        from torchao.prototype.quantization.int4 import (  # type: ignore[import-untyped]
            Int4OpaqueTensor,
        )
        from torchao.prototype.safetensors import (  # type: ignore[import-untyped]
            safetensors_utils as known,
        )
    except ImportError:  # whoever needs it is told so
        return
    name = Int4OpaqueTensor.__name__
    if name not in known.ALLOWED_CLASSES:
        known.ALLOWED_CLASSES[name] = Int4OpaqueTensor
        known.ALLOWED_TENSORS_SUBCLASSES.append(name)


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


def virtual_trunk(model: Any) -> Trunk | None:
    """What a prompt-learning adapter of PEFT puts before every prompt, as keys and values.

    None for a model without one. Prefix tuning holds keys and values itself; virtual
    tokens of the others are read.
    """
    import torch
    from transformers import DynamicCache

    if not getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return None
    base = model.get_base_model()
    with torch.inference_mode():
        learnt = model.get_prompt(batch_size=1)
        cache = learnt if isinstance(learnt, DynamicCache) else None
        if cache is None:
            cache = DynamicCache(config=base.config.get_text_config())
            embedded = learnt.to(base.dtype)
            base(inputs_embeds=embedded, past_key_values=cache, use_cache=True, logits_to_keep=1)
        layers: Any = cache.layers
        return Trunk((), tuple((layer.keys, layer.values) for layer in layers))
