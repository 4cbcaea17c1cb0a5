"""Beginnings: what all prompts of a batch begin with is computed once, forwards and backwards.

    system text, instruction, shots ──▶ keys and values ──┬─▶ question 1, answer 1
                (one row)                                 ├─▶ question 2, answer 2
                                                          └─▶ question 3, answer 3

What a token sees lies before it, so equal beginnings have equal activations in all rows, and the
gradients of the rows add up in the one copy. Loss and gradients are those of the plain way but for
the order in which floats are added. (In tallies a beginning counts as if gradients flowed back
through all of it; through the last layer only those of its keys and values do.)
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

LEAST = 8
"""Tokens that a beginning must have: a pass of its own costs a little, whatever its length."""
PROBE = ((3, 4, 5, 6), ((7, 8, 9), (10, 11, 12)))
"""A made-up beginning and two ends (any token ids do), to see whether a model can share one."""
CLOSE = 0.02
"""By how much of the largest logit two computations of the same in bfloat16 may differ; what sees
another text, or stands at another position, differs by far more."""


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all these prompts begin with, but for the last of the shortest one, which
    predicts; 0 for fewer than `LEAST`, and for a single prompt."""
    if len(prompts) < 2:
        return 0
    longest = min(map(len, prompts)) - 1
    first = prompts[0]
    same = next(
        (n for n in range(longest) if any(prompt[n] != first[n] for prompt in prompts)), longest
    )
    return same if same >= LEAST else 0


def read_beginning(model: Any, beginning: Any, rows: int) -> Any:
    """Keys and values of a beginning, shape (1, tokens), for so many rows, with their gradients."""
    from transformers import DynamicCache

    cache: Any = DynamicCache(config=model.config.get_text_config())
    model(input_ids=beginning, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(rows)
    return cache


def after_beginning(cache: Any, mask: Any) -> dict[str, Any]:
    """What the rest of each row needs to go on from `cache`: `mask`, of shape (rows, rest), is 0 on
    the padding, which stands between beginning and rest."""
    import torch

    before = cache.get_seq_length()
    whole = torch.cat([mask.new_ones(mask.shape[0], before), mask], dim=1)
    positions = (whole.cumsum(dim=1) - 1)[:, before:]
    return {
        "attention_mask": whole,
        "position_ids": positions,
        "past_key_values": cache,
        "use_cache": True,
    }


def can_share(model: Any) -> bool:
    """Whether a model can: by trying, three short passes. Not with dropout, which would drop the
    same in all rows, nor with a learnt prompt, which PEFT puts before everything."""
    import torch
    from peft import PeftModel

    base = model
    if isinstance(model, PeftModel):
        if model.active_peft_config.is_prompt_learning:
            return False
        base = model.get_base_model()
    config = model.config.get_text_config()
    drops = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    drops.append(float(getattr(config, "attention_dropout", None) or 0.0))
    needed = {"position_ids", "past_key_values", "logits_to_keep"}
    if any(drops) or needed - set(inspect.signature(base.forward).parameters):
        return False
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if kinds != {"full_attention"}:  # a window's cache forgets, a recurrent one cannot be parted
        return False
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            first, ends = PROBE
            plainly = torch.tensor([[*first, *end] for end in ends], device=device)
            wanted = model(input_ids=plainly, use_cache=False).logits[:, len(first) :].float()
            cache = read_beginning(model, torch.tensor([first], device=device), len(ends))
            rest = torch.tensor(ends, device=device)
            found = model(input_ids=rest, **after_beginning(cache, torch.ones_like(rest))).logits
            apart = float((found.float() - wanted).abs().max())
            return apart <= CLOSE * float(wanted.abs().max())
    except torch.cuda.OutOfMemoryError:  # the training itself will tell of it
        return False
    finally:
        model.train(was_training)
