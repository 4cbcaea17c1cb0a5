"""Idle power, and energy net of it."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest

from wattune.errors import InputError
from wattune.measure.record import Baseline


def test_a_baseline_is_measured_while_nothing_runs(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", world.go)
    meter = world.meter()
    world.go(0, cpu=4)
    baseline = meter.measure_baseline(3.0)
    assert baseline.power_w == pytest.approx({"cpu": 4, "ram": 3})
    assert baseline.duration_s == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", baseline.measured_at)
    assert meter.baseline == baseline
    assert meter.phases == {}
    assert meter.total().duration_s == 0


def test_net_energy_is_above_idle(world: Any) -> None:
    meter = world.meter(baseline=Baseline(power_w={"cpu": 4, "ram": 3}, duration_s=3))
    with meter.phase("outer") as outer:
        world.go(2)  # 10 and 3 W
        with meter.phase("idle") as idle:
            world.go(1, cpu=3.5)
        assert outer.so_far().net_energy_j == pytest.approx(12 - 0.5)
    assert outer.result.net_energy_j == pytest.approx(12 - 0.5)
    assert idle.result.net_energy_j == pytest.approx(-0.5)  # noise may do this
    with meter.phase("idle"):
        world.go(1, cpu=10)
    assert meter.phases["idle"].net_energy_j == pytest.approx(-0.5 + 6)
    assert meter.total().net_energy_j == pytest.approx(12 - 0.5 + 6)


def test_without_all_of_a_baseline_there_is_no_net(world: Any) -> None:
    meter = world.meter()
    with meter.phase("work"):
        world.go(1)
    assert meter.phases["work"].net_energy_j is None
    meter.baseline = Baseline(power_w={"cpu": 4}, duration_s=3)  # and memory has a figure
    with meter.phase("part") as part:
        world.go(1)
    assert part.result.net_energy_j is None
    meter.baseline = Baseline(power_w={"cpu": 4, "ram": 3, "gpu": 60}, duration_s=3)
    with meter.phase("more") as more:
        world.go(1)
    assert more.result.net_energy_j == pytest.approx(6)
    with meter.phase("work") as again:
        world.go(1)
    assert again.result.net_energy_j == pytest.approx(6)
    assert meter.phases["work"].net_energy_j is None  # its first time had no baseline


def test_a_failed_component_has_no_idle_power(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", world.go)
    meter = world.meter()
    world.go(0, cpu=0.0)
    baseline = meter.measure_baseline(1.0)
    assert baseline.power_w == pytest.approx({"ram": 3})


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_baseline_needs_time(world: Any, seconds: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        world.meter().measure_baseline(seconds)
