"""A machine of the test's own making: its clock and its power move only when a test says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from wattune.measure.meter import Meter
from wattune.measure.sources.tracker import Capture

J_PER_KWH = 3.6e6


class Power(SimpleNamespace):
    W: float


class CPU:
    """By name and shape codecarbon's processor."""

    _mode, _model, _tdp, _is_generic_tdp, _cpu_count = "cpu_load", "Test 9000", 85, False, 2


class RAM:
    """By name and shape codecarbon's memory."""

    def total_power(self) -> Power:
        return Power(W=3.0)


class World:
    """Seconds and joules by component; `power_w` is what runs now."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.power_w = {"cpu": 10.0, "ram": 3.0}
        self.joules = {"cpu": 0.0, "ram": 0.0, "gpu": 0.0}
        self.starts_in_s = 0.0
        self.trackers: list[FakeTracker] = []

    def clock(self) -> float:
        return self.now_s

    def go(self, seconds: float, **power_w: float) -> None:
        """Let time pass, with other power from now on where it is given."""
        self.power_w.update(power_w)
        self.now_s += seconds
        for name, watts in self.power_w.items():
            self.joules[name] += watts * seconds

    @property
    def watts(self) -> float:
        return sum(self.power_w.values())

    def tracker(self, capture: Capture) -> FakeTracker:
        self.trackers.append(FakeTracker(self, capture))
        return self.trackers[-1]

    def meter(self, **changes: Any) -> Meter:
        return Meter(clock=self.clock, tracker_factory=self.tracker, **changes)


class FakeTracker:
    """Cumulative energy of a `World`; raises `broken` while that is set."""

    def __init__(self, world: World, capture: Capture) -> None:
        self._world, self._capture = world, capture
        self._hardware = [CPU(), RAM()]
        self.failures: list[str] = []
        self.broken: Exception | None = None
        self.stopped = 0

    def start(self) -> None:
        self._world.go(self._world.starts_in_s)

    def flush(self) -> float | None:
        if self.broken is not None:
            raise self.broken
        kwh = {f"{name}_energy": j / J_PER_KWH for name, j in self._world.joules.items()}
        self._capture.out(SimpleNamespace(**kwh), None)
        return 0.0

    def stop(self) -> float | None:
        self.stopped += 1
        return 0.0


@pytest.fixture
def world() -> World:
    return World()
