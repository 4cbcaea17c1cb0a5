"""How the energy of each component is known: read from codecarbon's hardware objects.

The classes are told apart by name, as codecarbon's own cache does, so that reading them imports
nothing. Tried against codecarbon 3.3.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

from .record import Provenance

COUNTER_MODES = {"intel_rapl": "RAPL", "windows_emi": "Windows Energy Meter"}
GENERIC_CPU_W = 85.0
"""What codecarbon takes for a processor about which it knows nothing at all."""

WATTS_PER_UNKNOWN_THREAD = 4.0
"""What codecarbon takes for each thread of a processor that is not in its list."""


class Component(NamedTuple):
    """Where a component's energy comes from, and the particulars in words."""

    provenance: Provenance
    detail: str


def components_of(tracker: Any) -> dict[str, Component]:
    """The metered components of a started tracker: ``cpu``, ``ram`` and, where there, ``gpu``."""
    found: dict[str, Component] = {}
    for part in getattr(tracker, "_hardware", ()):
        kind = type(part).__name__
        if kind == "CPU":
            found["cpu"] = _cpu(part)
        elif kind == "RAM":
            watts = part.total_power().W
            found["ram"] = Component(
                "constant", f"{watts:g} W by the size of the machine's memory, in use or not"
            )
        elif kind == "GPU":
            gpu = _gpu(part)
            if gpu:
                found["gpu"] = gpu
        elif kind in ("Raspberry", "AppleSiliconChip"):
            name = str(part.chip_part).lower()
            found[name] = Component("integrated_power", f"{part._model}, power sampled over time")
    for name in ("cpu", "ram"):
        found.setdefault(name, Component("failed", "codecarbon found no way to measure it"))
    if "gpu" not in found and cuda_in_use():
        found["gpu"] = Component("failed", "CUDA is in use, but no GPU's energy can be read")
    return found


def description_of(tracker: Any) -> dict[str, Any]:
    """The metered hardware in plain JSON: names, modes, rated power in watts."""
    described: dict[str, Any] = {}
    for part in getattr(tracker, "_hardware", ()):
        kind = type(part).__name__
        if kind == "CPU":
            described["cpu"] = part._model
            described["cpu_mode"] = part._mode
            if part._mode in ("cpu_load", "constant"):
                described["cpu_tdp_w"] = float(part._tdp)
                described["cpu_tdp_source"] = _tdp_source(part)
        elif kind == "RAM":
            described["ram_model"] = f"{part.total_power().W:g} W, constant"
        elif kind == "GPU":
            described["gpus"] = [device._gpu_name for device in _devices(part)]
        elif kind in ("Raspberry", "AppleSiliconChip"):
            described[str(part.chip_part).lower()] = part._model
    described.setdefault("gpus", [])
    return described


def cuda_in_use() -> bool:
    """Whether torch is imported and has initialised CUDA; imports and initialises nothing."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and cuda.is_initialized())


def _cpu(part: Any) -> Component:
    model = part._model or "unknown processor"
    if part._mode in COUNTER_MODES:
        return Component("counter", f"{COUNTER_MODES[part._mode]} counters of the {model}")
    if part._mode == "cpu_load":
        power = f"{part._tdp:g} W ({_tdp_source(part)}) x (0.1 + 0.9 x load^3), whole machine"
        return Component("modelled_load", f"{model}: {power}")
    if part._mode == "constant":
        return Component("constant", f"{model}: half of {part._tdp:g} W ({_tdp_source(part)})")
    return Component("integrated_power", f"{model}: {part._mode} power sampled over time")


def _tdp_source(part: Any) -> str:
    """Where a processor's rated power is from: codecarbon's list, or one of its two guesses.

    The hardware object does not say, so its list is asked again.
    """
    generic = bool(getattr(part, "_is_generic_tdp", False))
    if not generic and part._model and _listed(part._model):
        return "rated TDP from codecarbon's list"
    if generic or part._tdp == GENERIC_CPU_W:
        return "fallback TDP of an unknown processor"
    return f"fallback TDP of an unlisted processor, {WATTS_PER_UNKNOWN_THREAD:g} W a thread"


@functools.cache
def _listed(model: str) -> bool:
    """Whether codecarbon's list has the processor: a fuzzy search (24 ms), so it is kept."""
    from codecarbon.core import cpu
    from codecarbon.core.hardware_cache import get_cached_tdp

    known: Any = get_cached_tdp(cpu)  # type: ignore[no-untyped-call]
    return known._get_cpu_power_from_registry(model) is not None


def _devices(part: Any) -> list[Any]:
    metered = set(part._get_gpu_ids())
    return [device for device in part.devices.devices if device.gpu_index in metered]


def _gpu(part: Any) -> Component | None:
    devices = _devices(part)
    if not devices:
        asked = part.gpu_ids
        if part.num_gpus and asked is not None:
            return Component("failed", "none of the visible GPUs can be read (a MIG slice cannot)")
        return None
    names = ", ".join(f"{device.gpu_index}: {device._gpu_name}" for device in devices)
    if any(device._warned_power_failure for device in devices):
        return Component("failed", f"neither energy nor power of GPU {names} can be read")
    if any(device._use_power_fallback for device in devices):
        return Component("integrated_power", f"power of GPU {names} sampled every second")
    return Component("counter", f"energy counter of GPU {names}, the whole device")
