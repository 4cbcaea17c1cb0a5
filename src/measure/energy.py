"""Cumulative energy of the machine, read by snapshots of one running tracker.

codecarbon's task interface loses nested tasks, so phases are metered by subtraction: the tracker
runs all the time, `EnergySource.read` flushes it and gives the cumulative energy of each component.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from typing import Any

from .components import Component, components_of, description_of
from .tracker import Capture, Tracker, TrackerFactory, offline_tracker, quiet, sentence, silence

J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Reading:
    """Cumulative joules by component, or the reason why there are none.

    `failures` counts the measurements that went wrong since the tracker was started: where it
    differs between two readings, the energy between them is not known.
    """

    energy_j: dict[str, float]
    failures: int = 0
    reason: str = ""


class EnergySource:
    """A running tracker: cumulative readings, and how each component's energy is known.

    Nothing here raises: what goes wrong is in `reason` and in the readings.
    """

    def __init__(self, factory: TrackerFactory = offline_tracker) -> None:
        self._lock = threading.RLock()
        self._capture = Capture()
        self._tracker: Tracker | None = None
        self._failures = 0
        self._attached = True
        self.reason = ""
        self._description: dict[str, Any] = {}
        quiet.attach()
        try:
            with silence():
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
                return Reading({}, self._failures, self.reason or "the energy tracker is closed")
            self._capture.total = None
            quiet.last_error = ""
            reason = ""
            try:
                if self._tracker.flush() is None or self._capture.total is None:
                    cause = f" ({quiet.last_error})" if quiet.last_error else ""
                    reason = f"the energy tracker gave no figure{cause}"
            except Exception as error:
                reason = f"the energy tracker gave no figure ({sentence(error)})"
            unseen: list[str] = list(getattr(self._tracker, "failures", ()))
            if not reason:
                figures = {
                    name: getattr(self._capture.total, f"{name}_energy")
                    for name in ("cpu", "ram", "gpu")
                }
                if all(isinstance(kwh, float) and math.isfinite(kwh) for kwh in figures.values()):
                    joules = {name: kwh * J_PER_KWH for name, kwh in figures.items()}
                    last = unseen[-1] if unseen else ""
                    return Reading(joules, self._failures + len(unseen), last)
                reason = "the energy tracker gave figures that are not numbers"
            self._failures += 1
            return Reading({}, self._failures + len(unseen), reason)

    def components(self) -> dict[str, Component]:
        """How the energy of each component is known now (a GPU's counter can fail on the way)."""
        if self._tracker is None or self.reason:
            reason = self.reason or "the energy tracker is closed"
            return {name: Component("failed", reason) for name in ("cpu", "ram")}
        try:
            with quiet():
                return components_of(self._tracker)
        except Exception as error:
            return {name: Component("failed", sentence(error)) for name in ("cpu", "ram")}

    def describe(self) -> dict[str, Any]:
        """CPU model, mode and rated power, memory model, GPUs; or why nothing is known."""
        return {**self._description, **({"failed": self.reason} if self.reason else {})}

    def close(self) -> None:
        """Stop the tracker; closing twice is fine."""
        with self._lock:
            tracker, self._tracker = self._tracker, None
        if tracker is not None:
            try:
                with quiet():
                    tracker.stop()
            except Exception as error:
                self.reason = self.reason or sentence(error)
        if self._attached:
            self._attached = False
            quiet.detach()


_guard = threading.Lock()
_shared: EnergySource | None = None
_owner = 0
_users = 0


def acquire_source() -> EnergySource:
    """The tracker of this process, started by its first user (2 s cold, then 15 ms)."""
    global _shared, _owner, _users
    with _guard:
        if _shared is None or _owner != os.getpid():  # a forked child has none of our threads
            _shared, _owner, _users = EnergySource(), os.getpid(), 0
        _users += 1
        return _shared


def release_source(source: EnergySource) -> None:
    """Give the process's tracker back; its last user stops it."""
    global _shared, _users
    with _guard:
        if source is not _shared:
            source.close()
            return
        _users -= 1
        if _users <= 0:
            _shared = None
            source.close()
