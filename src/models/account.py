"""Accounts: what a model did, tallied as it runs, and what that was worth, asked afterwards."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

from ..measure.work import NO_WORK, Costs, Tally, Work
from .flops import Kind, costs
from .loading import is_quantized
from .quantization import float_skeleton


class Account:
    """The work of one model: `tally` grows while it runs, `work` says afterwards what it was worth.

    Holds a skeleton only, so it outlives the weights. `model` is a causal transformers model, such
    a model as it was trained (adapters around it, `requires_grad` as in training), or a
    sentence-transformers model.
    """

    def __init__(self, model: Any, kind: Kind, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._kind = kind
        self._skeleton = skeleton(model)

    @contextlib.contextmanager
    def watching(self, module: Any) -> Iterator[None]:
        """Tally the forward passes of `module` within, once all went through.

        A batch that ran out of memory and is tried again in halves is so counted once.
        """
        seen: list[Tally] = []

        def watch(_: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            seen.append(_text_pass(args[0]) if self._kind == "embedding" else _pass(args, given))

        handle = module.register_forward_pre_hook(watch, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        self.tally = sum(seen, self.tally)

    @functools.cached_property
    def costs(self) -> Costs:
        """What a unit of work costs: counted once per kind of model (some seconds), then known."""
        found = costs(self._skeleton, self._kind)
        self._skeleton = None
        return found

    def work(self, since: Tally | None = None) -> Work:
        """The work done since an earlier `tally`, or all of it."""
        done = self.tally - (since or Tally())
        return NO_WORK if done == Tally() else self.costs.work(done)


def _pass(args: tuple[Any, ...], given: dict[str, Any]) -> Tally:
    """The tally of a causal model's forward pass, from its arguments."""
    ids = args[0] if args else given.get("input_ids")
    rows, length = (ids if ids is not None else given["inputs_embeds"]).shape[:2]
    cache = given.get("past_key_values")
    return Tally.of_pass(
        rows,
        length,
        heads=rows * (given.get("logits_to_keep") or length),
        past=int(cache.get_seq_length()) if cache is not None else 0,
        shared=len(getattr(cache, "trunk", None) or ()),
        cached=cache is not None,
    )


def _text_pass(features: dict[str, Any]) -> Tally:
    """The tally of an embedder's forward pass: every text is pooled, which takes a head's place."""
    ids = features["input_ids"]
    rows, length = ids.shape if ids.ndim == 2 else (1, ids.numel())
    return Tally.of_pass(rows, length, heads=rows)


def skeleton(model: Any) -> Any:
    """A copy of a torch module with all tensors on the meta device: structure without weights.

    Tied weights stay tied and `requires_grad` stays as it is. Quantised weights become floats that
    know what they took. None where it cannot be copied.
    """
    import torch

    if is_quantized(model):
        return float_skeleton(model)
    memo: dict[int, Any] = {
        id(weight): torch.nn.Parameter(
            torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad
        )
        for weight in model.parameters()
    }
    memo.update({id(buffer): buffer.to("meta") for buffer in model.buffers()})
    try:
        return copy.deepcopy(model, memo)
    except (TypeError, RuntimeError, copy.Error):
        return None
