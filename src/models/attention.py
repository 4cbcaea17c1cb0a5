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
    heads, columns, width)``, `attention_mask` what is added to their scores, ``(rows, 1, tokens,
    columns)``; None: nothing. Without a trunk transformers' own function does it.
    """
    import torch
    import torch.nn.functional as F
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, tokens, width = query.shape
    if trunk is not None and tokens >= width:
        # Of long texts, attention over one piece is faster than over two, and worth the copies.
        before = [one.expand(rows, -1, -1, -1) for one in trunk.layers[module.layer_idx]]
        key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (len(trunk), 0))
        trunk = None
    if trunk is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    scale = scaling or width**-0.5
    shared = key.shape[1]  # heads of the keys; each serves as many heads of the queries
    each = heads // shared
    if attention_mask is not None and tokens > 1:
        attention_mask = attention_mask.repeat(1, 1, each, 1)
    query = query.reshape(rows, shared, each * tokens, width)
    near, near_sum = _attended(query, key, value, attention_mask, scale)
    # The queries of all rows at once: (1, key heads, rows x queries, width).
    flat = query.transpose(0, 1).reshape(1, shared, -1, width)
    trunk_key, trunk_value = trunk.layers[module.layer_idx]
    far, far_sum = _attended(flat, trunk_key, trunk_value, None, scale)
    far = far.view(shared, rows, each * tokens, -1).transpose(0, 1)
    far_sum = far_sum.view(shared, rows, each * tokens).transpose(0, 1)
    share = torch.sigmoid(far_sum - near_sum)[..., None]  # of the trunk in the one softmax
    made = torch.lerp(near.float(), far.float(), share).to(value.dtype)
    made = made.reshape(rows, heads, tokens, -1).transpose(1, 2)
    return made.contiguous(), None


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention, and the logarithm of the sum of its weights before they were normed, in float32.

    torch's fused kernel for CPUs tells that sum, by an operator of its own only.
    """
    import torch

    fused = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    if query.device.type == "cpu" and fused is not None and query.shape[-1] == value.shape[-1]:
        out, total = fused(query, key, value, 0.0, False, attn_mask=mask, scale=scale)
        return out, total
    scores = (query @ key.transpose(2, 3)).float() * scale
    if mask is not None:
        scores = scores + mask
    out = scores.softmax(-1).to(value.dtype) @ value
    return out, scores.logsumexp(-1)


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
