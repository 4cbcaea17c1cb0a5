"""The meter on this machine, with codecarbon's own tracker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from wattune.errors import InputError
from wattune.measure.meter import Meter
from wattune.measure.record import Phase
from wattune.measure.sources.tracker import Capture, Tracker, TrackerFactory, offline_tracker


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.fixture(scope="module")
def meter() -> Iterator[Meter]:
    with Meter() as shared:
        shared.describe()  # the cold start is paid here
        yield shared


def fresh(capture: Capture) -> Tracker:
    """A tracker of its own, not the one that the meters of this process share."""
    return offline_tracker(capture)


def joules(phase: Phase) -> float:
    assert phase.energy_j is not None, phase
    return phase.energy_j


def test_phase_has_time_energy_memory_and_provenance(meter: Meter) -> None:
    with meter.phase("work") as phase:
        busy(0.3)
    result = phase.result
    assert meter.phases["work"] == result
    assert result.duration_s >= 0.3
    assert not result.below_resolution
    assert result.error is None
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 10 << 20
    assert {"cpu", "ram"} <= result.components.keys()
    assert result.components["ram"].provenance in ("constant", "integrated_power")
    for energy in result.components.values():
        assert energy.provenance != "failed"
        assert energy.energy_j is not None
        assert energy.energy_j > 0
        assert energy.detail
    assert joules(result) == pytest.approx(
        sum(energy.energy_j or 0.0 for energy in result.components.values())
    )


def test_constant_power_gives_watts_times_seconds_and_so_kwh_are_joules(meter: Meter) -> None:
    with meter.phase("constant") as phase:
        time.sleep(0.5)
    ram = phase.result.components["ram"]
    if ram.provenance != "constant":
        pytest.skip("this machine measures its memory's power")
    watts = float(meter.describe()["ram_model"].split()[0])
    assert ram.energy_j == pytest.approx(watts * phase.result.duration_s, rel=0.05)


def test_phases_and_what_is_between_them_sum_to_the_phase_around_them(meter: Meter) -> None:
    with meter.phase("outer") as outer:
        with meter.phase("first") as first:
            busy(0.2)
        time.sleep(0.1)
        with meter.phase("second") as second:
            time.sleep(0.2)
    parts = sum(phase.result.exclusive_energy_j or 0.0 for phase in (outer, first, second))
    assert parts == pytest.approx(joules(outer.result), rel=1e-9)
    assert joules(first.result) + joules(second.result) < joules(outer.result)
    assert first.result.exclusive_energy_j == pytest.approx(joules(first.result), rel=1e-9)


def test_threads_are_not_summed_twice(meter: Meter) -> None:
    before = meter.total().exclusive_energy_j or 0.0

    def work(name: str) -> None:
        with meter.phase(name):
            busy(0.2)

    threads = [threading.Thread(target=work, args=(f"shared {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [meter.phases[f"shared {n}"] for n in range(3)]
    metered = joules(meter.total()) - before
    assert sum(phase.exclusive_energy_j or 0.0 for phase in found) == pytest.approx(metered)
    assert all(phase.overlapped for phase in found)
    assert metered < sum(joules(phase) for phase in found)


def test_figures_so_far_grow_and_do_not_disturb(meter: Meter) -> None:
    with meter.phase("beating") as phase:
        seen = []
        for _ in range(4):
            time.sleep(0.1)
            seen.append(joules(phase.so_far()))
    assert seen == sorted(set(seen))
    assert joules(phase.result) > seen[-1]
    ram = phase.result.components["ram"]
    if ram.provenance == "constant":
        watts = float(meter.describe()["ram_model"].split()[0])
        assert ram.energy_j == pytest.approx(watts * phase.result.duration_s, rel=0.05)


def test_a_baseline_of_this_machine(meter: Meter) -> None:
    baseline = meter.measure_baseline(0.3)
    meter.baseline = None
    assert baseline.power_w["ram"] > 0
    assert baseline.duration_s >= 0.3
    assert baseline.cpu_percent is not None


def test_work_of_a_child_process_that_has_exited_is_counted(meter: Meter) -> None:
    if meter.describe().get("cpu_mode") != "cpu_load":
        pytest.skip("the counters of this machine see every process anyway")
    script = "import time\nend = time.time() + 0.6\nwhile time.time() < end: pass"
    with meter.phase("children") as children:
        running = [
            subprocess.Popen([sys.executable, "-ISc", script]) for _ in range(os.cpu_count() or 1)
        ]
        for child in running:
            child.wait()
    watts = (children.result.components["cpu"].energy_j or 0.0) / children.result.duration_s
    assert watts > 0.4 * meter.describe()["cpu_tdp_w"]  # idle is 0.1, and every core was busy


def test_an_exception_closes_the_phase_and_goes_on(meter: Meter) -> None:
    with pytest.raises(ValueError, match="boom"), meter.phase("raising"):  # noqa: PT012
        busy(0.12)
        raise ValueError("boom\nwith more lines")
    phase = meter.phases["raising"]
    assert phase.error == "ValueError: boom"
    assert joules(phase) > 0


def test_an_open_phase_has_no_result(meter: Meter) -> None:
    with meter.phase("open") as phase, pytest.raises(RuntimeError, match="has not ended"):
        _ = phase.result


def test_a_short_phase_does_not_leak_into_the_next(meter: Meter) -> None:
    if meter.describe()["ram_model"].split()[-1] != "constant":
        pytest.skip("needs a component of constant power")
    with meter.phase("leak 1") as first:
        time.sleep(0.03)
    with meter.phase("leak 2") as second:
        time.sleep(0.2)
    watts = float(meter.describe()["ram_model"].split()[0])
    for phase in (first, second):
        seconds = (phase.result.components["ram"].energy_j or 0.0) / watts
        assert seconds == pytest.approx(phase.result.duration_s, abs=0.02)


def test_phases_of_several_threads_each_see_the_machine(meter: Meter) -> None:
    def work(name: str) -> None:
        with meter.phase(name):
            time.sleep(0.3)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [meter.phases[f"thread {n}"].components["ram"].energy_j or 0.0 for n in range(3)]
    assert min(found) > 0
    assert max(found) == pytest.approx(min(found), rel=0.15)


def test_description(meter: Meter) -> None:
    described = meter.describe()
    assert described["cpu"]
    assert isinstance(described["gpus"], list)
    if described["cpu_mode"] == "cpu_load":
        assert described["cpu_tdp_w"] > 0
        assert "TDP" in described["cpu_tdp_source"]
        with meter.phase("described") as phase:
            time.sleep(0.11)
        cpu = phase.result.components["cpu"]
        assert cpu.provenance == "modelled_load"
        assert described["cpu"] in cpu.detail
        assert described["cpu_tdp_source"] in cpu.detail


@pytest.mark.parametrize("factory", [offline_tracker, fresh])
def test_double_close_and_metering_again(factory: TrackerFactory) -> None:
    meter = Meter(tracker_factory=factory)
    meter.close()  # before anything was metered
    with meter.phase("one"):
        time.sleep(0.11)
    meter.close()
    meter.close()
    with meter.phase("two") as phase:
        time.sleep(0.11)
    meter.close()
    assert joules(phase.result) > 0
    assert set(meter.phases) == {"one", "two"}


def test_closing_one_meter_leaves_the_other_running(meter: Meter) -> None:
    other = Meter()
    with other.phase("theirs"):
        pass
    with meter.phase("ours") as phase:
        other.close()
        time.sleep(0.11)
    assert joules(phase.result) > 0


def test_a_meter_closed_within_its_phase_says_so() -> None:
    meter = Meter(tracker_factory=fresh)
    with meter.phase("cut") as phase:
        meter.close()
        time.sleep(0.11)
    assert phase.result.energy_j is None
    assert {energy.provenance for energy in phase.result.components.values()} == {"failed"}


def test_the_place_is_kept_and_checked() -> None:
    carbon = Meter("FRA").carbon
    assert carbon is not None
    assert carbon.place == "FRA"
    assert Meter().carbon is None
    with pytest.raises(InputError, match="FRA"):
        Meter("FR")
