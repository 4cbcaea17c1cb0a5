"""How the energy of each component is known: read from codecarbon's hardware objects.

The classes are told apart by name, as codecarbon's own cache does, so that reading them imports
nothing. Tried against codecarbon 3.3.

What a processor's counter covers (RAPL on Linux): codecarbon adds up the package domains, one a
socket. Cores, uncore and memory (dram) are left out even where they can be read, so nothing is
counted twice and memory stays a constant beside it; AMD has no dram domain. Only where no package
can be read it takes psys, the whole platform, memory included (MSR_PLATFORM_ENERGY_COUNTER in
Intel's Software Developer's Manual, volume 4): then there is no `ram` of its own here.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ..record import Provenance
from .counters import domain, rapl_interfaces

GENERIC_CPU_W = 85.0
"""What codecarbon takes for a processor about which it knows nothing at all."""

WATTS_PER_UNKNOWN_THREAD = 4.0
"""What codecarbon takes for each thread of a processor that is not in its list."""

RAM_SOURCE = "codecarbon's estimate from the size of the machine's memory"


class Component(NamedTuple):
    """Where a component's energy comes from, and the particulars in words.

    `tdp_w` is the rated or assumed power a model is fed with, in watts, and `tdp_source` where it
    is from; both None where no such power is used.
    """

    provenance: Provenance
    detail: str
    tdp_w: float | None = None
    tdp_source: str | None = None


def components_of(tracker: Any) -> dict[str, Component]:
    """The metered components of a started tracker: ``cpu``, ``ram`` and, where there, ``gpu``.

    ``ram`` is missing where the processor's counter covers it. Of a counter that failed once and
    was replaced by sampled power, the weaker is told for as long as the tracker runs.
    """
    watch = getattr(tracker, "watch", None)
    hardware = list(getattr(tracker, "_hardware", ()))
    found: dict[str, Component] = {}
    for part in hardware:
        kind = type(part).__name__
        if kind == "CPU":
            found["cpu"] = _cpu(part, getattr(tracker, "_conf", {}).get("cpu_physical_count", 1))
        elif kind == "RAM":
            watts = _ram_watts(part)
            detail = f"{watts:g} W by the size of the machine's memory, in use or not"
            found["ram"] = Component("constant", detail, watts, RAM_SOURCE)
        elif kind == "GPU":
            gpu = _gpu(part, sampled=watch is not None and "gpu" in watch.sampled)
            if gpu:
                found["gpu"] = gpu
        elif kind in ("Raspberry", "AppleSiliconChip"):
            name = str(part.chip_part).lower()
            detail = f"{part._model}, power sampled over time"
            found[name] = Component("integrated_power", detail)
    if watch is not None:
        for name, component in found.items():
            unmoved = watch.unmoved(name) if component.provenance == "counter" else ""
            if unmoved:
                detail = f"the energy counter of {unmoved} has not moved since the tracker's start"
                found[name] = Component("failed", detail)
        for name, reason in watch.refused.items():
            found[name] = Component("failed", reason)
    for name in ("cpu", "ram"):
        found.setdefault(name, Component("failed", "codecarbon found no way to measure it"))
    if any("psys" in domains_of(part) for part in hardware):
        del found["ram"]
    if "gpu" not in found and cuda_in_use():
        found["gpu"] = Component("failed", "CUDA is in use, but no GPU's energy can be read")
    return found


def _ram_watts(part: Any) -> float:
    """A constant, so it is worked out once and kept on the part: it is asked at every reading."""
    if not hasattr(part, "constant_w"):
        part.constant_w = float(part.total_power().W)
    return float(part.constant_w)


def description_of(tracker: Any) -> dict[str, Any]:
    """The metered hardware in plain JSON: names, modes, rated power and power caps in watts.

    ``components`` holds for each component its mode, its rated power with source, and the
    counters that are in its figure.
    """
    described: dict[str, Any] = {"gpus": [], "virtual_machine": virtual_machine()}
    modes: dict[str, tuple[str, list[str]]] = {}
    for part in getattr(tracker, "_hardware", ()):
        kind = type(part).__name__
        if kind == "CPU":
            described["cpu"] = part._model
            described["cpu_mode"] = part._mode
            if part._mode in ("cpu_load", "constant"):
                described["cpu_tdp_w"] = float(part._tdp)
                described["cpu_tdp_source"] = _tdp_source(part)
            modes["cpu"] = (part._mode, domains_of(part))
        elif kind == "RAM":
            described["ram_model"] = f"{_ram_watts(part):g} W, constant"
            modes["ram"] = ("constant", [])
        elif kind == "GPU":
            described["gpus"] = [device._gpu_name for device in _devices(part)]
            caps = [getattr(device, "_power_limit", None) for device in _devices(part)]
            described["gpu_power_caps_w"] = [None if cap is None else float(cap) for cap in caps]
            modes["gpu"] = ("nvml or amdsmi", domains_of(part))
        elif kind in ("Raspberry", "AppleSiliconChip"):
            name = str(part.chip_part).lower()
            described[name] = part._model
            modes[name] = ("pmic" if kind == "Raspberry" else "powermetrics", [])
    described["components"] = {
        name: {
            "mode": modes.get(name, ("", []))[0],
            "tdp_w": component.tdp_w,
            "tdp_source": component.tdp_source,
            "domains": modes.get(name, ("", []))[1],
        }
        for name, component in components_of(tracker).items()
    }
    return described


def domains_of(part: Any) -> list[str]:
    """The counters that are in a part's figure; none where there is no counter."""
    if type(part).__name__ == "GPU":
        return [f"GPU {device.gpu_index}" for device in _devices(part)]
    if getattr(part, "_mode", "") == "windows_emi":
        return ["package"]
    # Only what codecarbon names so is added up; of other domains it makes 0 J.
    return [
        domain(file.path)
        for interface in rapl_interfaces([part])
        for file in interface._rapl_files
        if file.name.startswith("Processor Energy")
    ]


def cuda_in_use() -> bool:
    """Whether torch is imported and has initialised CUDA; imports and initialises nothing."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and cuda.is_initialized())


@functools.cache
def virtual_machine() -> bool:
    """Whether Linux says that it runs under a hypervisor (x86); False where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and " hypervisor" in line for line in lines)


def mend_tdp(part: Any) -> None:
    """Take the sockets out of a guessed power of all threads.

    codecarbon multiplies 4 W x all threads by the number of sockets, which many hypervisors show
    as one for each thread: 32 threads would be rated 4096 W.
    """
    if type(part).__name__ == "CPU" and part._mode in ("cpu_load", "constant"):
        guess = WATTS_PER_UNKNOWN_THREAD * part._cpu_count
        if part._tdp > guess and part._tdp % guess == 0 and _listed_w(part._model) is None:
            part._tdp = guess


def _cpu(part: Any, sockets: int) -> Component:
    model = part._model or "unknown processor"
    if part._mode in ("intel_rapl", "windows_emi"):
        return _counters(part, model, sockets)
    if part._mode not in ("cpu_load", "constant"):
        return Component("integrated_power", f"{model}: {part._mode} power sampled over time")
    watts, source = float(part._tdp), _tdp_source(part)
    if part._mode == "constant":
        return Component("constant", f"{model}: half of {watts:g} W ({source})", watts, source)
    power = f"{watts:g} W ({source}) x (0.1 + 0.9 x load^3), whole machine"
    return Component("modelled_load", f"{model}: {power}", watts, source)


def _counters(part: Any, model: str, sockets: int) -> Component:
    domains = domains_of(part)
    if not domains:
        return Component("failed", "no RAPL counter of a processor package can be read")
    packages = [name for name in domains if name.startswith("package-") and "-die-" not in name]
    if 0 < len(packages) < sockets:
        return Component("failed", f"RAPL can be read on {len(packages)} of {sockets} sockets only")
    reader = "RAPL" if part._mode == "intel_rapl" else "Windows Energy Meter"
    covers = "the whole platform" if "psys" in domains else "memory is not in them"
    guest = ", as the virtual machine shows them" if virtual_machine() else ""
    detail = f"{reader} counters of the {model}{guest}: {', '.join(domains)}; {covers}"
    return Component("counter", detail)


def _tdp_source(part: Any) -> str:
    """Where a processor's rated power is from: codecarbon's list, or one of its two guesses.

    The hardware object does not say, so its list is asked again. In a virtual machine the rated
    power is of the host's whole processor, of which the guest may have a few threads.
    """
    generic = bool(getattr(part, "_is_generic_tdp", False))
    listed_w = None if generic else _listed_w(part._model)
    if listed_w:
        sockets = round(part._tdp / listed_w)
        several = f" x {sockets} sockets" if sockets > 1 else ""
        whole = ", of the host's whole processor" if virtual_machine() else ""
        return f"rated TDP from codecarbon's list{several}{whole}"
    if generic or part._tdp == GENERIC_CPU_W:
        return "fallback TDP of an unknown processor"
    return f"fallback TDP of an unlisted processor, {WATTS_PER_UNKNOWN_THREAD:g} W a thread"


@functools.cache
def _listed_w(model: str | None) -> float | None:
    """A processor's rated power in codecarbon's list: a fuzzy search (24 ms), so it is kept."""
    from codecarbon.core import cpu
    from codecarbon.core.hardware_cache import get_cached_tdp

    if not model:
        return None
    known: Any = get_cached_tdp(cpu)  # type: ignore[no-untyped-call]
    watts: float | None = known._get_cpu_power_from_registry(model)
    return watts


def _devices(part: Any) -> list[Any]:
    metered = set(part._get_gpu_ids())
    return [device for device in part.devices.devices if device.gpu_index in metered]


def _gpu(part: Any, *, sampled: bool) -> Component | None:
    devices = _devices(part)
    if not devices:
        asked = part.gpu_ids
        if part.num_gpus and asked is not None:
            return Component("failed", "none of the visible GPUs can be read (a MIG slice cannot)")
        return None
    names = ", ".join(f"{device.gpu_index}: {device._gpu_name}" for device in devices)
    if any(device._use_power_fallback and device._warned_power_failure for device in devices):
        return Component("failed", f"neither energy nor power of GPU {names} can be read")
    if sampled or any(device._use_power_fallback for device in devices):
        detail = f"power of GPU {names} sampled every second, some or all of the time"
        return Component("integrated_power", detail)
    return Component("counter", f"energy counter of GPU {names}, the whole device")
