"""Cumulative energy of the machine, read by snapshots of one running tracker.

codecarbon's task interface loses nested tasks, so phases are metered by subtraction: the tracker
runs all the time, `EnergySource.read` flushes it and gives the cumulative energy of each component.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from .components import Component, components_of, cuda_in_use, description_of
from .tracker import Capture, Tracker, TrackerFactory, offline_tracker, quiet, sentence, silence

J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Reading:
    """Cumulative joules by component, or the reason why there are none.

    `components` tells how each is known now. `faults` counts by component, under "" those of all,
    the measurements that went wrong since the tracker was started, with the last reason: where it
    differs between two readings, the energy between them is not known. `gpu_percent` is the sum of
    `gpu_samples` samples of how busy the GPUs were.
    """

    energy_j: dict[str, float]
    components: dict[str, Component] = field(default_factory=dict)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    reason: str = ""
    gpu_percent: float = 0.0
    gpu_samples: int = 0


class Source(Protocol):
    """What a meter reads. Nothing here raises: what goes wrong is a reading's `reason`."""

    def read(self) -> Reading: ...

    def describe(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


class NoSource:
    """The source of a process that does not measure its machine: no components, no tracker. With
    a `reason` the machine should have been measured, and its components are failed."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def read(self) -> Reading:
        """No figure."""
        return Reading({}, _failed(self.reason) if self.reason else {}, reason=self.reason)

    def describe(self) -> dict[str, Any]:
        """The reason, if there is one."""
        return {"failed": self.reason} if self.reason else {}

    def close(self) -> None:
        """Nothing runs."""


class EnergySource:
    """A running tracker: cumulative readings, and how each component's energy is known."""

    def __init__(self, factory: TrackerFactory = offline_tracker) -> None:
        self._lock = threading.RLock()
        self._capture = Capture()
        self._tracker: Tracker | None = None
        self._faults: dict[str, tuple[int, str]] = {}
        self._faults_seen = 0
        self._gpu_percent, self._gpu_samples = 0.0, 0
        self._attached = True
        self.reason = ""
        self._description: dict[str, Any] = {}
        quiet.attach()
        try:
            with mute(), silence():
                quiet.last_error = ""
                tracker = factory(self._capture)
                tracker.start()
                self._tracker = tracker
                self.read()  # the first flush is cold (0.1 to 0.4 s); no phase should pay for it
                warm = self.read()
                if warm.reason:
                    raise RuntimeError(warm.reason)
                self._description = description_of(tracker)
        except Exception as error:
            self.reason = f"the energy tracker did not start ({sentence(error)})"
            self.close()

    def read(self) -> Reading:
        """Joules since the tracker was started, by component: cpu, ram and, where there, gpu."""
        with self._lock:
            if self._tracker is None:
                reason = self.reason or "the energy tracker is closed"
                return Reading({}, _failed(reason), reason=reason)
            joules, reason = self._flush(self._tracker)
            self._take_faults(self._tracker)
            self._take_gpu_samples(self._tracker)
            return Reading(
                joules,
                self._components(self._tracker),
                dict(self._faults),
                reason,
                gpu_percent=self._gpu_percent,
                gpu_samples=self._gpu_samples,
            )

    def describe(self) -> dict[str, Any]:
        """CPU model, mode and rated power, memory model, GPUs; or why nothing is known."""
        return {**self._description, **({"failed": self.reason} if self.reason else {})}

    def close(self) -> None:
        """Stop the tracker; closing twice is fine."""
        with self._lock:
            tracker, self._tracker = self._tracker, None
            attached, self._attached = self._attached, False
        if tracker is not None:
            try:
                with quiet():
                    tracker.stop()
            except Exception as error:
                self.reason = self.reason or sentence(error)
        if attached:
            quiet.detach()

    def _flush(self, tracker: Tracker) -> tuple[dict[str, float], str]:
        """Cumulative joules, or no joules and the reason."""
        self._capture.total = None
        quiet.last_error = ""
        try:
            if tracker.flush() is None or self._capture.total is None:
                cause = f" ({quiet.last_error})" if quiet.last_error else ""
                return {}, f"the energy tracker gave no figure{cause}"
            figures = {
                name: getattr(self._capture.total, f"{name}_energy")
                for name in ("cpu", "ram", "gpu")
            }
        except Exception as error:
            return {}, f"the energy tracker gave no figure ({sentence(error)})"
        if not all(isinstance(kwh, float) and math.isfinite(kwh) for kwh in figures.values()):
            return {}, "the energy tracker gave figures that are not numbers"
        return {name: kwh * J_PER_KWH for name, kwh in figures.items()}, ""

    def _components(self, tracker: Tracker) -> dict[str, Component]:
        """Asked at every reading, for a GPU's counter can fail on the way."""
        try:
            with quiet():
                return components_of(tracker)
        except Exception as error:
            return _failed(sentence(error))

    def _take_faults(self, tracker: Any) -> None:
        """The tracker's new failures, one line each: ``component: reason``, or a reason alone."""
        lines = getattr(tracker, "failures", ())[self._faults_seen :]
        self._faults_seen += len(lines)
        for line in lines:
            name, colon, reason = line.partition(": ")
            if not colon or name not in ("cpu", "ram", "gpu"):
                name, reason = "", line
            self._faults[name] = self._faults.get(name, (0, ""))[0] + 1, reason

    def _take_gpu_samples(self, tracker: Any) -> None:
        """codecarbon samples every second into lists that grow for ever and that each flush adds
        up again: what they hold is taken out of them."""
        guard = getattr(tracker, "_utilization_history_lock", None)
        history = getattr(tracker, "_gpu_utilization_history", None)
        if guard is None or history is None:
            return
        with guard:
            known = [percent for percent in history if percent is not None]
            self._gpu_percent += sum(known)
            self._gpu_samples += len(known)
            for name in ("gpu", "cpu", "ram"):
                getattr(tracker, f"_{name}_utilization_history", []).clear()
            getattr(tracker, "_ram_used_history", []).clear()


def _failed(reason: str) -> dict[str, Component]:
    return {name: Component("failed", reason) for name in ("cpu", "ram")}


def synchronise() -> None:
    """Wait for the work queued on every GPU, so that it is counted where it was asked for."""
    if cuda_in_use():
        cuda = sys.modules["torch"].cuda
        # An error of an earlier kernel surfaces here too; it is the run's to report, not ours.
        with contextlib.suppress(Exception):
            for device in range(cuda.device_count()):
                cuda.synchronize(device)


class _Deaf:
    """A stream that drops what one thread writes and passes on all else."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream, self._thread = stream, thread

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def mute() -> Iterator[None]:
    """Drops what this thread prints inside: AMD's library, which codecarbon imports where it is
    installed, prints two lines on a machine without its driver."""
    ours = [(name, _Deaf(getattr(sys, name), threading.get_ident())) for name in _STREAMS]
    for name, deaf in ours:
        setattr(sys, name, deaf)
    try:
        yield
    finally:
        for name, deaf in ours:
            if getattr(sys, name) is deaf:
                setattr(sys, name, deaf._stream)


_STREAMS = ("stdout", "stderr")
_guard = threading.Lock()
_shared: EnergySource | None = None
_users = 0


def acquire_source() -> EnergySource:
    """The tracker of this process, started by its first user (2 s cold, then 15 ms)."""
    global _shared, _users
    with _guard:
        if _shared is None:
            _shared, _users = EnergySource(), 0
        _users += 1
        return _shared


def release_source(source: Source) -> None:
    """Give the process's tracker back; its last user stops it."""
    global _shared, _users
    with _guard:
        if source is _shared:
            _users -= 1
            if _users > 0:
                return
            _shared = None
    source.close()


def _after_fork() -> None:
    """A forked child has none of the tracker's threads, and perhaps a lock that was held."""
    global _guard, _shared, _users
    _guard, _shared, _users = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
