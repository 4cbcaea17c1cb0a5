"""What a model's work costs: operations counted on a copy without weights, and bytes moved.

Outside of any metered phase torch's counter watches a few small passes of the model's *skeleton*:
the same modules with their tensors on the meta device, which compute shapes and no numbers.
Operations are linear in positions, attended pairs and heads, so three passes give all coefficients;
a fourth, larger one proves them. A figure depends neither on the machine nor on its kernels:

- attention counts the dense product of queries and keys; kernels that skip what a causal mask
  hides do about half of it;
- a backward pass counts four products of attention's size, the forward one two; kernels that
  compute scores a second time are not credited for it (model operations as in PaLM,
  arXiv 2204.02311, appendix B);
- products of matrices count, what is done element by element does not, nor does the optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal

from ..measure.work import Costs, Tally
from ..values import digest
from .quiet import quiet_transformers

Kind = Literal["answering", "training", "embedding"]

LENGTHS = (8, 16, 24)
"""Positions of the passes that give the coefficients."""
REACH = 4096
"""Cached positions before the pass that proves them, or what the model's window allows. Models
whose layers look back less far are not affine and get the expected figure."""
TOLERANCE = 1e-6
CREDIBLE = 0.5
"""A count below this share of the expected one missed kernels that torch has no formula for."""
OPTIMIZER_VALUES = 7
"""Values that AdamW moves per trained parameter and step: it reads weight, gradient and both
moments and writes all but the gradient."""

_known: dict[str, Costs] = {}


def costs(model: Any, kind: Kind) -> Costs:
    """The `Costs` of a skeleton, kept in memory by all that determines them."""
    if model is None:
        return Costs()
    weights = [
        [name, list(p.shape), str(p.dtype), _stored(p), p.requires_grad]
        for name, p in model.named_parameters()
    ]
    key = digest([kind, str(model), str(getattr(model, "config", "")), weights])
    if key not in _known:
        with quiet_transformers():
            method, flops = _flops(model, kind)
            _known[key] = Costs(
                method=method,
                flops_per_position=flops[0],
                flops_per_pair=flops[1],
                flops_per_head=flops[2],
                **_bytes(model, kind),
            )
    return _known[key]


def count_flops(run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and the attention in `run`, on any device.

    torch's counter has no formula for attention on a CPU (torch 2.13); it gets one here.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        rows, heads, length, width = query
        return int(2 * rows * heads * length * key[2] * (width + value[3]))

    def backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
        return 2 * forward(query, key, value)

    aten = torch.ops.aten
    formulas = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with counter:
        run()
    return int(counter.get_total_flops())


Flops = tuple[float | None, float | None, float | None]
"""Per position, per attended pair, per head."""


def _flops(model: Any, kind: Kind) -> tuple[Literal["counted", "expected", ""], Flops]:
    expected = expected_flops(model, kind)
    try:
        counted = _counted(model, kind)
    except Exception:  # a model's own code may refuse meta tensors in any way
        counted = None
    floor = CREDIBLE * (expected[0] or 0.0)
    if counted is not None and counted[0] >= floor and not _experts(model):
        return "counted", counted
    return ("", expected) if expected[0] is None else ("expected", expected)


def _counted(model: Any, kind: Kind) -> tuple[float, float, float] | None:
    """Coefficients by counting, or None where a further pass shows that they do not hold.

    With one row and one head, ``f(n) = a n + b n^2 + c`` for `n` positions.
    """
    one, two, three = (_count_pass(model, kind, 1, length, 1) for length in LENGTHS)
    step = LENGTHS[0]
    pair = (three - 2 * two + one) / (2 * step**2)
    position = (two - one) / step - 3 * step * pair
    head = one - step * position - step**2 * pair
    keep = 1 if kind == "embedding" else 3
    window = getattr(_config(model), "max_position_embeddings", None) or REACH
    past = min(REACH, window - 5) if kind == "answering" else 0
    proof = Tally.of_pass(2, 5, heads=2 * keep, past=past)
    found = position * proof.positions + pair * proof.pairs + head * proof.heads
    counted = _count_pass(model, kind, 2, 5, keep, past)
    exact = abs(found - counted) <= TOLERANCE * counted
    return (position, pair, head) if exact else None


def _count_pass(model: Any, kind: Kind, rows: int, length: int, keep: int, past: int = 0) -> int:
    """Operations of one pass of a skeleton; in training forward and backward.

    Attention masks are given whole: for others transformers looks into the numbers, and there are
    none. The head is computed for the last `keep` positions, as generation and the trainer do.
    """
    import torch

    with torch.device("meta"), torch.set_grad_enabled(kind == "training"):
        ids = torch.zeros((rows, length), dtype=torch.long)
        mask = torch.ones((rows, 1, length, past + length), dtype=torch.bool)
        if kind == "embedding":
            first, *rest = model

            def embed() -> None:
                made = first({"input_ids": ids, "attention_mask": mask})
                made["attention_mask"] = torch.ones_like(ids)
                for module in rest:
                    made = module(made)

            return count_flops(embed)
        cache = _filled_cache(model, rows, past) if past else None
        options = {"past_key_values": cache, "use_cache": bool(past), "logits_to_keep": keep}

        def run() -> None:
            logits = model(input_ids=ids, attention_mask=mask, **options).logits
            if kind == "training":
                logits.float().sum().backward()

        return count_flops(run)


def _filled_cache(model: Any, rows: int, length: int) -> Any:
    """The key-value cache of a skeleton after one pass."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=_config(model))
    with torch.device("meta"), torch.no_grad():
        ids = torch.zeros((rows, length), dtype=torch.long)
        mask = torch.ones((rows, 1, length, length), dtype=torch.bool)
        model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
    return cache


def expected_flops(model: Any, kind: Kind) -> Flops:
    """Operations from the number of parameters alone, for models that cannot be counted.

    Per position and weight two forward, two backward, and two more for the weight's own gradient
    (Kaplan et al. 2020, arXiv 2001.08361, section 2.1): 2N to answer, 4N around a frozen base, 6N
    for full tuning. Per pair four for each layer's width of heads; a backward pass doubles them.
    None for mixtures of experts, whose share of active weights is not read from shapes.
    """
    if _experts(model):
        return None, None, None
    head, body = _weights(model)
    training = kind == "training"

    def per_use(weights: list[Any]) -> float:
        return float(
            sum(w.numel() * ((6 if w.requires_grad else 4) if training else 2) for w in weights)
        )

    config = _config(model)
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    pair = 4.0 * config.num_hidden_layers * width * (3 if training else 1)
    return per_use([w for w in body if w.ndim > 1]), pair, per_use(head)


def _bytes(model: Any, kind: Kind) -> dict[str, float | None]:
    """Bytes per unit of work: see `Costs`. Of embedding tables only the rows looked up are read,
    of quantised weights what they are stored in.

    In training a pass reads the weights forward and backward and writes the gradients of those
    trained; a step moves seven values of each.
    """
    head, body = _weights(model)
    read = sum(_stored(weight) for weight in [*head, *body])
    trained = 0
    if kind == "training":
        trained = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
    cached: float | None = None
    if kind == "answering":
        with contextlib.suppress(Exception):  # caches of another make stay unknown
            layers = _filled_cache(model, 1, 1).layers
            cached = float(sum(layer.keys.nbytes + layer.values.nbytes for layer in layers))
    looked_up = sum(table.weight[0].nbytes for table in _tables(model))
    return {
        "bytes_per_pass": float(2 * read + trained if kind == "training" else read),
        "bytes_per_position": float(looked_up),
        "bytes_per_cached": cached,
        "bytes_per_step": float(OPTIMIZER_VALUES * trained),
    }


def _stored(weight: Any) -> int:
    """Bytes of a weight, those of its quantised form where it has one (`float_skeleton`)."""
    return int(getattr(weight, "stored_bytes", weight.nbytes))


def _weights(model: Any) -> tuple[list[Any], list[Any]]:
    """The output head, and all other weights but embedding tables, of which only rows are read."""
    ask = getattr(model, "get_output_embeddings", None)
    out = ask() if ask is not None else None
    head = [out.weight] if out is not None else []
    apart = {id(weight) for weight in [*head, *(table.weight for table in _tables(model))]}
    return head, [weight for weight in model.parameters() if id(weight) not in apart]


def _tables(model: Any) -> list[Any]:
    import torch

    return [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]


def _transformer(model: Any) -> Any:
    """The transformers model within."""
    from transformers import PreTrainedModel

    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def _config(model: Any) -> Any:
    return _transformer(model).config.get_text_config()


def _experts(model: Any) -> bool:
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    return any(getattr(_config(model), name, None) for name in names)
