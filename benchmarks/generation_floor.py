"""Floor of generation.py: the seconds that no program on this machine could get below.

Operations over the rate at which the machine multiplies this model's own matrices, or bytes of
weights over the rate at which it reads memory, whichever takes longer; for reading prompts and for
writing answers apart. Both rates are taken in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from generation_cases import Ids, lengths

from wattune.measure.work import Costs, Tally

PROBED_ROWS = 1024
"""Rows at which the matrix rate is always taken; more have not been faster."""
Passes = Iterable[tuple[int, int]]
"""Rows and positions of forward passes."""


@dataclass(frozen=True)
class Rates:
    """Operations a second by rows of the matrices multiplied, and bytes read a second."""

    flops_s: dict[int, float]
    bytes_s: float

    @property
    def best_flops_s(self) -> float:
        """The best rate at any number of rows."""
        return max(self.flops_s.values())

    def at_least(self, other: Rates | None) -> Rates:
        """The better of both everywhere: a rate that was reached once can be reached."""
        if other is None:
            return self
        rows = {*self.flops_s, *other.flops_s}
        best = {n: max(self.flops_s.get(n, 0.0), other.flops_s.get(n, 0.0)) for n in sorted(rows)}
        return Rates(best, max(self.bytes_s, other.bytes_s))


@dataclass(frozen=True)
class Phase:
    """What reading or writing takes. `least_passes` are those of a program that has all prompts in
    one batch (one by one: one at a time); `passes` are ours, with `rows` on average."""

    name: Literal["reading", "writing"]
    flops: float
    pass_bytes: float
    least_passes: int
    passes: int
    rows: int

    def floor_s(self, rates: Rates) -> float:
        """Seconds that no program gets below."""
        least = self.least_passes * self.pass_bytes / rates.bytes_s
        return max(self.flops / rates.best_flops_s, least)

    def floor_of_passes_s(self, rates: Rates) -> float:
        """Seconds that none with our passes gets below: as many rows at a time, and the weights
        from memory each time."""
        if not self.passes:
            return 0.0
        read = self.passes * self.pass_bytes / rates.bytes_s
        return max(self.flops / rates.flops_s[self.rows], read)


def phases(
    prompts: Sequence[Ids],
    written: Sequence[int],
    passes: Passes,
    costs: Costs,
    *,
    one_by_one: bool,
) -> list[Phase]:
    """Reading and writing, with what each must compute.

    Every token of the prompts is read once, a beginning that several share once for all, and
    attends to itself and those before it. Reading gives the first token of each answer; one of `n`
    tokens (with the one that ended it) takes `n - 1` positions of writing more, which attend to the
    prompt and to what was written. A pass of one position a row writes, any other reads. A pass
    brings the weights from memory once; the cache is left out.
    """
    _, read, places = lengths(prompts)
    later = [count - 1 for count in written]
    attended = sum(
        n * len(prompt) + n * (n + 1) // 2 for prompt, n in zip(prompts, later, strict=True)
    )
    reading = Tally(positions=read, pairs=places, heads=len(prompts))
    writing = Tally(positions=sum(later), pairs=attended, heads=sum(later))
    read_rows, written_rows = rows_of(passes)
    return [
        _phase(
            "reading",
            reading,
            costs,
            least=len(prompts) if one_by_one else 1,
            seen=read_rows,
        ),
        _phase(
            "writing",
            writing,
            costs,
            least=sum(later) if one_by_one else max(later),
            seen=written_rows,
        ),
    ]


def _phase(
    name: Literal["reading", "writing"], tally: Tally, costs: Costs, *, least: int, seen: list[int]
) -> Phase:
    flops = costs.work(tally).flops
    if flops is None or costs.bytes_per_pass is None:
        raise ValueError("the operations of this model are not known, so it has no floor")
    return Phase(
        name,
        flops,
        costs.bytes_per_pass,
        least,
        len(seen),
        average(seen),
    )


def rows_of(passes: Passes) -> tuple[list[int], list[int]]:
    """The rows that each reading and each writing pass multiplied: all its positions."""
    seen = list(passes)
    reading = [rows * positions for rows, positions in seen if positions != 1]
    return reading, [rows for rows, positions in seen if positions == 1]


def average(rows: Sequence[int]) -> int:
    """The mean, as a number of rows; 0 of none."""
    return round(sum(rows) / len(rows)) if rows else 0


def measured(folder: Path, dtype: str, rows: Iterable[int]) -> tuple[Rates, Costs]:
    """The machine's rates with this model's matrices, and the model's costs."""
    import torch

    from wattune.models.account import Account
    from wattune.models.loading import load_weights

    model = load_weights(folder, dtype)
    costs = Account(model, "answering").costs
    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    weights = [layer.weight.detach() for layer in layers]
    with torch.inference_mode():
        flops_s = {
            n: matrix_rate(weights, n) for n in sorted({PROBED_ROWS, *(n for n in rows if n)})
        }
        bytes_s = memory_rate(int(costs.bytes_per_pass or 0))
    return Rates(flops_s, bytes_s), costs


def matrix_rate(weights: Sequence[Any], rows: int) -> float:
    """Operations a second when all of the model's layers are multiplied, one after the other, as
    they would be in a pass: the best of some sweeps with the matrices as the model has them and
    of some with the matrices turned (which is faster depends on the rows)."""
    import torch

    inputs = {w.shape[1]: torch.randn(rows, w.shape[1]).to(w.dtype) for w in weights}
    turned = [w.t().contiguous() for w in weights]

    def as_they_are() -> None:
        for w in weights:
            torch.nn.functional.linear(inputs[w.shape[1]], w)

    def as_turned() -> None:
        for w in turned:
            torch.mm(inputs[w.shape[0]], w)

    flops = 2 * rows * sum(w.numel() for w in weights)
    return flops / min(best_s(as_they_are), best_s(as_turned))


def memory_rate(size: int) -> float:
    """Bytes a second when a block as large as the weights is read: a sum, or a copy (which reads
    and writes), whichever moves more."""
    import torch

    block = torch.ones(size // 4, dtype=torch.float32)
    other = torch.empty_like(block)
    return max(block.nbytes / best_s(block.sum), 2 * block.nbytes / best_s(other.copy_, block))


def best_s(work: Callable[..., object], *args: Any, times: int = 4) -> float:
    """The fewest seconds of some, after one that does not count."""
    work(*args)
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work(*args)
        spent.append(time.perf_counter() - began)
    return min(spent)
