"""A processor's energy counters: codecarbon reads a made-up powercap tree through our tracker.

Tried with codecarbon 3.3.2; what it does in each case stands in wattune.measure.sources.counters.
"""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from wattune.measure.meter import Meter
from wattune.measure.sources import components as components_module
from wattune.measure.sources.components import Component, components_of, description_of
from wattune.measure.sources.counters import CounterWatch
from wattune.measure.sources.energy import EnergySource
from wattune.measure.sources.tracker import Capture, offline_tracker

INTEL_RANGE_UJ = 262_143_328_850
"""max_energy_range_uj of most Intel packages: 2^32 units of 2^-14 J."""
AMD_RANGE_UJ = 65_532_610_987
"""And of AMD's: 2^32 units of 2^-16 J."""
J = 1_000_000


class Tree:
    """A powercap folder: intel-rapl/intel-rapl:0, and subzones within."""

    def __init__(self, folder: Path) -> None:
        self.base = folder / "powercap"
        (self.base / "intel-rapl").mkdir(parents=True)

    def zone(self, number: str, name: str, energy_uj: int, range_uj: int = INTEL_RANGE_UJ) -> Path:
        """`number` is "0" for a package, "0:1" for its second subzone. Returns the counter file."""
        parent = self.base / "intel-rapl"
        for depth in range(1, len(number.split(":")) + 1):
            parent = parent / f"intel-rapl:{':'.join(number.split(':')[:depth])}"
        parent.mkdir(exist_ok=True)
        (parent / "name").write_text(name + "\n")
        (parent / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (parent / "energy_uj").write_text(f"{energy_uj}\n")
        return parent / "energy_uj"


def move(counter: Path, joules: float) -> None:
    """Let a counter run on, over its range if need be."""
    limit = int((counter.parent / "max_energy_range_uj").read_text())
    counter.write_text(f"{(int(counter.read_text()) + round(joules * J)) % limit}\n")


def drop(counter: Path) -> None:
    """Make a counter unreadable, whoever asks (root may read any file)."""
    counter.unlink()
    counter.mkdir()


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
        return {n: getattr(self.capture.total, f"{n}_energy") * 3.6e6 for n in ("cpu", "ram")}

    def flush(self, seconds: float = 0.1) -> dict[str, float]:
        """Joules by component since the last flush, `seconds` later by the watch's clock."""
        self.now += seconds
        before, self._before = self._before, self._totals()
        return {name: self._before[name] - before[name] for name in before}

    def failures(self) -> list[str]:
        """What was found wrong since it was asked last."""
        told, self._told = self._told, len(self.tracker.failures)
        return list(self.tracker.failures[told:])

    def components(self) -> dict[str, Component]:
        return components_of(self.tracker)

    def domains(self) -> list[str]:
        """The counters in the processor's figure."""
        found: list[str] = description_of(self.tracker)["components"]["cpu"]["domains"]
        return found


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """An empty tree where codecarbon looks for one. This machine has one socket, bare metal."""
    from codecarbon import emissions_tracker
    from codecarbon.core import cpu, hardware_cache

    made = Tree(tmp_path)
    places = [str(made.base / "intel-rapl" / "subsystem"), str(made.base / "intel-rapl")]
    (made.base / "intel-rapl" / "subsystem").symlink_to(made.base)  # as in sysfs
    monkeypatch.setattr(cpu, "_get_candidate_bases", lambda _: [*places, str(made.base)])
    monkeypatch.setattr(cpu.IntelRAPL, "_setup_rapl", cpu.IntelRAPL._fetch_rapl_files)
    monkeypatch.setattr(emissions_tracker, "count_physical_cpus", lambda: 1)
    monkeypatch.setattr(components_module, "virtual_machine", lambda: False)
    cast(Any, hardware_cache).clear_cache()
    yield made
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


def laptop(tree: Tree) -> Path:
    """Everything that a client processor shows; the counter of its package."""
    package = tree.zone("0", "package-0", 1000 * J)
    tree.zone("0:0", "core", 300 * J)
    tree.zone("0:1", "uncore", 20 * J)
    tree.zone("0:2", "dram", 100 * J)
    tree.zone("1", "psys", 5000 * J)
    return package


def test_a_package_counts_alone_and_memory_stays_a_constant(tree: Tree, start: Start) -> None:
    package = laptop(tree)
    machine = start()
    for counter in (tree.base / "intel-rapl").rglob("energy_uj"):
        move(counter, 50.0)  # cores, uncore and psys hold the package or are held by it
    assert machine.flush()["cpu"] == pytest.approx(50.0, rel=1e-5)
    move(package, 8.0)
    found = machine.flush()
    assert found["cpu"] == pytest.approx(8.0, rel=1e-4)
    assert found["ram"] > 0
    assert machine.failures() == []
    cpu, ram = machine.components()["cpu"], machine.components()["ram"]
    assert cpu.provenance == "counter"
    assert "memory is not in them" in cpu.detail
    assert (cpu.tdp_w, cpu.tdp_source) == (None, None)
    assert ram.provenance == "constant"
    assert ram.tdp_w is not None
    assert ram.tdp_source
    assert description_of(machine.tracker)["components"]["cpu"] == {
        "mode": "intel_rapl",
        "tdp_w": None,
        "tdp_source": None,
        "domains": ["package-0"],
    }


def test_a_reading_is_fresh_however_soon_it_comes(tree: Tree, start: Start) -> None:
    """codecarbon's own flush keeps a figure for 50 ms; ours must not."""
    package = laptop(tree)
    machine = start()
    for joules in (3.0, 5.0, 7.0):
        move(package, joules)
        assert machine.flush(0.001)["cpu"] == pytest.approx(joules, rel=1e-4)


def test_sockets_are_added_up_over_both_interfaces(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codecarbon.emissions_tracker.count_physical_cpus", lambda: 2)
    first, second = tree.zone("0", "package-0", 100 * J), tree.zone("1", "package-1", 900 * J)
    for socket in "01":
        tree.zone(f"{socket}:0", "dram", 10 * J)
    twin = tree.base / "intel-rapl-mmio" / "intel-rapl-mmio:0"  # the same package once more
    twin.mkdir(parents=True)
    for name in ("name", "max_energy_range_uj"):
        (twin / name).write_text((first.parent / name).read_text())
    (twin / "energy_uj").write_text("1\n")
    machine = start()
    move(twin / "energy_uj", 30.0)
    move(first, 30.0)
    move(second, 12.0)
    assert machine.flush()["cpu"] == pytest.approx(42.0, rel=1e-4)
    assert machine.domains() == ["package-0", "package-1"]
    assert machine.failures() == []


def test_half_a_machine_is_no_measurement(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """codecarbon passes over a package that it cannot read, and calls the rest the processor."""
    monkeypatch.setattr("codecarbon.emissions_tracker.count_physical_cpus", lambda: 2)
    first = tree.zone("0", "package-0", 100 * J)
    drop(tree.zone("1", "package-1", 900 * J))
    machine = start()
    move(first, 30.0)
    machine.flush()
    cpu = machine.components()["cpu"]
    assert cpu.provenance == "failed"
    assert "1 of 2" in cpu.detail


def test_amd_has_a_package_and_no_memory_counter(tree: Tree, start: Start) -> None:
    package = tree.zone("0", "package-0", 60_000 * J, AMD_RANGE_UJ)
    tree.zone("0:0", "core", 5 * J, AMD_RANGE_UJ)
    machine = start()
    move(package, 40.0)
    assert machine.flush()["cpu"] == pytest.approx(40.0, rel=1e-4)
    assert machine.domains() == ["package-0"]
    assert machine.components()["ram"].provenance == "constant"


def test_dies_that_mirror_one_counter_are_counted_once(tree: Tree, start: Start) -> None:
    """As on AMD Threadripper; codecarbon drops the second one after the first interval."""
    dies = [tree.zone(str(n), f"package-0-die-{n}", 700 * J, AMD_RANGE_UJ) for n in (0, 1)]
    machine = start()
    for joules in (20.0, 30.0):
        for die in dies:
            move(die, joules)
        assert machine.flush()["cpu"] == pytest.approx(joules, rel=1e-4)
    assert machine.components()["cpu"].provenance == "counter"


def test_the_whole_platform_holds_the_memory(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only psys can be read, a constant for memory beside it would count it twice."""
    psys = tree.zone("0", "psys", 5000 * J)
    machine = start()
    move(psys, 25.0)
    assert machine.flush()["cpu"] == pytest.approx(25.0, rel=1e-4)
    components = machine.components()
    assert set(components) == {"cpu"}
    assert "whole platform" in components["cpu"].detail
    assert machine.domains() == ["psys"]


def test_cores_alone_are_not_the_processor(tree: Tree, start: Start) -> None:
    """codecarbon reads them, adds up nothing and calls it a counter: 0 J."""
    drop(tree.zone("0", "package-0", 100 * J))
    core = tree.zone("0:0", "core", 100 * J)
    machine = start()
    move(core, 9.0)
    assert machine.flush()["cpu"] == 0.0
    cpu = machine.components()["cpu"]
    assert cpu.provenance == "failed"
    assert "package" in cpu.detail


def test_a_wrap_is_counted_on(tree: Tree, start: Start) -> None:
    package = tree.zone("0", "package-0", INTEL_RANGE_UJ - 10 * J)
    machine = start()
    move(package, 25.0)
    assert int(package.read_text()) < 16 * J
    assert machine.flush()["cpu"] == pytest.approx(25.0, rel=1e-4)
    assert machine.failures() == []


def test_a_reset_is_no_wrap(tree: Tree, start: Start) -> None:
    """codecarbon adds the whole range: 162 kJ within a tenth of a second."""
    package = tree.zone("0", "package-0", 100_000 * J)
    machine = start()
    move(package, 1.0)
    machine.flush()
    package.write_text("0\n")
    assert machine.flush()["cpu"] > 100_000
    (fault,) = machine.failures()
    assert fault.startswith("cpu: package-0 moved by 162")
    assert "reset" in fault
    move(package, 4.0)
    machine.flush()
    assert machine.failures() == [fault]  # the measurement after a fault is not believed either
    move(package, 4.0)
    assert machine.flush()["cpu"] == pytest.approx(4.0, rel=1e-4)
    assert machine.failures() == []


def test_a_range_that_cannot_be_read_leaves_a_wrap_unknown(tree: Tree, start: Start) -> None:
    package = tree.zone("0", "package-0", 100 * J)
    (package.parent / "max_energy_range_uj").unlink()
    machine = start()
    package.write_text(f"{1 * J}\n")
    assert machine.flush()["cpu"] == 0.0
    assert "could not be read" in machine.failures()[0]


def test_a_counter_left_alone_for_too_long_may_have_wrapped(tree: Tree, start: Start) -> None:
    package = tree.zone("0", "package-0", 100 * J, AMD_RANGE_UJ)
    machine = start()
    move(package, 50.0)
    machine.flush(15.0)  # the tracker's own rhythm
    assert machine.failures() == []
    move(package, 50.0)
    machine.flush(600.0)
    assert "wrapped" in machine.failures()[0]


def test_zeros_are_no_measurement(tree: Tree, start: Start) -> None:
    tree.zone("0", "package-0", 0)
    machine = start()
    machine.flush(0.01)
    cpu = machine.components()["cpu"]
    assert cpu.provenance == "failed"
    assert "package-0 has not moved" in cpu.detail


def test_a_counter_that_stops_is_told_and_a_slow_one_is_not(tree: Tree, start: Start) -> None:
    package, other = tree.zone("0", "package-0", 5 * J), tree.zone("1", "package-1", 90 * J)
    machine = start()
    move(package, 1.0)
    for _ in range(3):
        move(other, 1.0)
        machine.flush(0.6)
    assert machine.failures() == []  # 1.2 s: QEMU shows its guests a counter that moves every 1 s
    move(other, 1.0)
    machine.flush(1.0)
    (fault,) = machine.failures()
    assert fault.startswith("cpu: package-0 has stood still")


def test_a_counter_that_cannot_be_read_midway(tree: Tree, start: Start) -> None:
    """codecarbon makes it 0 J; the time without it is lost even when it comes back."""
    package = tree.zone("0", "package-0", 100 * J)
    machine = start()
    move(package, 2.0)
    machine.flush()
    drop(package)
    assert machine.flush()["cpu"] == 0.0
    assert machine.failures() == ["cpu: the energy counter of package-0 could not be read"]
    package.rmdir()
    package.write_text(f"{900 * J}\n")
    machine.flush()
    assert len(machine.failures()) == 2  # no reading to subtract from, and the one before failed
    move(package, 3.0)
    machine.flush()
    machine.failures()
    move(package, 3.0)
    assert machine.flush()["cpu"] == pytest.approx(3.0, rel=1e-4)
    assert machine.failures() == []


def test_an_error_that_codecarbon_swallows(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecarbon.core.rapl import RAPLFile

    def broken(self: object, duration: object) -> None:
        raise ValueError("odd counter")

    tree.zone("0", "package-0", 100 * J)
    machine = start()
    monkeypatch.setattr(RAPLFile, "delta", broken)
    assert machine.flush()["cpu"] == 0.0
    assert "cpu: RAPL could not be read" in machine.failures()


def test_without_permission_the_processor_is_modelled(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tree.zone("0", "package-0", 100 * J)
    really = builtins.open

    def refused(file: Any, *arguments: Any, **named: Any) -> Any:
        if str(file).endswith("energy_uj"):
            raise PermissionError(13, "Permission denied", str(file))
        return really(file, *arguments, **named)

    from codecarbon.core import cpu as codecarbon_cpu

    fake_os = type("FakeOs", (), dict(vars(os), access=lambda path, mode: False))
    monkeypatch.setattr(codecarbon_cpu, "os", fake_os)
    monkeypatch.setattr(builtins, "open", refused)
    machine = start()
    monkeypatch.undo()
    assert package.exists()
    cpu = machine.components()["cpu"]
    assert cpu.provenance == "modelled_load"
    assert machine.domains() == []
    assert cpu.tdp_w is not None
    assert cpu.tdp_w > 0
    assert cpu.tdp_source
    assert cpu.tdp_source in cpu.detail


def test_a_guest_says_that_it_is_one(
    tree: Tree, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components_module, "virtual_machine", lambda: True)
    package = tree.zone("0", "package-0", 100 * J)
    machine = start()
    move(package, 2.0)
    machine.flush()
    assert "virtual machine" in machine.components()["cpu"].detail
    assert description_of(machine.tracker)["virtual_machine"] is True


def test_a_phase_holds_what_the_counter_moved_and_a_reset_fails_it(tree: Tree) -> None:
    """Through the meter: the first of these phases is a measurement, the second is not."""
    package = laptop(tree)

    def factory(capture: Capture) -> Any:
        class Moving(Capture):
            def out(self, total: Any, delta: Any) -> None:
                capture.out(total, delta)
                move(package, 0.5)  # a processor never stops

        return offline_tracker(Moving())

    with Meter(tracker_factory=factory) as meter:
        with meter.phase("work") as work:
            move(package, 60.0)
            time.sleep(0.11)
        with meter.phase("reset") as reset:
            package.write_text("0\n")
        for _ in range(2):
            with meter.phase("settling"):
                pass
        with meter.phase("next") as after:
            move(package, 20.0)
    cpu = work.result.components["cpu"]
    assert cpu.provenance == "counter"
    assert cpu.energy_j == pytest.approx(60.5, rel=1e-3)
    cpu = reset.result.components["cpu"]
    assert (cpu.provenance, cpu.energy_j) == ("failed", None)
    assert "was reset" in cpu.detail
    assert reset.result.energy_j == reset.result.components["ram"].energy_j  # which is known
    assert after.result.components["cpu"].energy_j == pytest.approx(20.5, rel=1e-3)


def test_no_counter_at_all_still_starts(tree: Tree) -> None:
    source = EnergySource()
    assert source.read().reason == ""
    source.close()
