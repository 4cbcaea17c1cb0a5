"""Packing: several examples in one row, none of which sees another."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ..errors import CannotRun
from .batches import TokenisedExample
from .beginnings import CLOSE

PROBE = ((3, 4, 5, 6), (7, 8, 9, 10, 11))
"""Two made-up texts (any token ids do), to see whether a model keeps them apart."""


def packed(
    examples: Sequence[TokenisedExample], max_length: int
) -> list[tuple[TokenisedExample, ...]]:
    """Examples in rows of up to `max_length` tokens: best fit, the longest first.

    (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv 2404.10830.)
    """
    rows: list[list[TokenisedExample]] = []
    room: list[list[int]] = [[] for _ in range(max_length + 1)]  # rows by the tokens left in them
    for example in sorted(examples, key=lambda one: one.length, reverse=True):
        left = next((n for n in range(example.length, max_length + 1) if room[n]), None)
        if left is None:
            rows.append([])
            left, row = max_length, len(rows) - 1
        else:
            row = room[left].pop()
        rows[row].append(example)
        room[left - example.length].append(row)
    return [tuple(row) for row in rows]


def check_packing(model: Any) -> None:
    """Raise `CannotRun` for a model whose packed texts see one another.

    By trying: two texts packed in two rows must have the logits that each has alone. Costs three
    forward passes over a dozen tokens.
    """
    import torch
    from peft import PeftModel

    refusal = f"{type(model).__name__} cannot be trained with packing: "
    if isinstance(model, PeftModel):
        if model.active_peft_config.is_prompt_learning:
            raise CannotRun("prompt and prefix tuning cannot be trained with packing; leave it out")
        refusal = f"{type(model.get_base_model()).__name__} cannot be trained with packing: "
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    missing = {"position_ids", "logits_to_keep"} - set(inspect.signature(base.forward).parameters)
    if missing:
        raise CannotRun(f"{refusal}it takes no {' and no '.join(sorted(missing))}")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():

            def logits(*rows: Sequence[Sequence[int]]) -> Any:
                ids = [[token for text in row for token in text] for row in rows]
                positions = [[n for text in row for n in range(len(text))] for row in rows]
                return model(
                    input_ids=torch.tensor(ids, device=device),
                    position_ids=torch.tensor(positions, device=device),
                    use_cache=False,
                ).logits.float()

            first, second = PROBE
            together = logits(PROBE, PROBE[::-1])
            alone = logits([first])[0], logits([second])[0]
            apart = (
                together[0] - torch.cat(alone),
                together[1] - torch.cat(alone[::-1]),
            )
            largest = max(float(part.abs().max()) for part in alone)
            if max(float(part.abs().max()) for part in apart) > CLOSE * largest:
                raise CannotRun(f"{refusal}the examples of a row would see one another")
    finally:
        model.train(was_training)
