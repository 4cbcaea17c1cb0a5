"""Pricing: tallies and a calibration become seconds, joules, operations and bytes of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..measure.calibration import FORMULA_SPREAD, Z80, Calibration
from ..measure.predicted import NOTHING, Expected, PredictedPhase, total
from ..system import System
from .builder import PlannedStage
from .pool import PlannedPool
from .remote import ServedAccount
from .weightless import Account3, Ways, WeightlessModel

Work = Sequence[tuple[Account3, Ways]]
MEMORY_SPREAD = 0.15
"""Root mean square of the logarithm of measured over planned peak memory, of the 18 runs of
benchmarks/plan.py on two virtual cores: what allocators keep is not reckoned."""


@dataclass(frozen=True)
class Priced:
    """Some work: what it takes, its operations, and the language model's tokens."""

    phase: PredictedPhase
    flops: Expected | None
    tokens_in: Expected | None = None
    tokens_out: Expected | None = None


class Pricing:
    """Prices by one calibration."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def work(self, work: Work, other_s: float = 0.0) -> Priced:
        """Some models' work, and `other_s` seconds of one processor for all else, as they passed
        when it was planned."""
        seconds: list[Expected | None] = [self._other(other_s)]
        joules: list[Expected | None] = [self._joules(self._other(other_s), self._other_watts())]
        flops: list[Expected | None] = []
        tokens_in = tokens_out = Expected.exactly(0)
        for account, ways in work:
            tokens_in = tokens_in + _expected(*(float(one.tokens_in) for one in ways))
            tokens_out = tokens_out + _expected(*(float(one.tokens_out) for one in ways))
            if isinstance(account, ServedAccount):
                seconds.append(None)
                joules.append(account.joules(ways))
                flops.append(None)
                continue
            rates = self._calibration.rates_of(account.rates)
            took = None
            if rates is not None:
                other = account.rates != "embedding" and account.width != self._calibration.width
                slowed = rates.slowed(*account.slower)
                took = slowed.seconds(account.costs, ways, other_width=other)
            seconds.append(took)
            joules.append(self._joules(took, rates.watts if rates else None))
            flops.append(_flops(account, ways))
        phase = PredictedPhase(duration_s=total(seconds), energy_j=total(joules))
        return Priced(phase, total(flops), tokens_in, tokens_out)

    def stage(self, stage: PlannedStage) -> Priced:
        """A stage: as it was billed when it was made, else what making it would take."""
        priced = self.work(stage.work, stage.other_s)
        if stage.found is not None:
            joules = stage.found.energy_j
            phase = PredictedPhase(
                duration_s=Expected.exactly(stage.found.duration_s),
                energy_j=None if joules is None else Expected.exactly(joules),
            )
            return Priced(phase, priced.flops)
        opening, kept = self._opening(stage.opened_bytes), self._kept(stage)
        phase = PredictedPhase(
            duration_s=total([priced.phase.duration_s, opening.duration_s, kept]),
            energy_j=total(
                [priced.phase.energy_j, opening.energy_j, self._joules(kept, self._other_watts())]
            ),
        )
        return Priced(phase, priced.flops)

    def _kept(self, stage: PlannedStage) -> Expected:
        """Seconds to save what a stage saves."""
        return self._other(stage.saved_bytes * self._calibration.s_per_saved_byte)

    def opening(self, model: Any) -> PredictedPhase:
        """Opening the weights that answer; nothing where none of this machine do."""
        return self._opening(model.weights_bytes if isinstance(model, WeightlessModel) else 0)

    def memory(
        self, system: System, pool: PlannedPool, stages: Sequence[PlannedStage]
    ) -> Expected | None:
        """The largest resident memory: the libraries', with the weights that answer as they are
        opened, or with the keys and values of the largest batch and its scores, or with what a
        stage needs."""
        opening = self._calibration.opening
        if opening is None or opening.process_bytes is None:
            return None
        model = pool.weightless(system)
        beside = Expected.exactly(self._calibration.training_process_bytes)
        each = [stage.held + beside if stage.trains else stage.held for stage in stages]
        if isinstance(model, WeightlessModel):
            opened = Expected.exactly(model.weights_bytes * opening.held_per_byte)
            each += [opened, _expected(*map(float, model.held_bytes))]
        largest = [
            max((float(getattr(one, way)) for one in each), default=0.0)
            for way in ("likely", "low", "high")
        ]
        likely, low, high = (opening.process_bytes + held for held in largest)
        between = Expected(likely=likely, low=low, high=high)
        return between.widened(MEMORY_SPREAD, Z80)

    def _opening(self, weights_bytes: int) -> PredictedPhase:
        """Opening so many bytes of weights, by those of the model that was calibrated with."""
        opening = self._calibration.opening
        if not weights_bytes:
            return PredictedPhase(duration_s=NOTHING, energy_j=NOTHING)
        if opening is None:
            return PredictedPhase()
        times = weights_bytes / opening.weights_bytes if opening.weights_bytes else 1.0
        seconds = self._other(times * opening.duration_s)
        return PredictedPhase(
            duration_s=seconds, energy_j=self._joules(seconds, self._other_watts())
        )

    def _other(self, seconds: float) -> Expected:
        """Seconds of what was timed once by itself, in the calibration or when it was planned: the
        machine's mood is between that and a run, and what no fit shows."""
        rates = self._calibration.rates_of("answering")
        spread = math.hypot(rates.spread if rates else 0.0, FORMULA_SPREAD)
        return Expected.exactly(seconds).widened(spread, Z80)

    def _other_watts(self) -> float | None:
        rates = self._calibration.rates_of("answering")
        return rates.watts if rates is not None else None

    @staticmethod
    def _joules(seconds: Expected | None, watts: float | None) -> Expected | None:
        return None if seconds is None or watts is None else seconds.times(watts)


def _flops(account: Account3, ways: Ways) -> Expected | None:
    found = [account.costs.work(tally).flops for tally in ways]
    likely, short, long = found
    return (
        None if likely is None or short is None or long is None else _expected(likely, short, long)
    )


def _expected(likely: float, short: float, long: float) -> Expected:
    return Expected(likely=likely, low=min(likely, short, long), high=max(likely, short, long))
