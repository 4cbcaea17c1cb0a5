"""Meter: energy, time, memory and utilisation of named phases, measured from outside.

    with Meter() as meter:
        with meter.phase("prepare") as phase:
            work()
    phase.result.energy_j

A meter never stops a run: what cannot be measured is `failed` with its reason, never 0. How
overlapping and nested phases share what was drawn is drawn in `timeline`.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Self

from ..errors import InputError
from .baseline import baseline_of
from .carbon import carbon_of
from .handle import PhaseHandle
from .memory import MemorySampler, keep_sampling_thread, let_sampling_thread_go
from .phases import Moment, add_phases, drawn_between
from .processes import gather_phases, launch
from .record import Baseline, Phase
from .sources.energy import (
    EnergySource,
    NoSource,
    Source,
    acquire_source,
    release_source,
    synchronise,
)
from .sources.tracker import TrackerFactory, offline_tracker, sentence
from .timeline import Span, Timeline
from .utilisation import usage_now

__all__ = ["Meter", "PhaseHandle", "add_phases"]

_innermost: ContextVar[Mapping[Meter, Span] | None] = ContextVar("innermost phases", default=None)
"""By meter, the phase that was opened last in this thread or task. A task starts with a copy of
its maker's context; a thread starts with an empty one, so its phases have no parent."""


class Meter:
    """Measures named phases. The tracker is started by the first phase, before that phase begins.

    All meters of a process share one tracker (two would each report the whole machine anyway), so
    a second meter starts at once. Figures are of the whole machine, child processes included;
    phases may nest and overlap, in threads and tasks. `phases` holds them by name: a name used
    again is added up, and time in which it is open several times at once counts once. Where
    several processes were launched together, only the first one on each machine measures energy.

    `place` or `intensity_g_per_kwh` say where the electricity is from (see `carbon_of`, which
    raises `InputError` for an unknown place): it is kept in `carbon`, metering does not need it.
    With a `baseline`, given or measured, phases closed from then on have a net energy. `clock`
    gives seconds; `tracker_factory` builds another tracker, which this meter then has for itself.
    """

    def __init__(
        self,
        place: str | None = None,
        intensity_g_per_kwh: float | None = None,
        *,
        baseline: Baseline | None = None,
        clock: Callable[[], float] = time.perf_counter,
        tracker_factory: TrackerFactory = offline_tracker,
    ) -> None:
        self.carbon = carbon_of(place, intensity_g_per_kwh)
        self.baseline = baseline
        self.clock = clock
        self.phases: dict[str, Phase] = {}
        self._total: Phase | None = None
        self._factory = tracker_factory
        self._description: dict[str, Any] | None = None
        self._lock = threading.RLock()
        self._source: Source | None = None
        self._running = False
        self._forget_process()
        _meters.add(self)

    def phase(self, name: str) -> PhaseHandle:
        """A context manager that meters what runs inside it.

        A name used again is added to what stands in `phases`; the handle's `result` is of this
        time alone. An exception inside closes the phase, is noted in it, and goes on its way.
        """
        return PhaseHandle(self, name)

    def repeat(
        self,
        name: str,
        work: Callable[[], object],
        *,
        at_least_s: float = 2.0,
        most: int = 1_000_000,
    ) -> Phase:
        """Meter `work`, called again and again for `at_least_s` seconds (at most `most` times).

        All figures are of all `repeats` together. Nothing is called to warm up: call `work` once
        before, where its first time is not meant.
        """
        handle = self.phase(name)
        with handle:
            begun, done, handle.repeats = self.clock(), 0, 0
            while done < 1 or (done < most and self.clock() - begun < at_least_s):
                work()
                done = handle.repeats = done + 1
        return handle.result

    def total(self) -> Phase:
        """All time in which any phase was open, each moment once, until now."""
        with self._lock:
            whole = self._timeline.whole
            stretches = [self._total] if self._total else []
            if whole is not None:
                now = self._now(ending=True)
                seen = self._timeline.until(whole, now)
                for sampler in self._samplers.values():
                    seen.peaks = seen.peaks.higher(sampler.peaks())
                stretches.append(seen.phase(now, self.baseline))
            return add_phases(stretches).model_copy(update={"repeats": 1})

    def so_far(self) -> dict[str, Phase]:
        """`phases`, with those that are still open as they are now, all at one moment and without a
        trace in those at the end; from any thread."""
        with self._lock:
            seen = dict(self.phases)
            if self._timeline.names:
                now = self._now(ending=True)
                for name, span in self._timeline.names.items():
                    this_time = self._timeline.until(span, now).phase(now, self.baseline)
                    before = self._before.get(name)
                    seen[name] = add_phases([before, this_time] if before else [this_time])
            return seen

    def gather(self) -> dict[str, Phase]:
        """The phases of all launched processes as one (see `gather_phases`): a collective that
        every rank has to call. In a single process its `phases`."""
        return gather_phases(self.phases)

    def measure_baseline(self, seconds: float = 3.0) -> Baseline:
        """Sleep for `seconds` and take what the machine draws meanwhile as its idle power.

        To be called while nothing of yours runs and no phase is open. Kept in `baseline`. Raises
        `InputError` unless `seconds` is a positive, finite number.
        """
        if not (math.isfinite(seconds) and seconds > 0):
            raise InputError(
                f"a baseline of {seconds:g} s: a number of seconds above 0 is expected"
            )
        self._running_source()
        with self._lock:
            idle = Span("baseline", None, self._now(ending=False))
        time.sleep(seconds)
        with self._lock:
            now = self._now(ending=True)
        idle.add(now.at_s - idle.began.at_s, drawn_between(idle.began, now), 1.0)
        self.baseline = baseline_of(idle.phase(now))
        return self.baseline

    def describe(self) -> dict[str, Any]:
        """What is metered: ``cpu``, ``cpu_mode``, ``cpu_tdp_w`` and its source, ``ram_model``,
        ``gpus``; or ``failed`` with the reason. Starts the tracker if nothing was metered yet."""
        with self._lock:
            if self._description is None:
                self._running_source()
            return dict(self._description or {})

    def close(self) -> None:
        """Stop metering; closing twice is fine. A phase begun later starts the tracker again; one
        still open loses its energy, which is then `failed`."""
        with self._lock:
            if not self._running:
                return
            self._running, source, samplers = False, self._source, list(self._samplers.values())
        for sampler in samplers:
            sampler.stop()
        let_sampling_thread_go()
        if source is not None:
            release_source(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running_source(self) -> Source:
        with self._lock:
            if self._source is None or not self._running:
                self._source = self._start()
                self._description = self._source.describe()
                self._running = True
                keep_sampling_thread()
            return self._source

    def _start(self) -> Source:
        try:
            if not launch().measures:
                return NoSource()
        except InputError as error:
            return NoSource(str(error))
        return acquire_source() if self._factory is offline_tracker else EnergySource(self._factory)

    def _now(self, *, ending: bool) -> Moment:
        """All figures now. Taking them is left out of a phase that begins or ends here."""
        assert self._source is not None
        at_s = self.clock() if ending else 0.0
        reading, usage = self._source.read(), usage_now()
        return Moment(at_s if ending else self.clock(), reading, usage, self._source)

    def _begin(self, name: str) -> Span:
        self._running_source()
        synchronise()
        sampler = MemorySampler()
        sampler.start()
        with self._lock:
            open_here = _innermost.get() or {}
            parent = open_here.get(self)
            while parent is not None and parent not in self._samplers:
                parent = parent.parent
            if name not in self._timeline.names:
                self._before[name] = self.phases.get(name)
            span = self._timeline.begin(name, parent, self._now(ending=False))
            self._samplers[span] = sampler
        _innermost.set({**open_here, self: span})
        return span

    def _so_far(self, span: Span, repeats: int) -> Phase | None:
        with self._lock:
            if span not in self._samplers:
                return None
            now = self._now(ending=True)
            seen = self._timeline.until(span, now)
            seen.peaks, seen.repeats = self._samplers[span].peaks(), repeats
            return seen.phase(now, self.baseline)

    def _end(self, span: Span, repeats: int, error: BaseException | None) -> Phase:
        synchronise()
        with self._lock:
            sampler = self._samplers.pop(span, None)
            if sampler is None:
                return span.lost(self.clock())
            now = self._now(ending=True)
            span.peaks, span.repeats = sampler.stop(), repeats
            span.error = sentence(error) if error is not None else None
            named, whole = self._timeline.end(span, now)
            result = span.phase(now, self.baseline)
            before = self._before.get(span.name)
            # The span of one phase alone has its very figures.
            this_time = result if named.members == 1 else named.phase(now, self.baseline)
            total = add_phases([before, this_time] if before else [this_time])
            self.phases = {**self.phases, span.name: total}  # whoever reads the old one may go on
            if self._timeline.whole is None:
                done = result if whole.members == 1 else whole.phase(now, self.baseline)
                self._total = add_phases([self._total, done] if self._total else [done])
        open_here = dict(_innermost.get() or {})
        if open_here.get(self) is span:  # not so in another thread, or when closed out of order
            del open_here[self]
            _innermost.set({**open_here, self: span.parent} if span.parent else open_here)
        return result

    def _forget_process(self) -> None:
        """Nothing is open and nothing runs: at the start, and in a forked child, which has none of
        its parent's threads and perhaps a lock that was held."""
        self._lock = threading.RLock()
        self._timeline = Timeline()
        self._samplers: dict[Span, MemorySampler] = {}
        self._before: dict[str, Phase | None] = {}
        self._source, self._running = None, False


_meters: weakref.WeakSet[Meter] = weakref.WeakSet()


def _after_fork() -> None:
    for meter in _meters:
        meter._forget_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
