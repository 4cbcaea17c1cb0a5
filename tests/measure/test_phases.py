"""Stretches of work as one, and what is failed, short, repeated or in another process."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from wattune.measure.meter import add_phases
from wattune.measure.record import Energy, Phase, Provenance, Utilisation


def phase_of(energy_j: float | None, provenance: Provenance, **changes: Any) -> Phase:
    parts = {"cpu": Energy(energy_j=energy_j, provenance=provenance, detail=provenance)}
    return Phase(duration_s=1.0, energy_j=energy_j, components=parts).model_copy(update=changes)


def test_add_phases() -> None:
    total = add_phases(
        [
            phase_of(
                2.0,
                "counter",
                peak_memory_bytes=7,
                below_resolution=True,
                exclusive_energy_j=1.0,
                net_energy_j=-0.5,
                parent="outer",
                overlapped=True,
                utilisation=Utilisation(cpu_percent=10, cpu_s=1, memory_percent=40),
            ),
            phase_of(
                3.0,
                "modelled_load",
                duration_s=3.0,
                peak_memory_bytes=5,
                error="ValueError",
                exclusive_energy_j=2.0,
                net_energy_j=2.0,
                parent="outer",
                repeats=4,
                utilisation=Utilisation(cpu_percent=50, memory_percent=30),
            ),
        ]
    )
    assert (total.duration_s, total.energy_j) == (4.0, 5.0)
    assert (total.exclusive_energy_j, total.exclusive_duration_s) == (3.0, None)
    assert total.net_energy_j == 1.5
    assert total.components["cpu"].provenance == "modelled_load"
    assert total.components["cpu"].coverage == 1.0
    assert (total.peak_memory_bytes, total.peak_gpu_memory_bytes) == (7, None)
    assert (total.below_resolution, total.error) == (False, "ValueError")
    assert (total.parent, total.overlapped, total.repeats) == ("outer", True, 5)
    assert total.utilisation == Utilisation(cpu_percent=40, memory_percent=40)


def test_add_phases_keeps_unknown_unknown() -> None:
    total = add_phases([phase_of(2.0, "counter", duration_s=3.0), phase_of(None, "failed")])
    assert total.energy_j is None
    cpu = total.components["cpu"]
    assert (cpu.energy_j, cpu.provenance, cpu.coverage) == (None, "failed", 0.75)


def test_adding_nothing_costs_nothing() -> None:
    nothing = add_phases([])
    assert (nothing.duration_s, nothing.energy_j, nothing.net_energy_j) == (0.0, 0.0, 0.0)


def test_a_hiccup_fails_what_holds_it_and_tells_the_share_that_is_known(world: Any) -> None:
    meter = world.meter()
    with meter.phase("outer") as outer:
        world.go(3)
        with meter.phase("inner") as inner:
            world.go(1)
            world.trackers[0].broken = OSError("hiccup")
        world.trackers[0].broken = None
        with meter.phase("later") as later:
            world.go(4)
    cpu = outer.result.components["cpu"]
    assert (cpu.energy_j, cpu.provenance) == (None, "failed")
    assert cpu.coverage == pytest.approx(7 / 8)
    assert "hiccup" in cpu.detail
    assert inner.result.components["cpu"].coverage == 0
    assert later.result.energy_j == pytest.approx(52)


def test_a_fault_of_one_component_leaves_the_others(world: Any) -> None:
    meter = world.meter()
    with meter.phase("work") as phase:
        world.go(1)
        world.trackers[0].failures.append("cpu: RAPL could not be read")
    assert phase.result.energy_j == pytest.approx(3.0)
    assert "RAPL could not be read" in phase.result.components["cpu"].detail
    assert phase.result.exclusive_energy_j == pytest.approx(3.0)
    with meter.phase("next") as following:
        world.go(1)
        world.trackers[0].failures.append("everything broke")
    assert following.result.energy_j is None
    assert "everything broke" in following.result.components["ram"].detail


def test_rated_power_and_its_source_stand_beside_the_figure(world: Any) -> None:
    meter = world.meter()
    with meter.phase("work") as phase:
        world.go(1)
    cpu = phase.result.components["cpu"]
    assert (cpu.tdp_w, cpu.coverage) == (85.0, 1.0)
    assert cpu.tdp_source


@pytest.mark.parametrize("milliseconds", [1, 10, 40, 99, 128])
def test_short_phases_are_exact_and_marked(world: Any, milliseconds: int) -> None:
    meter = world.meter()
    with meter.phase("before"):
        world.go(0.5)
    with meter.phase("short") as phase:
        world.go(milliseconds / 1000)
    assert phase.result.energy_j == pytest.approx(13 * milliseconds / 1000)
    assert phase.result.below_resolution == (milliseconds < 100)
    assert phase.result.utilisation.cpu_percent is None or milliseconds == 128


def test_start_up_is_outside_the_first_phase_and_of_the_constructor(world: Any) -> None:
    world.starts_in_s = 5.0
    meter = world.meter()
    assert world.trackers == []
    handle = meter.phase("first")
    assert world.trackers == []
    with handle:
        world.go(1)
    assert handle.result.duration_s == 1
    assert handle.result.energy_j == pytest.approx(13)


def test_repeat(world: Any) -> None:
    meter = world.meter()
    phase = meter.repeat("tick", lambda: world.go(0.25))
    assert (phase.repeats, phase.duration_s) == (8, 2.0)
    assert phase.energy_j == pytest.approx(26)
    assert meter.repeat("few", lambda: world.go(0.25), most=3).repeats == 3
    assert meter.repeat("long", lambda: world.go(9)).repeats == 1
    assert meter.repeat("tick", lambda: world.go(0.5), at_least_s=1).repeats == 2
    assert (meter.phases["tick"].repeats, meter.phases["tick"].duration_s) == (10, 3.0)

    def breaks() -> None:
        world.go(1)
        raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        meter.repeat("breaks", breaks)
    assert meter.phases["breaks"].error == "ValueError: third"


def test_a_meter_closed_and_opened_again_within_a_phase(world: Any) -> None:
    meter = world.meter()
    with meter.phase("cut") as cut:
        world.go(1)
        meter.close()
        meter.close()
        world.go(1)
        with meter.phase("new") as new:
            world.go(1)
    assert cut.result.energy_j is None
    assert cut.result.duration_s == 3
    assert new.result.energy_j == pytest.approx(13)
    assert world.trackers[0].stopped == 1
    meter.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_anew_and_its_parent_goes_on(world: Any) -> None:
    meter = world.meter()
    with meter.phase("outer") as outer:
        world.go(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12: threads and fork
            child = os.fork()
        if child == 0:
            code = 1
            try:
                with meter.phase("in the child") as inner:
                    world.go(1)
                outer.__exit__(None, None, None)
                good = inner.result.energy_j == pytest.approx(13)
                good &= inner.result.parent is None and len(world.trackers) == 2
                good &= outer.result.components["cpu"].provenance == "failed"
                good &= "another process" in outer.result.components["cpu"].detail
                code = 0 if good else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        world.go(1)
    assert os.waitstatus_to_exitcode(status) == 0
    assert outer.result.energy_j == pytest.approx(26)
    meter.close()


def launched(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_only_the_first_process_of_a_machine_measures(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(monkeypatch, RANK="1", LOCAL_RANK="1", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    meter = world.meter()
    with meter.phase("work") as phase:
        world.go(1)
    assert (phase.result.energy_j, phase.result.exclusive_energy_j) == (None, None)
    assert phase.result.components == {}
    assert phase.result.duration_s == phase.result.exclusive_duration_s == 1
    assert phase.result.peak_memory_bytes
    assert phase.result.utilisation.memory_percent is not None
    assert world.trackers == []
    assert meter.measure_baseline(0.001).power_w == {}
    assert meter.describe() == {}
    meter.close()


def test_a_launch_that_makes_no_sense_fails_the_figures_not_the_run(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(monkeypatch, RANK="0", WORLD_SIZE="many")
    meter = world.meter()
    with meter.phase("work") as phase:
        world.go(1)
    assert phase.result.energy_j is None
    assert "WORLD_SIZE" in phase.result.components["cpu"].detail
    assert "WORLD_SIZE" in meter.describe()["failed"]
    meter.close()


def test_gathered_by_one_process_the_phases_are_its_own(world: Any) -> None:
    meter = world.meter()
    with meter.phase("work"):
        world.go(1)
    assert meter.gather() == meter.phases
    assert meter.gather() is not meter.phases
