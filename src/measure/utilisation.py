"""Utilisation: how busy the machine and this process were, from counters read at both ends."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NamedTuple

from .record import Utilisation

PACE = 2000
"""Looking for child processes pauses for this many times what it took last: 0.05 % of a core."""

LONGEST_PAUSE_S = 0.5
"""But no longer than this, for a first look takes longest and young children are to be seen."""

FORGET_S = 60.0
"""After a pause this long the parents of processes are asked anew: their numbers may be in use
again for others."""

SHORTEST_S = 0.1
"""The system counts idle time in ticks of 10 ms: a shorter stretch has too few for a percentage."""


class Usage(NamedTuple):
    """Cumulative counters at one moment, None where the system does not say.

    `busy_s` of `all_s` are seconds of all cores of the machine; `cpu_s` those of this process, its
    living children and all that have ended; the bytes are of this process.
    """

    busy_s: float | None = None
    all_s: float | None = None
    cpu_s: float | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


def usage_now() -> Usage:
    """The counters now; about 0.1 ms, plus 0.02 ms for each child process."""
    busy_s, all_s = _machine_seconds()
    read_bytes, write_bytes = _disk_bytes()
    return Usage(busy_s, all_s, _process_seconds(), read_bytes, write_bytes)


def utilisation_between(before: Usage, after: Usage, seconds: float) -> Utilisation:
    """How busy it was between two moments `seconds` apart (percentages from 0.1 s up)."""
    percent = None
    whole, began, ended = _grown(before.all_s, after.all_s), before.busy_s, after.busy_s
    if whole and seconds >= SHORTEST_S and began is not None and ended is not None:
        # Linux takes back waiting time at times, and a tick less than nothing is nothing.
        percent = 100.0 * min(1.0, max(0.0, ended - began) / whole)
    read, written = (
        _grown(before.read_bytes, after.read_bytes),
        _grown(before.write_bytes, after.write_bytes),
    )
    return Utilisation(
        cpu_percent=percent,
        cpu_s=_grown(before.cpu_s, after.cpu_s),
        disk_read_bytes=None if read is None else int(read),
        disk_write_bytes=None if written is None else int(written),
    )


def _grown(before: float | None, after: float | None) -> float | None:
    """How much a counter grew; None where it is not known or went back."""
    if before is None or after is None or after < before:
        return None
    return after - before


def memory_percent() -> float | None:
    """How much of the machine's memory is in use now, 0 to 100."""
    import psutil

    try:
        return float(psutil.virtual_memory().percent)
    except (psutil.Error, OSError, ValueError, KeyError):
        return None


def resident_bytes(pid: int) -> int:
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


def own_record_bytes() -> int:
    """The most this process has ever had resident, 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    record = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return record if sys.platform == "darwin" else record * 1024


def _machine_seconds() -> tuple[float | None, float | None]:
    """Busy and all seconds of all cores. A guest's time stands in the user's already."""
    import psutil

    try:
        times = psutil.cpu_times()._asdict()
    except (psutil.Error, OSError, ValueError, IndexError):
        return None, None
    guests = times.get("guest", 0.0) + times.get("guest_nice", 0.0)
    whole = sum(times.values()) - guests
    return whole - times["idle"] - times.get("iowait", 0.0), whole


def _process_seconds() -> float | None:
    living = sum(_cpu_seconds(pid) for pid in child_pids())
    if sys.platform == "win32":
        return sum(os.times()[:4]) + living
    import resource

    ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return living + sum(usage.ru_utime + usage.ru_stime for usage in ended)


def _disk_bytes() -> tuple[int | None, int | None]:
    import psutil

    try:
        counters = psutil.Process().io_counters()
    except (psutil.Error, OSError, ValueError, AttributeError, NotImplementedError):
        return None, None  # macOS does not say
    return int(counters.read_bytes), int(counters.write_bytes)


class ProcessTree:
    """The living children of this process, and theirs; looked for no more often than is cheap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parents: dict[int, int] = {}
        self._pids: tuple[int, ...] = ()
        self._looked_at = self._next = 0.0

    def pids(self) -> tuple[int, ...]:
        """The children known now."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next:
                if now - self._looked_at > FORGET_S:
                    self._parents = {}
                self._pids = self._look()
                self._looked_at = time.monotonic()
                pause = min(LONGEST_PAUSE_S, PACE * (self._looked_at - now))
                self._next = self._looked_at + pause
            return self._pids

    def _look(self) -> tuple[int, ...]:
        if sys.platform != "linux":
            import psutil

            try:
                return tuple(child.pid for child in psutil.Process().children(recursive=True))
            except (psutil.Error, OSError):
                return ()
        # A process keeps its parent until that one ends, so only new ones are asked.
        try:
            alive = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        except OSError:
            return ()
        known = self._parents
        self._parents = {pid: known[pid] if pid in known else _parent(pid) for pid in alive}
        family, found = {os.getpid()}, {os.getpid()}
        while found:
            found = {pid for pid, parent in self._parents.items() if parent in found} - family
            family |= found
        return tuple(family - {os.getpid()})


_tree = ProcessTree()


def child_pids() -> tuple[int, ...]:
    """The living children of this process, and theirs. A very young one may be missing."""
    return _tree.pids()


def _after_fork() -> None:
    """A forked child has children of its own, and perhaps a lock that was held."""
    global _tree
    _tree = ProcessTree()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _stat(pid: int) -> list[bytes]:
    """The fields of Linux's /proc/<pid>/stat after the name: state, parent, ... (see proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _cpu_seconds(pid: int) -> float:
    """Processor seconds of a living process and of its children that ended; 0 when it is gone."""
    if sys.platform == "linux":
        fields = _stat(pid)  # 11 to 14: own user and system time, that of ended children
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    else:
        import psutil

        try:
            return float(sum(psutil.Process(pid).cpu_times()[:4]))
        except (psutil.Error, OSError):
            return 0.0
