"""Timed pieces of work, and the rates that are fitted to them."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ..measure.calibration import PARTS, Rates, features
from ..measure.memory import MemorySampler, release_memory
from ..measure.meter import Meter
from ..measure.utilisation import resident_bytes
from ..measure.work import Costs, Tally


class Piece(NamedTuple):
    """One piece of work that was timed: what it was, and its seconds."""

    costs: Costs
    tally: Tally
    seconds: float


@dataclass
class Pieces:
    """All pieces of one kind of work."""

    made: list[Piece] = field(default_factory=list)
    watts: float | None = None

    def rates(self, fastest: float = 0.0) -> Rates | None:
        """The rates that explain them best, by the median of pieces that are alike; None where
        nothing was timed. `fastest` are the seconds of an operation at best."""
        alike: dict[tuple[float, ...], list[float]] = {}
        for piece in self.made:
            amounts = features(piece.costs, piece.tally)
            if amounts is not None and piece.seconds > 0:
                alike.setdefault(amounts, []).append(piece.seconds)
        if not alike:
            return None
        rows = [(amounts, statistics.median(times)) for amounts, times in alike.items()]
        found = fitted(rows, fastest)
        errors = [
            math.log(seconds / sum(a * p for a, p in zip(amounts, found, strict=True)))
            for amounts, times in alike.items()
            for seconds in times
        ]
        # The residual standard error: each price that was fitted takes one degree of freedom.
        free = max(1, len(errors) - sum(price > 0 for price in found))
        return Rates(
            **dict(zip(PARTS, found, strict=True)),
            spread=math.sqrt(sum(error * error for error in errors) / free),
            pieces=len(errors),
            watts=self.watts,
        )


def rates_of(pieces: Mapping[str, Pieces], fastest: float) -> dict[str, Rates]:
    """The rates of each kind that was timed. The machine's mood is in all of them alike, and a few
    seconds of one kind may miss it: none has less spread than all together."""
    found = {
        name: rates for name, each in pieces.items() if (rates := each.rates(fastest)) is not None
    }
    pooled = math.sqrt(statistics.fmean([one.spread**2 for one in found.values()] or [0.0]))
    return {
        name: rates.model_copy(update={"spread": max(rates.spread, pooled)})
        for name, rates in found.items()
    }


def fitted(rows: Sequence[tuple[Sequence[float], float]], fastest: float) -> list[float]:
    """Prices of the amounts in each row, by least squares of relative errors: none below 0, and no
    operation quicker than `fastest`, that of the best product of matrices; few pieces timed on a
    machine that others use could say so otherwise."""
    import numpy as np
    from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

    amounts = np.array([row for row, _ in rows], dtype=np.float64)
    seconds = np.array([s for _, s in rows], dtype=np.float64)
    scale = amounts.max(axis=0)
    scale[scale == 0] = 1.0  # such an amount never came: it costs no more than at best
    least = np.array([fastest, fastest, 0.0])
    model = LinearRegression(positive=True, fit_intercept=False)
    model.fit(amounts / scale / seconds[:, None], 1 - (amounts @ least) / seconds)
    return [float(price) for price in model.coef_ / scale + least]


@contextmanager
def metered(meter: Meter, pieces: Pieces, known: dict[str, str]) -> Iterator[None]:
    """Let all that is timed within tell the watts of its kind."""
    with meter.phase("calibrate") as phase:
        yield
    result = phase.result
    if result.energy_j is not None and result.duration_s > 0:
        pieces.watts = result.energy_j / result.duration_s
    known.update({name: part.provenance for name, part in result.components.items()})


@contextmanager
def stopwatch(device: str) -> Iterator[list[float]]:
    """The seconds of what runs within, work queued on a GPU included; filled in at the end."""
    taken: list[float] = []
    _wait(device)
    began = time.perf_counter()
    yield taken
    _wait(device)
    taken.append(time.perf_counter() - began)


@contextmanager
def grown() -> Iterator[list[int]]:
    """The resident bytes of this process that were there before, and the most that were there
    within; filled in at the end, and empty where the system does not tell."""
    release_memory()
    found: list[int] = []
    before, memory = resident_bytes(os.getpid()), MemorySampler()
    memory.start()
    try:
        yield found
    finally:
        most = memory.stop().resident_bytes
        if before is not None and most is not None:
            found += [before, max(before, most)]


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
