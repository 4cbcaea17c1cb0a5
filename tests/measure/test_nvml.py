"""GPUs' energy counters: codecarbon asks a made-up NVML through our tracker.

Tried with codecarbon 3.3.2; what it does in each case stands in wattune.measure.sources.counters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pynvml  # type: ignore[import-untyped]
import pytest

from wattune.measure.meter import Meter
from wattune.measure.sources.components import Component, components_of, description_of
from wattune.measure.sources.counters import CounterWatch
from wattune.measure.sources.tracker import Capture, offline_tracker

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
LOST = pynvml.NVML_ERROR_GPU_IS_LOST


class Gpu:
    """One made-up GPU: an energy counter in mJ and a power in mW, or the error they end in."""

    def __init__(self, index: int, name: str = "A100") -> None:
        self.index, self.name, self.uuid = index, name, f"GPU-{index}a2b3c4d-0000"
        self.energy_mj: int | Exception = 1_000_000 * (index + 1)
        self.power_mw: int | Exception = 300_000
        self.sliced: int | None = None
        self.reads = 0

    def run(self, joules: float) -> None:
        assert isinstance(self.energy_mj, int)
        self.energy_mj += round(joules * 1000)

    def lose(self) -> None:
        self.energy_mj = self.power_mw = pynvml.NVMLError(LOST)


class Nvml:
    """The module `pynvml` as far as codecarbon and wattune use it; a handle is the Gpu."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError(NOT_SUPPORTED).__class__
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = list(gpus)
        self.nvmlInit = lambda: None
        self.nvmlDeviceGetCount = lambda: len(self.gpus)
        self.nvmlDeviceGetHandleByIndex = lambda index: self.gpus[index]
        self.nvmlDeviceGetName = lambda gpu: _given(gpu.name)
        self.nvmlDeviceGetUUID = lambda gpu: gpu.uuid
        self.nvmlDeviceGetEnforcedPowerLimit = lambda gpu: 400_000
        self.nvmlDeviceGetPowerUsage = lambda gpu: _given(gpu.power_mw)
        self.nvmlDeviceGetUtilizationRates = lambda gpu: SimpleNamespace(gpu=50)
        self.nvmlDeviceGetTemperature = lambda gpu, sensor: 40
        self.nvmlDeviceGetComputeMode = lambda gpu: 0
        self.nvmlDeviceGetComputeRunningProcesses = lambda gpu: list[Any]()
        self.nvmlDeviceGetGraphicsRunningProcesses = lambda gpu: list[Any]()

    def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> Any:
        return SimpleNamespace(total=80, used=1, free=79)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: Gpu) -> Any:
        gpu.reads += 1
        return _given(gpu.energy_mj)

    def nvmlDeviceGetMigMode(self, gpu: Gpu) -> list[int]:
        if gpu.sliced is None:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return [gpu.sliced, gpu.sliced]


def _given(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


class Machine:
    """A started tracker, and what it gives from one flush to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self.capture = Capture()
        self.tracker = cast(Any, offline_tracker(self.capture))
        self.tracker.watch = CounterWatch(lambda: self.now)
        self.tracker.start()
        self._before = self._totals()
        self._told = len(self.tracker.failures)

    def _totals(self) -> dict[str, float]:
        assert self.tracker.flush() is not None
        total = self.capture.total
        return {name: getattr(total, f"{name}_energy") * 3.6e6 for name in ("cpu", "ram", "gpu")}

    def flush(self, seconds: float = 0.1) -> dict[str, float]:
        """Joules by component since the last flush, `seconds` later by the watch's clock."""
        self.now += seconds
        before, self._before = self._before, self._totals()
        return {name: self._before[name] - before[name] for name in before}

    def failures(self) -> list[str]:
        """What was found wrong since it was asked last."""
        told, self._told = self._told, len(self.tracker.failures)
        return list(self.tracker.failures[told:])

    def gpu(self) -> Component:
        return components_of(self.tracker)["gpu"]

    def domains(self) -> list[str]:
        """The counters in the GPUs' figure."""
        found: list[str] = description_of(self.tracker)["components"]["gpu"]["domains"]
        return found


Install = Callable[..., list[Gpu]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts GPUs into the machine."""
    from codecarbon.core import gpu, gpu_nvidia, hardware_cache

    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(variable, raising=False)

    def install(*gpus: Gpu) -> list[Gpu]:
        monkeypatch.setattr(gpu_nvidia, "pynvml", Nvml(*gpus))
        monkeypatch.setattr(gpu, "PYNVML_AVAILABLE", True)
        monkeypatch.setattr(gpu, "AMDSMI_AVAILABLE", False)
        monkeypatch.setattr(gpu, "is_nvidia_system", lambda: True)
        monkeypatch.setattr(gpu, "is_rocm_system", lambda: False)
        return list(gpus)

    cast(Any, hardware_cache).clear_cache()
    yield install
    cast(Any, hardware_cache).clear_cache()


@pytest.fixture
def start() -> Iterator[Callable[[], Machine]]:
    """Starts a tracker; all are stopped in the end."""
    made: list[Machine] = []

    def start() -> Machine:
        made.append(Machine())
        return made[-1]

    yield start
    for machine in made:
        machine.tracker.stop()


Start = Callable[[], Machine]


def test_the_counters_of_two_gpus_are_read_at_every_flush(install: Install, start: Start) -> None:
    first, second = install(Gpu(0), Gpu(1))
    machine = start()
    for joules in (400.0, 3.0, 0.25):  # at once: codecarbon's own flush keeps a figure for 50 ms
        first.run(joules)
        second.run(joules)
        reads = first.reads
        assert machine.flush(1.0)["gpu"] == pytest.approx(2 * joules, rel=1e-4)
        assert first.reads == reads + 1
    assert machine.failures() == []
    assert machine.gpu().provenance == "counter"
    assert machine.domains() == ["GPU 0", "GPU 1"]
    assert machine.gpu().tdp_w is None


@pytest.mark.parametrize("before_mj", [5_000_000_000, 2**32 - 1000])
def test_a_counter_that_goes_back_is_replaced_by_power_from_then_on(
    install: Install, start: Start, before_mj: int
) -> None:
    """A driver reload, or a counter of 32 bits that wraps: codecarbon takes power x time."""
    (gpu,) = install(Gpu(0))
    gpu.energy_mj = before_mj
    machine = start()
    gpu.run(0.5)
    machine.flush()
    assert machine.gpu().provenance == "counter"
    time.sleep(0.03)
    gpu.energy_mj = 7000
    found = machine.flush()
    watts_of_ram = components_of(machine.tracker)["ram"].tdp_w
    assert watts_of_ram is not None
    assert found["gpu"] / found["ram"] == pytest.approx(300 / watts_of_ram, rel=0.2)
    assert machine.gpu().provenance == "integrated_power"
    gpu.run(11.0)
    assert machine.flush()["gpu"] == pytest.approx(11.0, rel=1e-4)  # the counter again
    assert machine.gpu().provenance == "integrated_power"  # a phase may hold both: the weaker
    assert machine.failures() == []


@pytest.mark.parametrize("stuck_mj", [0, 123_456])
def test_a_counter_that_never_moves_is_no_measurement(
    install: Install, start: Start, stuck_mj: int
) -> None:
    first, second = install(Gpu(0), Gpu(1))
    first.energy_mj = stuck_mj
    machine = start()
    second.run(9.0)
    assert machine.flush(0.01)["gpu"] == pytest.approx(9.0, rel=1e-4)  # one of them only
    assert machine.gpu().provenance == "failed"
    assert "GPU 0 has not moved" in machine.gpu().detail


def test_a_counter_that_stops_is_told(install: Install, start: Start) -> None:
    first, second = install(Gpu(0), Gpu(1))
    machine = start()
    first.run(5.0)
    for _ in range(3):
        second.run(5.0)
        machine.flush(0.9)
    assert machine.failures() == []
    second.run(5.0)
    machine.flush(0.9)
    assert [line.partition(" has stood still")[0] for line in machine.failures()] == ["gpu: GPU 0"]


def test_a_jump_is_no_energy(install: Install, start: Start) -> None:
    (gpu,) = install(Gpu(0))
    machine = start()
    gpu.run(90_000.0)
    machine.flush()
    (fault,) = machine.failures()
    assert fault.startswith("gpu: GPU 0 moved by 90000 J")


def test_without_a_counter_power_is_sampled(install: Install, start: Start) -> None:
    (gpu,) = install(Gpu(0))
    gpu.energy_mj = pynvml.NVMLError(NOT_SUPPORTED)
    machine = start()
    machine.flush()
    gpu.power_mw = 200_000
    machine.tracker._monitor_power()  # as the timer does every second
    gpu.power_mw = 100_000
    machine.tracker._monitor_power()
    time.sleep(0.03)
    found = machine.flush()
    watts_of_ram = components_of(machine.tracker)["ram"].tdp_w
    assert watts_of_ram is not None
    assert found["gpu"] / found["ram"] == pytest.approx(150 / watts_of_ram, rel=0.2)
    assert machine.gpu().provenance == "integrated_power"
    assert machine.failures() == []


def test_neither_energy_nor_power_fails(install: Install, start: Start) -> None:
    (gpu,) = install(Gpu(0))
    gpu.energy_mj = gpu.power_mw = pynvml.NVMLError(NOT_SUPPORTED)
    machine = start()
    found = machine.flush()
    assert found["gpu"] == 0.0
    assert found["ram"] > 0
    assert machine.gpu().provenance == "failed"
    assert components_of(machine.tracker)["cpu"].provenance != "failed"


def test_no_watts_and_no_counter_fail(install: Install, start: Start) -> None:
    (gpu,) = install(Gpu(0))
    gpu.energy_mj, gpu.power_mw = pynvml.NVMLError(NOT_SUPPORTED), 0
    machine = start()
    machine.flush()
    assert "gpu: GPU 0 shows 0 W and no energy" in machine.failures()


def test_a_gpu_that_is_lost_midway_and_comes_back(install: Install, start: Start) -> None:
    (gpu,) = install(Gpu(0))
    machine = start()
    gpu.run(5.0)
    machine.flush()
    gpu.lose()
    assert machine.flush()["gpu"] == 0.0
    assert machine.failures() == ["gpu: neither energy nor power of GPU 0 could be read"]
    assert machine.gpu().provenance == "failed"
    gpu.energy_mj, gpu.power_mw = 1_090_000, 300_000
    machine.flush()  # holds what was drawn while it was away, so it is not this interval's
    assert len(machine.failures()) == 1
    gpu.run(6.0)
    assert machine.flush()["gpu"] == pytest.approx(6.0, rel=1e-4)
    assert machine.failures() == []
    assert machine.gpu().provenance == "integrated_power"


def test_an_error_that_codecarbon_swallows(install: Install, start: Start) -> None:
    """It makes 0 J of an error that is not NVML's, and counts the time twice when it is over."""
    (gpu,) = install(Gpu(0))
    machine = start()
    gpu.run(5.0)
    machine.flush()
    kept, gpu.energy_mj = gpu.energy_mj, OSError("no such device")
    machine.flush()
    assert machine.failures() == ["gpu: GPU 0 could not be read"]
    gpu.energy_mj = kept
    gpu.run(50.0)
    machine.flush()
    assert machine.failures() == ["gpu: GPU 0 could not be read"]
    gpu.run(2.0)
    assert machine.flush()["gpu"] == pytest.approx(2.0, rel=1e-4)
    assert machine.failures() == []


def test_a_gpu_that_is_dead_at_the_start_leaves_the_rest(install: Install, start: Start) -> None:
    """codecarbon's start would end there, and the processor's energy with it."""
    (gpu,) = install(Gpu(0))
    gpu.name = cast(str, pynvml.NVMLError(LOST))
    machine = start()
    found = machine.flush()
    assert found["cpu"] > 0
    assert found["ram"] > 0
    components = components_of(machine.tracker)
    assert components["gpu"].provenance == "failed"
    assert "GPU is lost" in components["gpu"].detail
    assert components["cpu"].provenance != "failed"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2]),
        ("0,1,2", [0, 1, 2]),
        ("2", [2]),
        ("2,0", [0, 2]),
        ("1,-1,0", [1]),
        ("1,7,0", [1]),  # CUDA's list ends at the first that is not there
        ("GPU-1a2b3c4d-0000", [1]),
        ("GPU-2a", [2]),
        ("GPU-2a,GPU-0a", [0, 2]),
        ("", None),
        ("-1", None),
        ("7", "no GPU fits"),
        ("GPU-", "no GPU fits"),  # fits them all
        ("GPU-9a", "no GPU fits"),
        ("MIG-8a2b3c4d-0000", "MIG"),
        ("MIG-GPU-1a2b3c4d-0000/1/0", "MIG"),
    ],
)
def test_only_the_visible_gpus_are_read(
    install: Install,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    expected: list[int] | str | None,
) -> None:
    gpus = install(Gpu(0), Gpu(1), Gpu(2))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = start()
    reads = [gpu.reads for gpu in gpus]
    for gpu in gpus:
        gpu.run(10.0 + gpu.index)
    found = machine.flush()
    read = [gpu.index for gpu in gpus if gpu.reads > reads[gpu.index]]
    components = components_of(machine.tracker)
    if isinstance(expected, list):
        assert read == expected
        assert found["gpu"] == pytest.approx(sum(10.0 + index for index in expected), rel=1e-4)
        assert components["gpu"].provenance == "counter"
    else:
        assert read == []
        assert found["gpu"] == 0.0
        if expected is None:
            assert "gpu" not in components
        else:
            assert components["gpu"].provenance == "failed"
            assert expected in components["gpu"].detail
    assert machine.failures() == []


def test_a_gpu_of_somebody_else_may_break(
    install: Install, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    mine, other = install(Gpu(0), Gpu(1))
    machine = start()
    mine.run(10.0)
    other.energy_mj = other.power_mw = OSError("gone")
    assert machine.flush()["gpu"] == pytest.approx(10.0, rel=1e-4)
    assert machine.gpu().provenance == "counter"
    assert machine.failures() == []


@pytest.mark.parametrize(
    ("sliced", "provenance"), [(None, "counter"), (0, "counter"), (1, "failed")]
)
def test_a_gpu_that_is_divided(
    install: Install, start: Start, sliced: int | None, provenance: str
) -> None:
    (gpu,) = install(Gpu(0))
    gpu.sliced = sliced
    machine = start()
    gpu.run(10.0)
    machine.flush()
    assert machine.gpu().provenance == provenance
    assert ("MIG" in machine.gpu().detail) == (provenance == "failed")


@pytest.mark.parametrize(
    ("visible", "order", "provenance"),
    [
        ("1", "", "failed"),
        ("1", "PCI_BUS_ID", "counter"),
        ("GPU-1a", "", "counter"),
        ("0,1", "", "counter"),
    ],
)
def test_numbers_of_unlike_gpus_need_an_order(
    install: Install,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    order: str,
    provenance: str,
) -> None:
    """CUDA numbers the fastest first, NVML by slot: number 1 need not be the same GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if order:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    gpus = install(Gpu(0, "T4"), Gpu(1, "H100"))
    machine = start()
    for gpu in gpus:
        gpu.run(10.0)
    machine.flush()
    assert machine.gpu().provenance == provenance
    if provenance == "failed":
        assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in machine.gpu().detail


def test_a_phase_holds_what_the_counter_moved_between_its_ends(install: Install) -> None:
    """Through the meter; a phase in which the counter went back says that power was sampled."""
    (gpu,) = install(Gpu(0))

    class Moving(Capture):
        def __init__(self, capture: Capture) -> None:
            super().__init__()
            self.inner = capture

        def out(self, total: Any, delta: Any) -> None:
            self.inner.out(total, delta)
            gpu.run(0.5)  # a GPU never stops

    with Meter(tracker_factory=lambda capture: offline_tracker(Moving(capture))) as meter:
        with meter.phase("work") as work:
            gpu.run(60.0)
        with meter.phase("reset") as reset:
            gpu.energy_mj = 0
        with meter.phase("lost") as lost:
            gpu.lose()
            time.sleep(0.01)
            gpu.energy_mj = 0
        described = meter.describe()
    part = work.result.components["gpu"]
    assert part.provenance == "counter"
    assert part.energy_j == pytest.approx(60.5, rel=1e-3)
    part = reset.result.components["gpu"]
    assert part.provenance == "integrated_power"
    assert part.energy_j is not None
    assert 0 < part.energy_j < 60
    part = lost.result.components["gpu"]
    assert (part.provenance, part.energy_j) == ("failed", None)
    assert part.detail
    assert described["components"]["gpu"]["domains"] == ["GPU 0"]
    assert described["gpus"] == ["A100"]
    assert described["gpu_power_caps_w"] == [400.0]
