"""How each component is known, with its rated power and where that is from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from wattune.measure.record import Energy
from wattune.measure.sources import components as components_module
from wattune.measure.sources.components import Component, components_of, description_of
from wattune.measure.sources.counters import CounterWatch
from wattune.measure.sources.tracker import Capture, offline_tracker

Start = Callable[..., Any]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a tracker on a machine without counters or GPUs, with the processor and the number
    of sockets that the machine is to show."""
    from codecarbon import emissions_tracker
    from codecarbon.core import cpu, gpu, hardware_cache
    from codecarbon.external import hardware

    made: list[Any] = []

    def start(model: str, sockets: int = 1) -> Any:
        for module in (cpu, hardware):
            monkeypatch.setattr(module, "detect_cpu_model", lambda: model)
        monkeypatch.setattr(emissions_tracker, "count_physical_cpus", lambda: sockets)
        monkeypatch.setattr(cpu, "is_rapl_available", lambda: False)
        monkeypatch.setattr(gpu, "is_nvidia_system", lambda: False)
        monkeypatch.setattr(gpu, "is_rocm_system", lambda: False)
        made.append(offline_tracker(Capture()))
        made[-1].start()
        return made[-1]

    monkeypatch.setattr(components_module, "virtual_machine", lambda: False)
    cast(Any, hardware_cache).clear_cache()
    yield start
    for tracker in made:
        tracker.stop()
    cast(Any, hardware_cache).clear_cache()


def test_a_processor_of_the_list(start: Start) -> None:
    cpu = components_of(start("AMD EPYC 7742"))["cpu"]
    assert cpu.provenance == "modelled_load"
    assert cpu.tdp_w == 225.0  # AMD's data sheet, and codecarbon's list
    assert cpu.tdp_source == "rated TDP from codecarbon's list"
    assert f"225 W ({cpu.tdp_source})" in cpu.detail


def test_a_listed_processor_in_two_sockets(start: Start) -> None:
    cpu = components_of(start("AMD EPYC 7742", sockets=2))["cpu"]
    assert cpu.tdp_w == 450.0
    assert cpu.tdp_source == "rated TDP from codecarbon's list x 2 sockets"


def test_a_listed_processor_in_a_virtual_machine(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = start("AMD EPYC 7742")
    monkeypatch.setattr(components_module, "virtual_machine", lambda: True)
    assert "the host's whole processor" in (components_of(tracker)["cpu"].tdp_source or "")
    assert description_of(tracker)["virtual_machine"] is True


@pytest.mark.parametrize("sockets", [1, 16])
def test_an_unlisted_processor_is_guessed_by_its_threads(start: Start, sockets: int) -> None:
    """codecarbon multiplies by the sockets once more; QEMU shows one for each thread."""
    cpu = components_of(start("Nobody's Processor", sockets=sockets))["cpu"]
    assert cpu.tdp_w == 4.0 * (psutil.cpu_count() or 0)
    assert cpu.tdp_source == "fallback TDP of an unlisted processor, 4 W a thread"


def test_an_unknown_processor(start: Start) -> None:
    for tracker in (start(""), start("")):  # the second is built from codecarbon's cache
        cpu = components_of(tracker)["cpu"]
        assert cpu.tdp_w == 85.0
        assert cpu.tdp_source == "fallback TDP of an unknown processor"


def test_memory_is_a_constant_with_its_watts(start: Start) -> None:
    tracker = start("AMD EPYC 7742")
    ram = components_of(tracker)["ram"]
    (part,) = [part for part in tracker._hardware if type(part).__name__ == "RAM"]
    assert ram.provenance == "constant"
    assert ram.tdp_w == pytest.approx(part.total_power().W)
    assert "size of the machine's memory" in (ram.tdp_source or "")


def test_the_description_is_plain_json(start: Start) -> None:
    described = description_of(start("AMD EPYC 7742"))
    assert json.loads(json.dumps(described)) == described
    assert described["components"]["cpu"] == {
        "mode": "cpu_load",
        "tdp_w": 225.0,
        "tdp_source": "rated TDP from codecarbon's list",
        "domains": [],
    }
    assert described["components"]["ram"]["mode"] == "constant"
    assert set(described["components"]) == {"cpu", "ram"}
    assert described["cpu"] == "AMD EPYC 7742"
    assert (described["cpu_mode"], described["cpu_tdp_w"]) == ("cpu_load", 225.0)
    assert described["ram_model"].endswith("constant")
    assert described["gpus"] == []


def test_this_very_machine() -> None:
    """Whatever it has: each component says how it is known, and what a model is fed with."""
    tracker = cast(Any, offline_tracker(Capture()))
    tracker.start()
    try:
        tracker.flush()
        found, described = components_of(tracker), description_of(tracker)
    finally:
        tracker.stop()
    assert "cpu" in found
    assert set(described["components"]) == set(found)
    for component in found.values():
        assert component.detail
        assert (component.tdp_w is None) == (component.tdp_source is None)
        modelled = component.provenance in ("modelled_load", "constant")
        assert (component.tdp_w is not None) == modelled
        Energy(energy_j=None, provenance=component.provenance, tdp_w=component.tdp_w)


@pytest.mark.parametrize("mode", ["intel_power_gadget", "windows_emi", "constant"])
def test_other_ways_of_reading_a_processor(mode: str) -> None:
    """Those of Windows and macOS, by the shape of codecarbon's object."""
    part = type("CPU", (), {"_mode": mode, "_model": "AMD EPYC 7742", "_tdp": 225})()
    tracker = SimpleNamespace(_hardware=[part], _conf={"cpu_physical_count": 1})
    cpu = components_of(tracker)["cpu"]
    expected = {
        "intel_power_gadget": "integrated_power",
        "windows_emi": "counter",
        "constant": "constant",
    }
    assert cpu.provenance == expected[mode]
    assert cpu.tdp_w == (225.0 if mode == "constant" else None)
    described = description_of(tracker)["components"]
    assert described["cpu"]["mode"] == mode
    assert described["cpu"]["domains"] == (["package"] if mode == "windows_emi" else [])
    assert described["ram"] == {"mode": "", "tdp_w": None, "tdp_source": None, "domains": []}


def test_what_is_refused_is_failed_with_its_reason() -> None:
    watch = CounterWatch()
    watch.refused["gpu"] = "nobody may read it"
    found = components_of(SimpleNamespace(_hardware=[], watch=watch))
    assert found["gpu"] == Component("failed", "nobody may read it")
    assert found["cpu"].provenance == found["ram"].provenance == "failed"


def test_when_nothing_can_be_set_up_the_start_fails(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecarbon.core.resource_tracker import ResourceTracker

    def broken(self: object) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(ResourceTracker, "set_RAM_tracking", broken)
    assert start("AMD EPYC 7742").flush() is None
