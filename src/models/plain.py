"""Answers by transformers' own `generate`: for models whose attention `Rows` does not know.

Recurrent layers, sliding windows that a prompt exceeds, attention with sinks: nothing is shared
between prompts there, and finished rows run on until their batch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .batching import Fork, in_halves, plan_batches
from .generation import Generation, Told
from .picking import Picker
from .quiet import quiet_transformers
from .row_ends import RowEnds

if TYPE_CHECKING:
    import torch

    from ..system import Decoding
    from .account import Account


def write_plainly(
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    model: Any,
    inner: Any,
    tokenizer: Any,
    seeds: Sequence[int],
    columns: int,
    rows: int,
    told: Told,
    device: str,
    ends: frozenset[int],
    pad: int,
    account: Account,
) -> dict[int, Generation]:
    """Answers by the number of their prompt, as `Writer.write` gives them.

    `model` writes: the transformers model `inner`, or what PEFT put around it.
    """
    made: dict[int, Generation] = {}
    alone = [Fork(0, (number,)) for number in range(len(prompts))]
    lengths = [len(prompt) for prompt in prompts]
    batches = plan_batches(alone, lengths, more=decoding.max_tokens, columns=columns, rows=rows)

    def write(batch: Sequence[Fork]) -> None:
        import torch
        from transformers import GenerationConfig

        numbers = [fork.members[0] for fork in batch]
        texts = [prompts[number] for number in numbers]
        longest = max(map(len, texts))
        ids = torch.tensor([[pad] * (longest - len(t)) + list(t) for t in texts])
        mask = torch.tensor([[0] * (longest - len(t)) + [1] * len(t) for t in texts])
        picker = Picker(decoding, seeds=[seeds[n] for n in numbers], tokenizer=tokenizer, ends=ends)
        stop = () if decoding.choices else decoding.stop
        over = RowEnds(tokenizer, len(numbers), ends=ends, stop=stop)
        done = [False] * len(numbers)
        settings: Any = GenerationConfig
        with quiet_transformers(), torch.inference_mode(), account.watching(inner):
            model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings(
                    max_new_tokens=decoding.max_tokens,
                    do_sample=False,
                    eos_token_id=sorted(ends) or None,
                    pad_token_id=pad,
                ),
                logits_processor=[_picked(picker, done)],
                stopping_criteria=[_ended(picker, over, done)],
            )
        for row, number in enumerate(numbers):
            made[number] = Generation(
                text=over.text(row),
                tokens_in=len(prompts[number]),
                tokens_out=len(over.rows[row]),
            )
            told(number, made[number])

    in_halves(batches, write, device=device, lengths=lengths)
    return made


def _picked(picker: Picker, done: Sequence[bool]) -> Callable[..., torch.Tensor]:
    """Lets transformers' greedy choice take what the picker picks."""

    def process(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        live = [row for row, over in enumerate(done) if not over]
        only = torch.full_like(scores, float("-inf"))
        only[:, 0] = 0.0  # of rows that are done nothing is read
        for row, token in zip(live, picker.pick(scores[live], live), strict=True):
            only[row, 0] = float("-inf")
            only[row, token] = 0.0
        return only

    return process


def _ended(picker: Picker, over: RowEnds, done: list[bool]) -> Callable[..., torch.Tensor]:
    def ended(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        import torch

        for row, token in enumerate(ids[:, -1].tolist()):
            done[row] = done[row] or over.add(row, token) or picker.done(row)
        return torch.tensor(done, device=ids.device)

    return ended
