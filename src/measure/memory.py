"""Memory: the peak within a phase, what is available, and giving back what is not used."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from pathlib import Path

from .components import cuda_in_use

SAMPLE_SECONDS = 0.05
CHILDREN_EVERY = 10
"""Child processes are looked for at every tenth sample: that walks over all processes."""


class MemorySampler:
    """Peak resident memory of this process and its children, and peak GPU memory, of a phase.

    Resident memory is sampled every 50 ms by one thread for all open samplers; a new record of
    this process between two samples is seen too, for the kernel keeps it. Pages shared between
    processes are counted in each of them. GPU memory is what torch has allocated, the largest on
    any one device, None where CUDA is not in use.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.gpu_peak_bytes: int | None = None
        self._record_at_start = 0

    def start(self) -> None:
        """Begin watching; samplers may overlap and nest."""
        self._record_at_start = _own_record_bytes()
        _watcher.add(self)

    def stop(self) -> tuple[int | None, int | None]:
        """End watching: peak resident bytes and peak GPU bytes (None where unknown)."""
        _watcher.remove(self)
        record = _own_record_bytes()
        if record > self._record_at_start:
            self.peak_bytes = max(self.peak_bytes, record)
        return self.peak_bytes or None, self.gpu_peak_bytes


class _Watcher:
    """The one sampling thread, alive while a sampler is open."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: list[MemorySampler] = []
        self._wake = threading.Event()
        self._children: list[int] = []

    def add(self, sampler: MemorySampler) -> None:
        with self._lock:
            # torch keeps one peak a device, and reading it for a phase means resetting it: what
            # it was goes to the phases already open.
            self._take_gpu_peak()
            _reset_gpu_peak()
            self._open.append(sampler)
            self._sample(look_for_children=True)
            if len(self._open) == 1:
                self._wake = threading.Event()
                threading.Thread(
                    target=self._watch, args=(self._wake,), name="wattune-memory", daemon=True
                ).start()

    def remove(self, sampler: MemorySampler) -> None:
        with self._lock:
            self._sample(look_for_children=True)
            self._take_gpu_peak()
            if sampler in self._open:  # not so where a forked child leaves its parent's phase
                self._open.remove(sampler)
            if not self._open:
                self._wake.set()

    def _watch(self, wake: threading.Event) -> None:
        count = 0
        while not wake.wait(SAMPLE_SECONDS):
            count += 1
            with self._lock:
                if not wake.is_set():
                    self._sample(look_for_children=count % CHILDREN_EVERY == 0)

    def _sample(self, look_for_children: bool) -> None:
        if look_for_children:
            self._children = _children()
        resident = sum(_resident_bytes(pid) for pid in (os.getpid(), *self._children))
        for sampler in self._open:
            sampler.peak_bytes = max(sampler.peak_bytes, resident)

    def _take_gpu_peak(self) -> None:
        if not self._open or not cuda_in_use():
            return
        cuda = sys.modules["torch"].cuda
        with contextlib.suppress(Exception):  # a lost device must not stop the run from here
            peak = max(cuda.max_memory_allocated(device) for device in range(cuda.device_count()))
            for sampler in self._open:
                sampler.gpu_peak_bytes = max(sampler.gpu_peak_bytes or 0, peak)


_watcher = _Watcher()


def _after_fork() -> None:
    """A forked child has no sampling thread, and must not inherit a lock that was held."""
    global _watcher
    _watcher = _Watcher()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _reset_gpu_peak() -> None:
    if cuda_in_use():
        cuda = sys.modules["torch"].cuda
        with contextlib.suppress(Exception):
            for device in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(device)


def _children() -> list[int]:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return [child.pid for child in psutil.Process().children(recursive=True)]
    return []


def _resident_bytes(pid: int) -> int:
    """Resident bytes of one process, 0 when it is gone."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/statm", "rb") as stream:
                return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0
    else:
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except (psutil.Error, OSError):
            return 0


def _own_record_bytes() -> int:
    """The most this process has ever had resident, 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    record = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return record if sys.platform == "darwin" else record * 1024


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
