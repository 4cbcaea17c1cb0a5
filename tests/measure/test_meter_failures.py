"""What cannot be measured is failed with its reason, never 0, and never stops the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from wattune.measure.meter import Meter
from wattune.measure.record import Phase
from wattune.measure.sources import components as components_module
from wattune.measure.sources.components import components_of, description_of
from wattune.measure.sources.tracker import Capture, offline_tracker, visible_gpus

KWH = 1 / 3.6e6


class Power(SimpleNamespace):
    W: float


class CPU:
    """By name and shape codecarbon's processor."""

    def __init__(self, mode: str = "cpu_load", model: str = "Test 9000", tdp: float = 85) -> None:
        self._mode, self._model, self._tdp, self._is_generic_tdp = mode, model, tdp, False
        self._cpu_count = 2


class RAM:
    def total_power(self) -> Power:
        return Power(W=20.0)


class Device(SimpleNamespace):
    gpu_index: int


class GPU:
    def __init__(self, *devices: Device, ids: list[int] | None = None) -> None:
        self.devices = SimpleNamespace(devices=list(devices))
        self.num_gpus = len(devices)
        self.gpu_ids = list(range(len(devices))) if ids is None else ids

    def _get_gpu_ids(self) -> list[int]:
        return self.gpu_ids


def device(index: int = 0, *, fallback: bool = False, dead: bool = False) -> Device:
    return Device(
        gpu_index=index,
        _gpu_name="H100",
        _use_power_fallback=fallback,
        _warned_power_failure=dead,
    )


class FakeTracker:
    """Cumulative energy that grows by `watts` a flush of one second."""

    def __init__(self, capture: Capture, *, hardware: list[object], flush: Callable[[int], Any]):
        self._hardware = hardware
        self.capture, self.flushes, self.figure = capture, 0, flush

    def start(self) -> None:
        pass

    def flush(self) -> float | None:
        self.flushes += 1
        total = self.figure(self.flushes)
        if total is None:
            return None
        self.capture.out(total, total)
        return 0.0

    def stop(self) -> float | None:
        return 0.0


def totals(cpu: float, ram: float, gpu: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(cpu_energy=cpu * KWH, ram_energy=ram * KWH, gpu_energy=gpu * KWH)


def ticking() -> Callable[[], float]:
    seconds = iter(range(1000))
    return lambda: float(next(seconds))


def fake_meter(flush: Callable[[int], Any], hardware: list[object] | None = None) -> Meter:
    def factory(capture: Capture) -> FakeTracker:
        parts = [RAM(), CPU()] if hardware is None else hardware
        return FakeTracker(capture, hardware=parts, flush=flush)

    return Meter(clock=ticking(), tracker_factory=factory)


def failed(phase: Phase) -> str:
    """Checks that nothing was measured, and gives the reason."""
    assert phase.energy_j is None
    assert {"cpu", "ram"} <= phase.components.keys()
    for energy in phase.components.values():
        assert energy.energy_j is None
        assert energy.provenance == "failed"
        assert energy.detail
    return phase.components["cpu"].detail


def test_a_factory_that_raises() -> None:
    def factory(capture: Capture) -> FakeTracker:
        raise OSError("no such sensor")

    meter = Meter(tracker_factory=factory)
    ran = False
    with meter.phase("work") as phase:
        ran = True
    assert ran
    assert "OSError: no such sensor" in failed(phase.result)
    assert "no such sensor" in meter.describe()["failed"]
    meter.close()


def raise_at(number: int) -> Callable[[int], Any]:
    def flush(n: int) -> Any:
        if n >= number:
            raise RuntimeError("sensor gone")
        return totals(n, n)

    return flush


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_flush_that_raises(number: int) -> None:
    # The first two flushes belong to the start, then one at each end of the phase.
    meter = fake_meter(raise_at(number))
    with meter.phase("work") as phase:
        pass
    assert "sensor gone" in failed(phase.result)


@pytest.mark.parametrize("nothing", [None, totals(math.nan, 1.0)])
def test_a_flush_that_gives_nothing(nothing: Any) -> None:
    meter = fake_meter(lambda n: totals(n, n) if n < 4 else nothing)
    with meter.phase("work") as phase:
        pass
    assert "energy tracker gave" in failed(phase.result)


def test_a_failure_within_the_phase_fails_it_and_the_phase_around_but_not_the_next() -> None:
    def flush(n: int) -> Any:
        if n == 5:
            raise RuntimeError("hiccup")
        return totals(n, n)

    meter = fake_meter(flush)  # flushes 1, 2: start; 3: outer begins; 4, 5: inner; 6: outer ends
    with meter.phase("outer") as outer, meter.phase("inner") as inner:
        pass
    with meter.phase("next") as after:
        pass
    failed(inner.result)
    assert "hiccup" in failed(outer.result)
    assert after.result.energy_j == pytest.approx(2.0)


def test_an_energy_that_stands_still_was_not_measured() -> None:
    meter = fake_meter(lambda n: totals(cpu=5.0, ram=2.0 * n))
    with meter.phase("work") as phase:
        pass
    cpu = phase.result.components["cpu"]
    assert (cpu.energy_j, cpu.provenance) == (None, "failed")
    assert phase.result.energy_j == pytest.approx(2.0)  # the component that is known


def test_a_counter_that_was_reset_gives_no_negative_energy() -> None:
    meter = fake_meter(lambda n: totals(cpu=-5.0 * n, ram=2.0 * n))
    with meter.phase("work") as phase:
        pass
    assert phase.result.components["cpu"].provenance == "failed"


def test_codecarbons_tables_of_emissions_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """codecarbon works out emissions with each figure; ours are worked out from the joules."""
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    def broken(self: object) -> None:
        raise RuntimeError("no table")

    meter = Meter(tracker_factory=lambda capture: offline_tracker(capture))
    monkeypatch.setattr(BaseEmissionsTracker, "_prepare_emissions_data", broken)
    with meter, meter.phase("work") as phase:
        time.sleep(0.12)
    assert (phase.result.energy_j or 0) > 0


def test_an_error_of_a_measurement_fails_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    def broken(self: object) -> None:
        raise RuntimeError("no counter")

    meter = Meter(tracker_factory=lambda capture: offline_tracker(capture))
    with meter, meter.phase("work") as phase:
        monkeypatch.setattr(BaseEmissionsTracker, "_do_measurements", broken)
    monkeypatch.undo()
    assert "RuntimeError: no counter" in failed(phase.result)


def test_a_failed_measurement_in_codecarbons_timer_fails_the_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    trackers: list[Any] = []

    def factory(capture: Capture) -> Any:
        trackers.append(offline_tracker(capture))
        return trackers[0]

    def broken(self: object) -> None:
        raise RuntimeError("NVML lost")

    with Meter(tracker_factory=factory) as meter:
        with meter.phase("work") as phase, monkeypatch.context() as patch:
            patch.setattr(BaseEmissionsTracker, "_do_measurements", broken)
            trackers[0]._scheduler.function()  # as the timer thread would call it
        assert "NVML lost" in failed(phase.result)
        with meter.phase("next") as after:
            pass
        assert after.result.energy_j is not None


@pytest.mark.parametrize(
    ("part", "name", "provenance"),
    [
        (CPU("windows_emi"), "cpu", "counter"),
        (CPU("intel_power_gadget"), "cpu", "integrated_power"),
        (CPU("cpu_load"), "cpu", "modelled_load"),
        (CPU("constant"), "cpu", "constant"),
        (RAM(), "ram", "constant"),
        (GPU(device()), "gpu", "counter"),
        (GPU(device(0), device(1, fallback=True)), "gpu", "integrated_power"),
        (GPU(device(0, fallback=True, dead=True)), "gpu", "failed"),
        (GPU(device(0), ids=[]), "gpu", "failed"),
    ],
)
def test_provenance_follows_the_hardware(part: object, name: str, provenance: str) -> None:
    found = components_of(SimpleNamespace(_hardware=[part]))
    assert found[name].provenance == provenance
    assert found[name].detail


def test_apple_and_raspberry_chips_by_their_part() -> None:
    chip = type("AppleSiliconChip", (), {"chip_part": "GPU", "_model": "M9"})()
    board = type("Raspberry", (), {"chip_part": "RAM", "_model": "Pi"})()
    found = components_of(SimpleNamespace(_hardware=[chip, board]))
    assert found["gpu"].provenance == found["ram"].provenance == "integrated_power"


def test_no_gpu_gives_no_component_and_cuda_without_figures_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = SimpleNamespace(_hardware=[RAM(), CPU(), GPU()])
    assert "gpu" not in components_of(tracker)
    assert description_of(tracker)["gpus"] == []
    monkeypatch.setattr(components_module, "cuda_in_use", lambda: True)
    assert components_of(tracker)["gpu"].provenance == "failed"


def test_tdp_source_is_told() -> None:
    unknown = description_of(SimpleNamespace(_hardware=[CPU(tdp=8, model="Nobody's 1")]))
    assert unknown["cpu_tdp_w"] == 8
    assert "fallback" in unknown["cpu_tdp_source"]
    listed = description_of(SimpleNamespace(_hardware=[CPU(tdp=280, model="AMD EPYC 7742")]))
    assert "list" in listed["cpu_tdp_source"]
    assert "unlisted" not in listed["cpu_tdp_source"]


def test_gpu_energy_of_a_phase() -> None:
    meter = fake_meter(lambda n: totals(n, n, 100.0 * n), [RAM(), CPU(), GPU(device())])
    with meter.phase("work") as phase:
        pass
    assert phase.result.components["gpu"].energy_j == pytest.approx(100.0)
    assert phase.result.components["gpu"].provenance == "counter"
    assert meter.describe()["gpus"] == ["H100"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", []),
        ("-1", []),
        ("0,1", ["0", "1"]),
        ("0,-1,1", ["0"]),
        ("GPU-abc", ["GPU-abc"]),
        ("MIG-abc", ["MIG-abc"]),
    ],
)
def test_visible_gpus(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: list[str] | None
) -> None:
    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == expected
