"""Batch: some prompts read and written together, token by token; finished rows leave it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .batching import Fork, chunks
from .generation import Generation, Told
from .lookup import Lookup
from .picking import Picker
from .row_ends import RowEnds
from .rows import Rows, Trunk

if TYPE_CHECKING:
    import torch

    from ..system import Decoding
    from .writer import Writer

PASS_TOKENS = 1024
"""Tokens read in one pass: more make it no faster, and take memory and padding."""
SCORES_BYTES = 256 * 1024**2
"""Attention's scores of one pass over a trunk stay within this."""
LEAVE = 0.75
"""A batch is made smaller once no more than this share of its rows is still written: each time
costs a copy of what is kept."""


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
        heads: int = self.writer.model.config.get_text_config().num_attention_heads
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
            if len(places) == 1:
                return self._write_alone(rows, places[0], tokens[0], made, told)
            ids = torch.tensor([[tokens.get(at, writer.pad)] for at in range(len(places))])
            ids = ids.to(writer.device)
            logits = writer.step(rows, ids, torch.ones_like(ids, dtype=torch.bool))[:, -1]

    def _write_alone(
        self, rows: Rows, row: int, token: int, made: dict[int, Generation], told: Told
    ) -> None:
        """Go on with the only row, of which `token` was the last, reading guesses along."""
        import torch

        writer = self.writer
        before = self.trunk.ids if self.trunk else ()
        lookup = Lookup([*before, *self.rests[self.numbers[row]], *self.ends.rows[row]])
        while True:
            left = self.most - len(self.ends.rows[row])
            guesses = lookup.guess(min(writer.guesses, left - 1))
            ids = torch.tensor([[token, *guesses]], device=writer.device)
            fresh = torch.ones_like(ids, dtype=torch.bool)
            logits = writer.step(rows, ids, fresh, count=len(guesses) + 1)[0]
            for at, guess in enumerate([*guesses, None]):
                (token,) = self.picker.pick(logits[at : at + 1], [row])
                if self._done(row, token, made, told):
                    return
                lookup.add(token)
                if token != guess:
                    break
            rows.take_back(len(guesses) - at)

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
