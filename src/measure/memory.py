"""Memory: the peak within a phase, what is available, and giving back what is not used."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple, TypeVar

from .sources.components import cuda_in_use
from .utilisation import child_pids, memory_percent, own_record_bytes, resident_bytes

SAMPLE_SECONDS = 0.2
"""At 0.05 s metering cost a busy machine more than 1 %; the kernel keeps this process's record."""

LINGER = 5
"""Without a phase the thread looks this many times for the next one before it sleeps: 1 s."""

MACHINE_EVERY = 5
"""The memory of the machine is asked for at every fifth sample and at ends of phases."""

Number = TypeVar("Number", int, float)


class Peaks(NamedTuple):
    """The most within a phase: resident bytes of the process and its children, bytes that torch
    had allocated on any one GPU, percent of the machine's memory in use. None where unknown."""

    resident_bytes: int | None = None
    gpu_bytes: int | None = None
    memory_percent: float | None = None

    def higher(self, other: Peaks) -> Peaks:
        """The peaks of both together."""
        return Peaks(
            _higher(self.resident_bytes, other.resident_bytes),
            _higher(self.gpu_bytes, other.gpu_bytes),
            _higher(self.memory_percent, other.memory_percent),
        )


class MemorySampler:
    """Peak resident memory of this process and its children, and peak GPU memory, of a phase.

    Resident memory is sampled every 0.2 s by one thread for all open samplers; a new record of
    this process between two samples is seen too, for the kernel keeps it. Pages shared between
    processes are counted in each of them. GPU memory is what torch has allocated, the largest on
    any one device, None where CUDA is not in use.
    """

    def __init__(self) -> None:
        self._peaks = Peaks()
        self._record_at_start = 0

    def start(self) -> None:
        """Begin watching; samplers may overlap and nest."""
        self._record_at_start = own_record_bytes()
        _watcher.add(self)

    def peaks(self) -> Peaks:
        """The peaks until now, of a sampler that may go on."""
        _watcher.sample(self)
        return self._peaks

    def stop(self) -> Peaks:
        """End watching: the peaks. Stopping twice is fine."""
        _watcher.remove(self)
        return self._peaks

    def raise_to(self, peaks: Peaks) -> None:
        """Take in a sample."""
        self._peaks = self._peaks.higher(peaks)

    def take_record(self) -> None:
        """Take in the kernel's record for this process, if it is of this time."""
        record = own_record_bytes()
        if record > self._record_at_start:
            self.raise_to(Peaks(resident_bytes=record))


class _Watcher:
    """The one sampling thread: alive while a meter or a sampler is open, asleep without one."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._open: list[MemorySampler] = []
        self._keepers = 0
        self._asleep = False
        self._thread: threading.Thread | None = None

    def keep(self) -> None:
        """Keep the thread between phases, for starting one costs more than waking it."""
        with self._changed:
            self._keepers += 1
            self._run()

    def let_go(self) -> None:
        """One keeper fewer; the thread ends with the last keeper and sampler."""
        with self._changed:
            self._keepers -= 1
        self._end_if_idle()

    def add(self, sampler: MemorySampler) -> None:
        with self._changed:
            # torch keeps one peak a device, and reading it for a phase means resetting it: what
            # it was goes to the phases already open.
            self._take_gpu_peak()
            _reset_gpu_peak()
            self._open.append(sampler)
            self._sample(machine_too=False)
            self._run()
            if self._asleep:
                self._changed.notify()

    def sample(self, sampler: MemorySampler) -> None:
        with self._changed:
            if sampler in self._open:
                self._sample()
                self._take_gpu_peak()
                sampler.take_record()

    def remove(self, sampler: MemorySampler) -> None:
        with self._changed:
            self.sample(sampler)
            if sampler in self._open:  # not so where a forked child leaves its parent's phase
                self._open.remove(sampler)
        self._end_if_idle()

    def _run(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._watch, name="wattune-memory", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread can be had: samples at the ends
                thread.start()
                self._thread = thread

    def _end_if_idle(self) -> None:
        with self._changed:
            thread = self._thread
            if not self._open and self._keepers <= 0:
                self._changed.notify()
        while thread is not None and thread.is_alive():
            with self._changed:
                if self._open or self._keepers > 0:
                    return
            thread.join(SAMPLE_SECONDS)

    def _watch(self) -> None:
        turn = still = 0
        with self._changed:
            while self._open or self._keepers > 0:
                # Waking a thread costs a short phase more than all else, so it lingers a while.
                still = 0 if self._open else still + 1
                self._asleep = still > LINGER
                self._changed.wait(None if self._asleep else SAMPLE_SECONDS)
                self._asleep = False
                turn += 1
                if self._open:
                    self._sample(machine_too=turn % MACHINE_EVERY == 0)
            self._thread = None

    def _sample(self, machine_too: bool = True) -> None:
        resident = sum(resident_bytes(pid) for pid in (os.getpid(), *child_pids()))
        percent = memory_percent() if machine_too else None
        found = Peaks(resident_bytes=resident or None, memory_percent=percent)
        for sampler in self._open:
            sampler.raise_to(found)

    def _take_gpu_peak(self) -> None:
        if not self._open or not cuda_in_use():
            return
        cuda = sys.modules["torch"].cuda
        with contextlib.suppress(Exception):  # a lost device must not stop the run from here
            peak = max(cuda.max_memory_allocated(device) for device in range(cuda.device_count()))
            for sampler in self._open:
                sampler.raise_to(Peaks(gpu_bytes=peak))


_watcher = _Watcher()


def keep_sampling_thread() -> None:
    """Called by a meter that starts; to be followed by `let_sampling_thread_go`."""
    _watcher.keep()


def let_sampling_thread_go() -> None:
    """Called by a meter that closes: the thread is gone once no meter and no phase is open."""
    _watcher.let_go()


def _after_fork() -> None:
    """A forked child has no sampling thread, and must not inherit a lock that was held."""
    global _watcher
    _watcher = _Watcher()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _higher(one: Number | None, other: Number | None) -> Number | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _reset_gpu_peak() -> None:
    if cuda_in_use():
        cuda = sys.modules["torch"].cuda
        with contextlib.suppress(Exception):
            for device in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(device)


def available_memory_bytes() -> int:
    """Bytes that can still be used: what the machine has free, or less where a cgroup says so."""
    import psutil

    free = int(psutil.virtual_memory().available)
    allowed = cgroup_available_bytes() if sys.platform == "linux" else None
    return free if allowed is None else max(0, min(free, allowed))


def cgroup_available_bytes(
    membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes left under the tightest memory limit of this process's control groups (v1 or v2).

    File cache that the kernel can drop does not count as used. None where no limit is set.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    left: list[int] = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root = mount
            files = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = mount / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A limit may stand on any group above; in a container the path may not be mounted at all.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                bytes_left = _left_in(folder, *files)
                if bytes_left is not None:
                    left.append(bytes_left)
    return min(left) if left else None


def _left_in(folder: Path, limit_file: str, usage_file: str, cache_field: str) -> int | None:
    try:
        limit = (folder / limit_file).read_text().strip()
        usage = int((folder / usage_file).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        # v1 writes "no limit" as the largest multiple of a page that fits in 63 bits.
        if limit == "max" or int(limit) >= 1 << 60:
            return None
        return max(0, int(limit) - usage + int(stat.get(cache_field, 0)))
    except (OSError, ValueError):
        return None


def release_memory() -> None:
    """Give back what is no longer used, so that the next phase's peak is its own.

    Collects garbage, returns freed heap pages to the system (glibc keeps them otherwise) and
    empties torch's CUDA cache.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    if cuda_in_use():
        with contextlib.suppress(Exception):
            sys.modules["torch"].cuda.empty_cache()
