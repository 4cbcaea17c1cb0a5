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
from .batching import (
    WORTH_SHARING,
    Fork,
    chunks,
    common,
    forks,
    in_halves,
    plan_batches,
    shared_prefix,
)
from .generation import Generation, Told
from .picking import Picker
from .quiet import quiet_transformers
from .row_ends import RowEnds
from .rows import Rows, Trunk

if TYPE_CHECKING:
    import torch

    from ..system import Decoding
    from .account import Account

PASS_TOKENS = 2048
"""Tokens read in one pass: more make it no faster, and take memory."""
SCORES_BYTES = 256 * 1024**2
"""Attention's scores of one pass over a trunk stay within this."""
LEAVE = 0.75
"""A batch is made smaller once no more than this share of its rows is still written: each time
costs a copy of what is kept."""


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
        return rows.as_trunk((*(before.ids if before else ()), *ids))

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
        return self.step(rows, ids.to(self.device), fresh.to(self.device))

    def step(self, rows: Rows, ids: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
        """The same for token ids ``(rows, tokens)``, of which `fresh` are no padding."""
        positions, mask = rows.places(fresh)
        made = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=rows,
            use_cache=True,
            logits_to_keep=1,
            trunk=rows.trunk,
        )
        rows.advance(fresh)
        logits: torch.Tensor = made.logits[:, -1]
        return logits


@contextlib.contextmanager
def _inference() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


class Batch:
    """Some prompts that are written together."""

    def __init__(
        self,
        writer: Writer,
        groups: Sequence[Fork],
        rests: Sequence[Sequence[int]],
        trunk: Trunk | None,
        decoding: Decoding,
        seeds: Sequence[int],
    ) -> None:
        self.writer, self.groups, self.rests, self.trunk = writer, groups, rests, trunk
        self.most = decoding.max_tokens
        # Those with a head first, then by the length of what is left of them.
        placed = [(group, n) for group in groups for n in group.members]
        placed.sort(key=lambda one: (not one[0].head, len(rests[one[1]]) - one[0].head, one[1]))
        self.head_of = [group for group, _ in placed]
        self.numbers = [number for _, number in placed]
        seeds = [seeds[number] for number in self.numbers]
        self.picker = Picker(decoding, seeds=seeds, tokenizer=writer.tokenizer, ends=writer.ends)
        stop = () if decoding.choices else decoding.stop
        self.ends = RowEnds(writer.tokenizer, len(placed), ends=writer.ends, stop=stop)
        self.first_token_s: float | None = None

    def write(self, made: dict[int, Generation], told: Told, began: float | None) -> None:
        """Write all answers into `made`; for a single prompt `began` says when that was asked."""
        with self.writer.account.watching(self.writer.model):
            rows, logits = self._read()
            self._write(rows, logits, made, told, began)

    def _read(self) -> tuple[Rows, torch.Tensor]:
        """All prompts, read; and the logits of their first tokens."""
        import torch

        writer, rests = self.writer, self.rests
        heads = self._heads()
        wide = heads.end if heads else 0
        left = [
            len(rests[n]) - group.head for group, n in zip(self.head_of, self.numbers, strict=True)
        ]
        last = wide + max(left)
        rows = Rows(len(left), last + self.most, self.trunk, writer.device)
        logits = []
        headed = sum(1 for group in self.head_of if group.head)
        parts = chunks(range(headed), left, self._pass_tokens(last))
        parts += chunks(range(headed, len(left)), left, self._pass_tokens(last))
        place = {id(group): at for at, group in enumerate(g for g in self.groups if g.head)}
        for part in parts:
            some = slice(part[0], part[-1] + 1)
            piece = rows.part(some, last - max(left[at] for at in part))
            if part[0] < headed and heads:
                piece.begin_with(heads, [place[id(self.head_of[at])] for at in part])
            texts = [rests[self.numbers[at]][self.head_of[at].head :] for at in part]
            logits.append(writer.read(piece, texts))
        rows.end = last
        return rows, torch.cat(logits)

    def _heads(self) -> Rows | None:
        texts = [self.rests[g.members[0]][: g.head] for g in self.groups if g.head]
        if not texts:
            return None
        last = max(map(len, texts))
        heads = Rows(len(texts), last, self.trunk, self.writer.device)
        for part in chunks(range(len(texts)), [len(t) for t in texts], self._pass_tokens(last)):
            some = [texts[at] for at in part]
            piece = heads.part(slice(part[0], part[-1] + 1), last - max(map(len, some)))
            self.writer.read(piece, some)
        heads.end = last
        return heads

    def _pass_tokens(self, columns: int) -> int:
        """How many tokens to read in one pass over the trunk and so many columns."""
        if self.trunk is None:
            return PASS_TOKENS
        heads = self.writer.model.config.get_text_config().num_attention_heads
        return max(1, min(PASS_TOKENS, SCORES_BYTES // (4 * heads * (len(self.trunk) + columns))))

    def _write(
        self,
        rows: Rows,
        logits: torch.Tensor,
        made: dict[int, Generation],
        told: Told,
        began: float | None,
    ) -> None:
        import torch

        writer = self.writer
        if began is not None:
            writer.keep(rows, self.rests[0])
        places = list(range(len(rows)))  # which row of the batch stands in which place
        live = places  # the places of rows that are not done
        while True:
            some = logits if len(live) == len(places) else logits[live]
            picked = self.picker.pick(some, [places[at] for at in live])
            if began is not None and self.first_token_s is None:
                self.first_token_s = time.perf_counter() - began
            tokens = dict(zip(live, picked, strict=True))
            live = [at for at in live if not self._done(places[at], tokens[at], made, told)]
            if not live:
                return
            if len(live) <= LEAVE * len(places):
                rows, places = rows.keep(live), [places[at] for at in live]
                tokens = {at: tokens[was] for at, was in enumerate(live)}
                live = list(tokens)
            ids = torch.tensor([[tokens.get(at, writer.pad)] for at in range(len(places))])
            ids = ids.to(writer.device)
            logits = writer.step(rows, ids, torch.ones_like(ids, dtype=torch.bool))

    def _done(self, row: int, token: int, made: dict[int, Generation], told: Told) -> bool:
        """Take the next token of a row; whether it was the last one. Then its answer is told."""
        over = self.ends.add(row, token) or self.picker.done(row)
        if not over and len(self.ends.rows[row]) < self.most:
            return False
        number, group = self.numbers[row], self.head_of[row]
        known = number in made  # by an attempt that ran out of memory later
        trunk = len(self.trunk.ids) if self.trunk else 0
        reused = trunk if number or self.first_token_s is not None else 0
        reply = Generation(
            text=self.ends.text(row),
            tokens_in=trunk + len(self.rests[number]),
            tokens_out=len(self.ends.rows[row]),
            tokens_reused=reused + (group.head if number != group.members[0] else 0),
            first_token_s=self.first_token_s,
        )
        made[number] = reply
        if not known:
            told(number, reply)
        return True
