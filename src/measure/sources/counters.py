"""What codecarbon makes of energy counters, checked after each of its measurements.

codecarbon 3.3 is written to carry on, so a counter that lies becomes a figure. What it does with
the counters of processors (RAPL) and of GPUs (NVML), each tried in tests/measure/test_rapl.py and
test_nvml.py, and what is made of it here:

- RAPL is lower than before: taken for a wrap, and max_energy_range_uj is added. Right for a wrap.
  A reset (suspend, driver reload) becomes up to 262 kJ out of nothing: more than a processor can
  draw is a fault.
- RAPL cannot be read, or has no max_energy_range_uj when it wraps: the interval is 0 J. A fault.
- RAPL was not read for so long that it may have wrapped unseen: a fault.
- NVML is lower than before, or cannot be read: power times time until it can be read again. The
  figure stands, as `integrated_power` from then on.
- NVML gives neither energy nor power, or 0 W and no energy: 0 J. A fault.
- A counter stands still (hypervisors show zeros): 0 J. A fault after two seconds, and no figure
  at all until it has moved for the first time.
- Anything raised within: 0 J, or an interval counted again by the next measurement. Both faults.
- A GPU by UUID is not found (codecarbon strips "G" from "GPU-..."), an empty list means all GPUs,
  all GPUs are read and the wanted ones added up: GPUs are chosen here.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

J_PER_KWH = 3.6e6
LIMIT_W = {"cpu": 1000.0, "gpu": 3000.0}
"""More than one counter can show, in watts: twice the largest rated power of a processor package
(500 W: Xeon 6980P, EPYC 9965) and of a GPU (1400 W: GB300, MI355X), rounded up; makers' data sheets
of 2024 and 2025. A reset within the last 16 kJ of the range still passes for a wrap."""

STILL_S = 2.0
"""A counter that stands still for longer is dead. RAPL moves every millisecond, NVML's every
100 ms; the RAPL that QEMU shows its guests moves once a second."""


class CounterWatch:
    """Looks at the counters after each measurement. `clock` gives seconds.

    `sampled` holds the components whose power was sampled because a counter could not be used;
    `refused` says by component why there is no figure at all.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.sampled: set[str] = set()
        self.refused: dict[str, str] = {}
        self._clock = clock
        self._checked = clock()
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}  # value, and since when
        self._moved: set[tuple[str, str]] = set()

    def unmoved(self, component: str) -> str:
        """The counters of a component that have never moved since the tracker was started."""
        still = self._seen.keys() - self._moved
        return ", ".join(sorted(name for part, name in still if part == component))

    def prepare(self, hardware: Sequence[Any]) -> None:
        """Before a measurement: a GPU's figure that is not renewed by it will be missed."""
        for device in _devices(hardware):
            device.energy_delta = None

    def faults(self, hardware: Sequence[Any]) -> list[str]:
        """After a measurement: what was wrong with it, as ``component: reason``."""
        now = self._clock()
        elapsed, self._checked = now - self._checked, now
        seen: dict[tuple[str, str], tuple[float, float]] = {}
        found = [*_rapl_faults(hardware, elapsed), *self._nvml_faults(hardware)]
        for component, name, counter in _counters(hardware):
            joules = counter.energy_delta.kWh * J_PER_KWH
            # A second more, for the two clocks are not read at once.
            if joules > LIMIT_W[component] * (elapsed + 1.0):
                moved = f"moved by {joules:.0f} J in {elapsed:.3g} s"
                found.append(f"{component}: {name} {moved}: it was reset")
            key, value = (component, name), counter.last_energy.kWh
            before, since = self._seen.get(key, (value, now))
            if value != before:
                self._moved.add(key)
                since = now
            elif now - since > STILL_S:
                found.append(f"{component}: {name} has stood still for {now - since:.3g} s")
            seen[key] = (value, since)
        self._seen = seen  # of the counters that are still read
        return found

    def _nvml_faults(self, hardware: Sequence[Any]) -> Iterator[str]:
        for device in _devices(hardware):
            name = f"GPU {device.gpu_index}"
            if device.energy_delta is None:
                yield f"gpu: {name} could not be read"
            elif device._use_power_fallback:
                self.sampled.add("gpu")
                if device._warned_power_failure:
                    yield f"gpu: neither energy nor power of {name} could be read"
                elif device.power.kW == 0 and not device._reports_zero_power_by_design():
                    yield f"gpu: {name} shows 0 W and no energy"


def _rapl_faults(hardware: Sequence[Any], elapsed: float) -> Iterator[str]:
    for interface in rapl_interfaces(hardware):
        if interface._rapl_files and not interface._cpu_details:
            yield "cpu: RAPL could not be read"
        for file in interface._rapl_files:
            wraps_j = file.max_energy_reading.kWh * J_PER_KWH
            if file.sample_skipped:
                yield f"cpu: the energy counter of {domain(file.path)} could not be read"
            elif 0 < wraps_j < LIMIT_W["cpu"] * elapsed:
                passed = f"{domain(file.path)} was not read for {elapsed:.0f} s"
                yield f"cpu: {passed} and may have wrapped unseen"


def _counters(hardware: Sequence[Any]) -> Iterator[tuple[str, str, Any]]:
    """The energy counters that gave a figure: component, name, codecarbon's object."""
    for interface in rapl_interfaces(hardware):
        for file in interface._rapl_files:
            if not file.sample_skipped:
                yield "cpu", domain(file.path), file
    for device in _devices(hardware):
        idle = device._reports_zero_power_by_design()
        if device.energy_delta is not None and not device._use_power_fallback and not idle:
            yield "gpu", f"GPU {device.gpu_index}", device


def rapl_interfaces(hardware: Sequence[Any]) -> list[Any]:
    """codecarbon's RAPL readers among the hardware: one, or none."""
    return [
        part._intel_interface for part in hardware if getattr(part, "_mode", "") == "intel_rapl"
    ]


@functools.cache
def domain(energy_file: str) -> str:
    """What a RAPL counter covers: package-0, psys, dram; its folder's name where it has none."""
    folder = Path(energy_file).parent
    try:
        return (folder / "name").read_text(encoding="utf-8").strip() or folder.name
    except OSError:
        return folder.name


def choose_gpus(part: Any, visible: Sequence[str] | None) -> str:
    """Leave in codecarbon's `GPU` only the devices that are visible (None: all of them).

    As in CUDA, the list ends at the first name that fits no device. Returns why their energy
    cannot be told, or "".
    """
    everyone = part.devices.devices
    chosen = everyone if visible is None else []
    for name in visible or ():
        fits = [one for one in everyone if _is_named(one, name) and one not in chosen]
        if len(fits) != 1:
            break
        chosen = [*chosen, fits[0]]
    part.devices.devices, part.devices.device_count = chosen, len(chosen)
    part.gpu_ids, part._gpu_ids_resolved = [one.gpu_index for one in chosen], True
    if any(name.startswith("MIG") for name in visible or ()) or any(map(_is_sliced, chosen)):
        return "the energy of a MIG slice cannot be told from the rest of its GPU"
    if not chosen:
        return f"no GPU fits the visible ones ({', '.join(visible or ())})"
    partly = len(chosen) < len(everyone) and any(name.isdigit() for name in visible or ())
    alike = len({one._gpu_name for one in everyone}) == 1
    if partly and not alike and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        return (
            "the GPUs of this machine differ and CUDA numbers the fastest first: set "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID"
        )
    return ""


def _is_named(device: Any, name: str) -> bool:
    if name.isdigit():
        return bool(device.gpu_index == int(name))
    return bool(device._uuid.startswith(name))


def _is_sliced(device: Any) -> bool:
    """Whether an NVIDIA GPU is divided into slices (MIG); those that cannot be raise an error."""
    if type(device).__name__ != "NvidiaGPUDevice":
        return False
    from codecarbon.core import gpu_nvidia

    pynvml: Any = vars(gpu_nvidia)["pynvml"]
    try:
        current: int = pynvml.nvmlDeviceGetMigMode(device.handle)[0]
    except pynvml.NVMLError:
        return False
    return current == 1


def _devices(hardware: Sequence[Any]) -> list[Any]:
    return [
        device
        for part in hardware
        if type(part).__name__ == "GPU"
        for device in part.devices.devices
    ]
