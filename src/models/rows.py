"""Rows: the keys and values of a batch of texts that grow to the right, and a trunk they share.

Columns are places in memory, positions are places in the text: a row whose text is shorter than
its neighbour's has columns that are not `valid` to the left of it. `Rows` takes the place of
transformers' cache: each attention layer calls its `update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]
    """Keys and values of one layer, each of shape ``(rows, heads, columns, width)``."""


@dataclass(frozen=True)
class Trunk:
    """What all rows begin with, read once: its token ids, and keys and values by layer.

    Each pair is of shape ``(1, heads, tokens, width)``. The virtual tokens of an adapter stand
    before those of `ids`, so there may be more keys than ids.
    """

    ids: tuple[int, ...]
    layers: tuple[Pair, ...]

    def __len__(self) -> int:
        return int(self.layers[0][0].shape[2])

    def cut(self, count: int) -> Trunk:
        """The trunk up to its first `count` ids, in memory of its own."""
        kept = len(self) - len(self.ids) + count
        layers = tuple((k[:, :, :kept].clone(), v[:, :, :kept].clone()) for k, v in self.layers)
        return Trunk(self.ids[:count], layers)


@dataclass
class _Store:
    """The memory of a batch, made when the first keys come, for then their form is known."""

    rows: int
    columns: int
    layers: list[Pair] = field(default_factory=list)

    def layer(self, number: int, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        while number >= len(self.layers):
            self.layers.append(
                tuple(  # type: ignore[arg-type]
                    one.new_zeros(self.rows, one.shape[1], self.columns, one.shape[3])
                    for one in (keys, values)
                )
            )
        return self.layers[number]


class Rows:
    """A batch of `rows` texts with room for `columns` tokens each, after `trunk` if there is one.

    The columns from `start` to `end` are read. All rows end in the same column.
    """

    def __init__(self, rows: int, columns: int, trunk: Trunk | None, device: str) -> None:
        import torch

        self.trunk, self.start, self.end = trunk, 0, 0
        self._store, self._rows = _Store(rows, columns), slice(0, rows)
        self.valid = torch.zeros(rows, columns, dtype=torch.bool, device=device)
        self.position = torch.full((rows,), len(trunk) if trunk else 0, device=device)

    def __len__(self) -> int:
        return len(self.position)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object
    ) -> Pair:
        """Put a layer's newest keys and values behind the others; all that are to be read."""
        held_keys, held_values = self._store.layer(layer, keys, values)
        held_keys, held_values = held_keys[self._rows], held_values[self._rows]
        last = self.end + keys.shape[2]
        held_keys[:, :, self.end : last] = keys
        held_values[:, :, self.end : last] = values
        return held_keys[:, :, self.start : last], held_values[:, :, self.start : last]

    def places(self, fresh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Where new tokens stand, of which `fresh` ``(rows, tokens)`` says which are no padding.

        Their positions ``(rows, tokens)``, and which columns each may read, ``(rows, 1, tokens,
        columns)``; None where each may read all that stands before it. Padding reads itself: a row
        of a mask that allows nothing would come out as NaN, and spread.
        """
        import torch

        tokens = fresh.shape[1]
        last = self.end + tokens
        self.valid[:, self.end : last] = fresh
        positions = (self.position[:, None] + fresh.cumsum(1) - 1).clamp(min=0)
        columns = self.valid[:, None, self.start : last]
        if bool(columns.all()) and (tokens == 1 or (self.start == self.end and not self.trunk)):
            return positions, None
        if tokens > 1:
            columns = columns.repeat(1, tokens, 1)
            columns[:, :, -tokens:] &= torch.ones(tokens, tokens, device=fresh.device).tril().bool()
            columns[:, :, -tokens:] |= torch.eye(tokens, device=fresh.device).bool()
        return positions, columns[:, None]

    def advance(self, fresh: torch.Tensor) -> None:
        """Say that all layers have the keys and values of the new tokens."""
        self.end += fresh.shape[1]
        self.position += fresh.sum(1)

    def take_back(self, tokens: int) -> None:
        """Forget the last tokens of every row."""
        self.end -= tokens
        self.position -= tokens

    def get_seq_length(self, layer: int = 0) -> int:
        """Tokens that stand before the next one: transformers and the account ask for it."""
        return (len(self.trunk) if self.trunk else 0) + self.end - self.start

    def part(self, rows: slice, end: int) -> Rows:
        """Some neighbouring rows, in the same memory, that are empty and end before `end`."""
        part = object.__new__(Rows)
        part.trunk, part.start, part.end = self.trunk, end, end
        part._store, part._rows = self._store, rows
        part.valid, part.position = self.valid[rows], self.position[rows]
        return part

    def begin_with(self, heads: Rows, chosen: Sequence[int]) -> None:
        """Let each of these empty rows begin with a copy of one of `heads`, the `chosen`."""
        import torch

        index = torch.tensor(chosen, device=self.valid.device)
        columns = slice(heads.start, heads.end)
        self.start = self.end - (heads.end - heads.start)
        for number, (keys, values) in enumerate(heads._store.layers):
            for held, one in zip(
                self._store.layer(number, keys, values), (keys, values), strict=True
            ):
                held[self._rows, :, self.start : self.end] = one[index, :, columns]
        self.valid[:, self.start : self.end] = heads.valid[index, columns]
        self.position[:] = heads.position[index]

    def keep(self, rows: Sequence[int]) -> Rows:
        """Only these rows, without the columns that none of them needs.

        They are moved layer by layer, or they would take twice their room: nothing stays here.
        """
        import torch

        chosen = torch.tensor(rows, device=self.valid.device)
        valid = self.valid[chosen]
        used = valid[:, : self.end].any(0).nonzero()
        first = int(used[0]) if len(used) else self.end
        kept = object.__new__(Rows)
        kept.trunk, kept.start, kept.end = self.trunk, 0, self.end - first
        kept._store = _Store(len(rows), self._store.columns - first)
        held, self._store.layers = self._store.layers[::-1], []
        while held:
            keys, values = held.pop()
            kept._store.layers.append((keys[chosen, :, first:], values[chosen, :, first:]))
        kept._rows = slice(0, len(rows))
        kept.valid, kept.position = valid[:, first:], self.position[chosen]
        return kept

    def as_trunk(self, ids: Sequence[int]) -> Trunk:
        """The only row, with the trunk before it, as what others begin with; `ids` are its own."""
        import torch

        own = [
            (keys[:, :, self.start : self.end], values[:, :, self.start : self.end])
            for keys, values in self._store.layers
        ]
        if self.trunk is None:
            return Trunk(tuple(ids), tuple((keys.clone(), values.clone()) for keys, values in own))
        layers = tuple(
            (torch.cat([old[0], new[0]], dim=2), torch.cat([old[1], new[1]], dim=2))
            for old, new in zip(self.trunk.layers, own, strict=True)
        )
        return Trunk((*self.trunk.ids, *ids), layers)
