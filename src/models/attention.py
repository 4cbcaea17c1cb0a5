"""Attention over a trunk that all rows share and over each row's own tokens, by one softmax.

The trunk's keys and values are read once for all rows together instead of being copied to each
(the idea: Juravsky et al. 2024, "Hydragen: High-Throughput LLM Inference with Shared Prefixes",
arXiv 2402.05099). Registered with transformers as an attention function of its own.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .rows import Trunk

NAME = "wattune_trunk"


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    trunk: Trunk | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The outputs ``(rows, tokens, heads, width)``, as transformers' attention functions give them.

    `query` is ``(rows, heads, tokens, width)``, `key` and `value` the rows' own, ``(rows, key
    heads, columns, width)``, `attention_mask` which of their columns may be read, ``(rows, 1,
    tokens, columns)``; None: all of them. Without a trunk transformers' own function does it.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if trunk is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    rows, heads, tokens, width = query.shape
    shared = key.shape[1]  # heads of the keys; each serves as many heads of the queries
    each = heads // shared
    trunk_keys, trunk_values = (one[0] for one in trunk.layers[module.layer_idx])
    query = query.reshape(rows, shared, each * tokens, width) * (scaling or width**-0.5)
    # All rows in one product: (key heads, rows x queries, width) by (key heads, width, trunk).
    flat = query.transpose(0, 1).reshape(shared, rows * each * tokens, width)
    far = (flat @ trunk_keys.transpose(1, 2)).float()
    near = (query @ key.transpose(2, 3)).float()
    near = near.view(rows, shared, each, tokens, -1)
    if attention_mask is not None:
        near = near.masked_fill_(~attention_mask[:, :, None], float("-inf"))
    near = near.view(rows, shared, each * tokens, -1).transpose(0, 1)
    far = far.view(shared, rows, each * tokens, -1)
    top = torch.maximum(far.amax(-1, keepdim=True), near.amax(-1, keepdim=True))
    far, near = (far - top).exp_(), (near - top).exp_()
    total = far.sum(-1, keepdim=True) + near.sum(-1, keepdim=True)
    out = (far.to(value.dtype).view(shared, rows * each * tokens, -1) @ trunk_values).float()
    out = out.view(shared, rows, each * tokens, -1)
    out = out + (near.to(value.dtype) @ value.transpose(0, 1)).float()
    made = (out / total).to(value.dtype).transpose(0, 1)
    made = made.reshape(rows, heads, tokens, -1).transpose(1, 2)
    return made.contiguous(), None


@contextlib.contextmanager
def attending(model: Any) -> Iterator[None]:
    """Let a transformers model attend by `attend` while inside."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def window_of(model: Any) -> int | None:
    """How many tokens `Rows` and `attend` may hold for a model; None: any number, 0: none.

    They know attention over all that stands before, of models that hand their arguments through to
    the attention function (transformers' "attention backend"). A sliding window is no matter as
    long as all fits in.
    """
    config = model.config.get_text_config()
    takes = inspect.signature(model.forward).parameters
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if (
        not getattr(model, "_supports_attention_backend", False)
        or not {"position_ids", "logits_to_keep"} <= set(takes)
        or not kinds <= {"full_attention", "sliding_attention"}
        or any(getattr(config, name, None) for name in UNKNOWN)
        or config.model_type in ODD
    ):
        return 0
    return getattr(config, "sliding_window", None)


UNKNOWN = ("attn_logit_softcapping", "num_kv_shared_layers", "alibi", "attention_chunk_size")
"""Settings that change what attention does, in ways that `attend` does not know."""
ODD = ("gpt_oss",)
"""Models whose attention takes more than queries, keys and values (sinks)."""
