"""How busy the machine and the process were."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import psutil
import pytest

from wattune.measure import utilisation as module
from wattune.measure.record import Utilisation
from wattune.measure.utilisation import ProcessTree, Usage, usage_now, utilisation_between

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"


def burn() -> None:
    used = os.times()
    end = used.user + used.system + 0.2
    while sum(os.times()[:2]) < end:
        pass


def grown(before: Usage) -> float:
    found = utilisation_between(before, usage_now(), 1.0).cpu_s
    assert found is not None
    return found


def test_counters_become_utilisation() -> None:
    before = Usage(busy_s=10, all_s=100, cpu_s=1, read_bytes=5, write_bytes=7)
    after = Usage(busy_s=13, all_s=104, cpu_s=3.5, read_bytes=5, write_bytes=9)
    assert utilisation_between(before, after, 1.0) == Utilisation(
        cpu_percent=75, cpu_s=2.5, disk_read_bytes=0, disk_write_bytes=2
    )
    assert utilisation_between(before, after, 0.05).cpu_percent is None  # too few ticks
    assert utilisation_between(before, before, 1.0).cpu_percent is None  # no tick at all
    tick_less = before._replace(busy_s=(before.busy_s or 0) - 0.01, all_s=(before.all_s or 0) + 1)
    assert utilisation_between(before, tick_less, 1.0).cpu_percent == 0
    assert utilisation_between(Usage(), after, 1.0) == Utilisation()
    assert utilisation_between(after, before, 1.0).cpu_s is None  # a counter that went back


def test_processor_seconds_of_this_process() -> None:
    before = usage_now()
    burn()
    assert grown(before) >= 0.18


def test_processor_seconds_of_children_ended_and_living() -> None:
    before = usage_now()
    subprocess.run([sys.executable, "-ISc", BURN], check=True)
    assert grown(before) >= 0.18
    script = BURN + "print(flush=True)\ninput()"
    before = usage_now()
    with subprocess.Popen(
        [sys.executable, "-ISc", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        module._tree._next = 0.0  # look now, for the test does not want to wait
        living = grown(before)
        assert living >= 0.18
        child.communicate(b"\n")
    assert grown(before) >= living - 0.02  # what it used is not lost when it ends


def test_bytes_to_disk_and_percentages(tmp_path: Any, world: Any) -> None:
    meter = world.meter()
    with meter.phase("work") as phase:
        burn()
        world.go(1)
        with (tmp_path / "file").open("wb") as stream:
            stream.write(bytes(3 << 20))
            stream.flush()
            os.fsync(stream.fileno())
    found = phase.result.utilisation
    assert found.cpu_s is not None
    assert found.cpu_s >= 0.18
    assert found.cpu_percent is not None
    assert 0 < found.cpu_percent <= 100
    assert found.memory_percent is not None
    assert 0 < found.memory_percent <= 100
    assert found.gpu_percent is None
    assert found.disk_write_bytes is not None
    assert found.disk_write_bytes >= 0  # a memory file system writes to no disk


def test_gpu_percent_is_the_mean_of_the_samples_within(world: Any) -> None:
    meter = world.meter()
    meter.describe()
    tracker = world.trackers[0]
    tracker._utilization_history_lock = threading.Lock()
    tracker._gpu_utilization_history = [99.0]
    tracker._cpu_utilization_history = [1.0]
    with meter.phase("outer") as outer:
        tracker._gpu_utilization_history += [10.0, None]
        with meter.phase("inner") as inner:
            tracker._gpu_utilization_history += [40.0, 70.0]
    with meter.phase("next") as following:
        pass
    assert inner.result.utilisation.gpu_percent == 55
    assert outer.result.utilisation.gpu_percent == 40
    assert following.result.utilisation.gpu_percent is None
    assert tracker._gpu_utilization_history == tracker._cpu_utilization_history == []


def test_what_the_system_does_not_say_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise psutil.AccessDenied

    for name in ("cpu_times", "Process", "virtual_memory"):
        monkeypatch.setattr(psutil, name, refuse)
    found = usage_now()
    assert (found.busy_s, found.all_s, found.read_bytes, found.write_bytes) == (None,) * 4
    assert module.memory_percent() is None


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE) as child:
        yield child.pid
        child.communicate(b"\n")


def test_the_process_tree_agrees_with_psutil(sleeper: int) -> None:
    expected = {child.pid for child in psutil.Process().children(recursive=True)}
    assert sleeper in expected
    assert set(ProcessTree().pids()) == expected


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.0001, 0.2), (0.01, 0.5)])
def test_looking_for_children_keeps_its_pace(
    monkeypatch: pytest.MonkeyPatch, took_s: float, pause_s: float
) -> None:
    clock = SimpleNamespace(now=100.0, looks=0)
    tree = ProcessTree()

    def look() -> tuple[int, ...]:
        clock.looks += 1
        clock.now += took_s
        return (clock.looks,)

    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(tree, "_look", look)
    assert tree.pids() == tree.pids() == (1,)
    clock.now += pause_s - 0.01
    assert tree.pids() == (1,)
    clock.now += 0.02
    assert tree.pids() == (2,)


def test_a_process_that_is_gone_is_no_parent_and_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-ISc", ""]) as child:
        child.wait()
    assert module._cpu_seconds(child.pid) == 0.0
    if sys.platform == "linux":
        assert module._parent(child.pid) == 0
