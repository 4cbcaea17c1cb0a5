"""Predicted: what a plan made before a run said that it would take, kept beside what was measured.

A plan writes what it says of each run into the cache by the run's key; the run reads it when its
record is made. Where nothing was planned the record holds None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ..files import cache_folder, write_json
from ..values import Value

PHASES = ("prepare", "load", "answer", "realtime", "general")
"""The phases that a plan tells of, named as in a record; "prepare" is the attributed bill."""


class Expected(Value):
    """A figure that is expected, with its 80 % range: one outcome in ten lies below `low`, one in
    ten above `high`."""

    likely: float
    low: float
    high: float

    @classmethod
    def exactly(cls, figure: float) -> Self:
        """A figure without a range: it is known."""
        return cls(likely=figure, low=figure, high=figure)

    def __add__(self, other: Expected) -> Expected:
        """Both together; their errors are taken to go the same way, for one calibration and one
        habit of the model stand behind both."""
        return Expected(
            likely=self.likely + other.likely,
            low=self.low + other.low,
            high=self.high + other.high,
        )

    def times(self, factor: float) -> Expected:
        """So many times as much; `factor` is 0 or more."""
        return Expected(likely=self.likely * factor, low=self.low * factor, high=self.high * factor)

    def widened(self, spread: float, z: float) -> Expected:
        """The same with an error of its own: `spread` is the standard deviation of its logarithm,
        `z` how many of them lie on each side. The two ranges are joined as independent errors of
        logarithms are, by the root of the sum of squares."""
        if self.likely <= 0:
            return self
        own = z * spread
        below = math.hypot(own, math.log(self.likely / self.low) if self.low > 0 else own)
        above = math.hypot(own, math.log(self.high / self.likely))
        return Expected(
            likely=self.likely,
            low=min(self.low, self.likely * math.exp(-below)),
            high=max(self.high, self.likely * math.exp(above)),
        )

    def covers(self, figure: float) -> bool:
        """Whether a figure lies within the range."""
        return self.low <= figure <= self.high


NOTHING = Expected.exactly(0.0)
"""A figure that is 0 for sure."""


def total(parts: Iterable[Expected | None]) -> Expected | None:
    """All together; None where one is not known."""
    whole = NOTHING
    for part in parts:
        if part is None:
            return None
        whole = whole + part
    return whole


class PredictedPhase(Value):
    """Seconds and joules that a phase is expected to take; None where it is not known."""

    duration_s: Expected | None = None
    energy_j: Expected | None = None


class Predicted(Value):
    """What a plan said of a run.

    `phases` are those of `PHASES`, without those that it does not have. Tokens are those of
    answering, `flops_prepare` and `flops_answer` floating-point operations as `Work` counts them,
    `peak_memory_bytes` the largest resident memory of any phase. `stages_j` are likely joules of
    making each stage, by its key: runs may share them. None means that it is not known.
    `calibration` is the digest of the calibration, `made_at` when the plan was made (ISO 8601,
    UTC), `basis` are sentences on where the figures come from.
    """

    made_at: str = ""
    calibration: str = ""
    phases: dict[str, PredictedPhase] = {}
    tokens_in: Expected | None = None
    tokens_out: Expected | None = None
    flops_prepare: Expected | None = None
    flops_answer: Expected | None = None
    peak_memory_bytes: Expected | None = None
    stages_j: dict[str, float | None] = {}
    basis: tuple[str, ...] = ()

    @property
    def duration_s(self) -> Expected | None:
        """Seconds of all phases."""
        return total(phase.duration_s for phase in self.phases.values())

    @property
    def energy_j(self) -> Expected | None:
        """Joules of all phases."""
        return total(phase.energy_j for phase in self.phases.values())


def _place(key: str) -> Path:
    return cache_folder() / "plans" / f"{key}.json"


def keep_prediction(key: str, predicted: Predicted) -> None:
    """Keep what a plan says of the run with this key, for its record. Raises `StorageError`."""
    write_json(_place(key), predicted.plain())


def kept_prediction(key: str) -> Predicted | None:
    """What the newest plan said of the run with this key; None where none was made, or what was
    kept cannot be read: a record must not fail for it."""
    try:
        return Predicted.model_validate(json.loads(_place(key).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
