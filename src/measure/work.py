"""Work: integers tallied while a model runs, and what they are worth, reckoned afterwards.

During the metered run only a `Tally` grows, by a few additions a forward pass. What one token, one
attended pair or one pass costs is a property of the model, a `Costs`, found at another time.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self, TypeVar

from ..values import Value

FlopsMethod = Literal["counted", "expected", ""]


class Work(Value):
    """What was done, in figures that do not depend on how fast or thrifty the machine is.

    Tokens read, written (None where a server does not tell them), and not read again because a
    cache held them. `flops` are floating-point
    operations (a multiply-add is two), None where they are not known; `flops_method` is "counted"
    (torch's counter on the very shapes) or "expected" (from the number of parameters).
    `bytes_moved` are bytes of weights and of key-value cache that the passes had to read: what
    bounds decoding in small batches. `bytes_stored` are bytes written to be kept,
    `bytes_transferred` bytes fetched over a network.
    """

    tokens_in: int | None = 0
    tokens_out: int | None = 0
    tokens_reused: int = 0
    flops: float | None = None
    flops_method: FlopsMethod = ""
    bytes_moved: float | None = None
    bytes_stored: int = 0
    bytes_transferred: int = 0

    def __add__(self, other: Work) -> Work:
        flops = _both(self.flops, other.flops)
        methods = {self.flops_method, other.flops_method}
        if flops is None:
            method: FlopsMethod = ""
        else:
            method = next((m for m in ("expected", "counted") if m in methods), "")
        return Work(
            tokens_in=_both(self.tokens_in, other.tokens_in),
            tokens_out=_both(self.tokens_out, other.tokens_out),
            tokens_reused=self.tokens_reused + other.tokens_reused,
            flops=flops,
            flops_method=method,
            bytes_moved=_both(self.bytes_moved, other.bytes_moved),
            bytes_stored=self.bytes_stored + other.bytes_stored,
            bytes_transferred=self.bytes_transferred + other.bytes_transferred,
        )


NO_WORK = Work(flops=0.0, bytes_moved=0.0)
"""Nothing done, which is known; `Work()` alone is work whose operations are not known."""


Number = TypeVar("Number", int, float)


def _both(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other


class Tally(Value):
    """What a model did.

    `passes` are forward passes (in training each is followed by its backward pass) and `steps`
    optimizer steps. `positions` are rows x length of what was computed, padding included; `pairs`
    rows x query length x key length, the scores that attention computes; `heads` the positions
    whose logits were computed (for an embedder: texts pooled). `cached` is rows x key length where
    a key-value cache is kept: tokens whose keys and values a pass read or wrote, those that all
    rows share once.

    `tokens_in`, `tokens_out` and `tokens_reused` are tokens of the texts themselves: prompts (or
    training examples), answers, and prompt tokens whose keys and values another prompt had paid
    for. What is reused is within `tokens_in`. `untold` are replies whose server told no tokens.
    """

    passes: int = 0
    steps: int = 0
    positions: int = 0
    pairs: int = 0
    heads: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reused: int = 0
    untold: int = 0

    @classmethod
    def of_pass(
        cls,
        rows: int,
        length: int,
        heads: int,
        past: int = 0,
        *,
        shared: int = 0,
        cached: bool = False,
    ) -> Self:
        """One forward pass of `rows` rows, each `length` positions after `past` cached ones.

        Of the cached ones the first `shared` are the same for all rows, and read once.
        """
        keys = past + length
        return cls(
            passes=1,
            positions=rows * length,
            pairs=rows * length * keys,
            heads=heads,
            cached=rows * (keys - shared) + shared if cached else 0,
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: value + getattr(other, name) for name, value in self})

    def __sub__(self, other: Tally) -> Tally:
        return Tally(**{name: value - getattr(other, name) for name, value in self})

    def times(self, factor: float) -> Tally:
        """So many times as much, in whole numbers."""
        return Tally(**{name: round(value * factor) for name, value in self})


class Costs(Value):
    """What a model's work costs, in floating-point operations and bytes per unit of a `Tally`.

    A multiply-add is two operations. Bytes are a lower bound that no kernel gets below: each pass
    reads the weights once and the whole key-value cache, so that small batches are bound by them
    (Pope et al. 2022, "Efficiently Scaling Transformer Inference", arXiv 2211.05102, section 2).
    Activations, and weights or cache read more than once, are left out. None means unknown.
    """

    method: Literal["counted", "expected", ""] = ""
    flops_per_position: float | None = None
    flops_per_pair: float | None = None
    flops_per_head: float | None = None
    bytes_per_pass: float | None = None
    bytes_per_position: float | None = None
    bytes_per_cached: float | None = None
    bytes_per_step: float | None = None

    def work(self, tally: Tally) -> Work:
        """The `Work` of what was tallied."""
        flops = _total(
            (tally.positions, self.flops_per_position),
            (tally.pairs, self.flops_per_pair),
            (tally.heads, self.flops_per_head),
        )
        return Work(
            tokens_in=tally.tokens_in,
            tokens_out=tally.tokens_out,
            tokens_reused=tally.tokens_reused,
            flops=flops,
            flops_method=self.method if flops is not None else "",
            bytes_moved=_total(
                (tally.passes, self.bytes_per_pass),
                (tally.positions, self.bytes_per_position),
                (tally.cached, self.bytes_per_cached),
                (tally.steps, self.bytes_per_step),
            ),
        )


def _total(*parts: tuple[int, float | None]) -> float | None:
    """The sum of amounts times prices; None where the price of something that was used is not
    known."""
    total = 0.0
    for amount, price in parts:
        if amount and price is None:
            return None
        total += amount * (price or 0.0)
    return total


class Mark(NamedTuple):
    """A moment in the work of several models: their tallies, the machine's network counter, and
    how many replies and vectors were taken from the caches or put there."""

    tallies: tuple[Tally, ...]
    network_bytes: int | None
    replies: int = 0
    vectors: int = 0
