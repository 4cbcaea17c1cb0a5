"""Peak memory, what is left, and giving back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from wattune.measure import memory as memory_module
from wattune.measure.memory import (
    SAMPLE_SECONDS,
    MemorySampler,
    available_memory_bytes,
    cgroup_available_bytes,
    release_memory,
)

MIB = 1 << 20


def peak(sampler: MemorySampler) -> int:
    found = sampler.stop().resident_bytes
    assert found is not None
    return found


def test_the_peak_is_within_the_phase() -> None:
    release_memory()
    base = psutil.Process().memory_info().rss
    first = MemorySampler()
    first.start()
    block = np.ones(64 * MIB, dtype=np.uint8)
    time.sleep(3 * SAMPLE_SECONDS)
    del block
    release_memory()
    assert peak(first) >= base + 60 * MIB
    after = MemorySampler()
    after.start()
    time.sleep(3 * SAMPLE_SECONDS)
    assert peak(after) < base + 40 * MIB


def test_nested_samplers_each_see_their_own() -> None:
    release_memory()
    outer, inner = MemorySampler(), MemorySampler()
    outer.start()
    block = np.ones(48 * MIB, dtype=np.uint8)
    time.sleep(3 * SAMPLE_SECONDS)
    del block
    release_memory()
    inner.start()
    time.sleep(3 * SAMPLE_SECONDS)
    low = peak(inner)
    assert peak(outer) >= low + 30 * MIB


def test_a_child_process_is_counted() -> None:
    alone = MemorySampler()
    alone.start()
    time.sleep(0.1)
    before = peak(alone)
    script = (
        "b = bytearray(80 << 20); b[::4096] = b'x' * len(b[::4096]); print(flush=True); input()"
    )
    sampler = MemorySampler()
    sampler.start()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(200):  # children are looked for at a thrifty pace
            if (sampler.peaks().resident_bytes or 0) >= before + 70 * MIB:
                break
            time.sleep(0.05)
        child.communicate(b"\n")
    assert peak(sampler) >= before + 70 * MIB


def test_the_sampling_thread_ends_with_the_last_sampler_or_meter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watcher = memory_module._Watcher()
    monkeypatch.setattr(memory_module, "_watcher", watcher)
    first, second = MemorySampler(), MemorySampler()
    first.start()
    second.start()
    thread = watcher._thread
    assert thread is not None
    memory_module.keep_sampling_thread()
    first.stop()
    second.stop()
    second.stop()
    assert watcher._thread is thread  # a meter keeps it between phases
    first.start()
    assert watcher._thread is thread
    first.stop()
    memory_module.let_sampling_thread_go()
    assert not thread.is_alive()
    second.start()
    assert watcher._thread is not None
    second.stop()
    assert watcher._thread is None


def test_without_a_thread_the_ends_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(memory_module, "_watcher", memory_module._Watcher())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    sampler = MemorySampler()
    sampler.start()
    assert peak(sampler) > 10 * MIB


def test_peaks_so_far_leave_the_sampler_running() -> None:
    sampler = MemorySampler()
    sampler.start()
    early = sampler.peaks()
    block = np.ones(48 * MIB, dtype=np.uint8)
    block[::4096] = 2
    assert early.resident_bytes is not None
    assert early.memory_percent is not None
    assert 0 < early.memory_percent <= 100
    later = sampler.stop()
    assert (later.resident_bytes or 0) >= early.resident_bytes + 40 * MIB


class FakeCuda:
    """torch.cuda's peak counter: one a device, lowered only by a reset."""

    def __init__(self) -> None:
        self.now, self.top = [0, 0], [0, 0]

    def allocate(self, device: int, size: int) -> None:
        self.now[device] += size
        self.top[device] = max(self.top[device], self.now[device])

    def device_count(self) -> int:
        return 2

    def max_memory_allocated(self, device: int) -> int:
        return self.top[device]

    def reset_peak_memory_stats(self, device: int) -> None:
        self.top[device] = self.now[device]

    def empty_cache(self) -> None:
        self.now = [0, 0]


def test_gpu_peaks_of_nested_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(memory_module, "cuda_in_use", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    outer, inner = MemorySampler(), MemorySampler()
    cuda.allocate(0, 500)
    cuda.allocate(0, -400)
    outer.start()  # 100 stand, the 500 were before
    cuda.allocate(0, 200)
    cuda.allocate(0, -200)
    inner.start()
    cuda.allocate(1, 150)
    assert inner.stop().gpu_bytes == 150
    assert outer.stop().gpu_bytes == 300
    release_memory()
    assert cuda.now == [0, 0]


def test_no_cuda_no_gpu_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "cuda_in_use", lambda: False)
    sampler = MemorySampler()
    sampler.start()
    assert sampler.stop().gpu_bytes is None


def test_available_memory() -> None:
    available = available_memory_bytes()
    assert 0 < available <= psutil.virtual_memory().total


def test_available_memory_respects_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "cgroup_available_bytes", lambda: 5 * MIB)
    monkeypatch.setattr(sys, "platform", "linux")
    assert available_memory_bytes() == 5 * MIB


def write(folder: Path, **files: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_cgroup_v2_takes_the_tightest_of_the_groups_above(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    write(
        mount / "slice",
        memory__max=1000,
        memory__current=700,
        memory__stat="anon 1\ninactive_file 100",
    )
    write(
        mount / "slice" / "job",
        memory__max="max",
        memory__current=300,
        memory__stat="inactive_file 0",
    )
    membership = tmp_path / "membership"
    membership.write_text("0::/slice/job\n")
    assert cgroup_available_bytes(membership, mount) == 400
    membership.write_text("0::/elsewhere\n")
    assert cgroup_available_bytes(membership, mount) is None


def test_cgroup_v1(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    write(
        mount / "memory",
        memory__limit_in_bytes=2000,
        memory__usage_in_bytes=500,
        memory__stat="total_inactive_file 50",
    )
    write(
        mount / "memory" / "docker",
        memory__limit_in_bytes=9223372036854771712,
        memory__usage_in_bytes=500,
        memory__stat="total_inactive_file 50",
    )
    membership = tmp_path / "membership"
    membership.write_text("5:cpu,cpuacct:/docker\n4:memory:/docker\n0::/\n")
    assert cgroup_available_bytes(membership, mount) == 1550
    assert cgroup_available_bytes(tmp_path / "missing", mount) is None
