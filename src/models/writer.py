"""Writer: reads what prompts share once, and writes the answers of a batch token by token.

trunk     what all prompts begin with (instruction, shots), read once
heads     what some go on with (a passage that several questions share), read once each
rests     read in passes of like length
answers   written for all rows of the batch together; finished rows leave it
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .attention import attending
from .batch import Batch
from .batching import (
    WORTH_SHARING,
    Fork,
    common,
    forks,
    in_halves,
    plan_batches,
    shared_prefix,
)
from .generation import Generation, Told
from .quiet import quiet_transformers
from .rows import Rows, Trunk

if TYPE_CHECKING:
    import torch

    from ..system import Decoding
    from .account import Account

GUESSES = 3
"""Tokens that are guessed for a single row: reading four takes hardly longer than reading one. On a
CPU in float32 only reading two does (on layers of 576 x 1536, two threads with AVX512: 1.1 times as
long as one, four 1.7 times; in bfloat16 1.1 and 1.2; torch 2.13, 2026)."""


class Writer:
    """Writes with one open model. `virtual` is the trunk that an adapter puts before every prompt.

    It keeps the beginning that the last prompts had in common, for single questions that follow.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: str,
        ends: frozenset[int],
        pad: int,
        account: Account,
        virtual: Trunk | None = None,
    ) -> None:
        self.model, self.tokenizer, self.device = model, tokenizer, device
        self.ends, self.pad, self.account = ends, pad, account
        self.virtual, self._kept = virtual, virtual
        slow = device == "cpu" and model.dtype.itemsize > 2
        self.guesses = 1 if slow else GUESSES

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        seeds: Sequence[int],
        columns: int,
        rows: int,
        told: Told,
    ) -> dict[int, Generation]:
        """Answers by the number of their prompt; `told` hears of each as it ends.

        `columns` bounds the tokens that a batch holds, `rows` its rows. Raises `CannotRun` where
        the device's memory does not suffice for one prompt alone.
        """
        began = time.perf_counter()
        made: dict[int, Generation] = {}
        with quiet_transformers(), _inference(), attending(self.model):
            with self.account.watching(self.model):
                trunk = self._trunk(prompts)
            shared = len(trunk.ids) if trunk else 0
            rests = [prompt[shared:] for prompt in prompts]
            lengths = [len(rest) for rest in rests]
            batches = plan_batches(
                forks(rests), lengths, more=decoding.max_tokens, columns=columns, rows=rows
            )

            def work(batch: list[Fork]) -> None:
                alone = began if len(prompts) == 1 else None
                Batch(self, batch, rests, trunk, decoding, seeds).write(made, told, alone)

            in_halves(batches, work, device=self.device, lengths=[len(one) for one in prompts])
        return made

    def _trunk(self, prompts: Sequence[Sequence[int]]) -> Trunk | None:
        """What all prompts begin with. For a single prompt: what it has in common with those
        before it, as far as that was kept."""
        if len(prompts) > 1:
            count = shared_prefix(prompts)
            self._kept = self._read(prompts[0][:count], self.virtual) if count else self.virtual
            return self._kept
        (prompt,) = prompts
        kept = self._kept
        count = min(common(kept.ids, prompt), len(prompt) - 1) if kept else 0
        if kept is None or count < WORTH_SHARING:
            return self.virtual
        if count < len(kept.ids):
            self._kept = kept = kept.cut(count)
        return kept

    def _read(self, ids: Sequence[int], before: Trunk | None) -> Trunk:
        rows = Rows(1, len(ids), before, self.device)
        self.read(rows, [ids])
        return rows.as_trunk(ids)

    def keep(self, rows: Rows, ids: Sequence[int]) -> None:
        """Keep a single prompt that had nothing in common with those before it: the next one may
        have something in common with it."""
        if rows.trunk is self.virtual:
            self._kept = rows.as_trunk(ids)

    def read(self, rows: Rows, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Go on with each of `rows` by its text; the logits ``(rows, vocabulary)`` of what comes
        next."""
        import torch

        longest = max(map(len, texts))
        ids = torch.tensor([[self.pad] * (longest - len(t)) + list(t) for t in texts])
        fresh = torch.tensor([[0] * (longest - len(t)) + [1] * len(t) for t in texts]).bool()
        return self.step(rows, ids.to(self.device), fresh.to(self.device))[:, -1]

    def step(
        self, rows: Rows, ids: torch.Tensor, fresh: torch.Tensor, *, count: int = 1
    ) -> torch.Tensor:
        """The same for token ids ``(rows, tokens)``, of which `fresh` are no padding: the logits
        ``(rows, count, vocabulary)`` after the last `count` of them."""
        import torch

        positions, seen = rows.places(fresh)
        mask = None
        if seen is not None:  # as what is added to scores, made once for all layers
            mask = torch.zeros_like(seen, dtype=self.model.dtype).masked_fill_(~seen, float("-inf"))
        made = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=rows,
            use_cache=True,
            logits_to_keep=count,
            trunk=rows.trunk,
        )
        rows.advance(fresh)
        logits: torch.Tensor = made.logits
        return logits


@contextlib.contextmanager
def _inference() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield
