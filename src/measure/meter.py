"""Meter: energy, time and memory of named phases, measured from outside.

    with Meter() as meter:
        with meter.phase("prepare") as phase:
            work()
    phase.result.energy_j

A meter never stops a run: what cannot be measured is `failed` with its reason, never 0.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from .carbon import carbon_of
from .components import Component, cuda_in_use
from .energy import EnergySource, Reading, acquire_source, release_source
from .memory import MemorySampler
from .record import Energy, Phase, Provenance
from .tracker import TrackerFactory, offline_tracker, sentence

RESOLUTION_S = 0.1
"""Shorter phases are marked: load is counted in ticks of 10 ms and GPU counters move every 100 ms,
so their figure may be far off. Repeat short work until it lasts seconds."""

STILL_S = {"gpu": 1.0}
"""A component whose energy has not grown for this long has not been measured (GPU counters are
refreshed about every 100 ms; the others grow all the time)."""

WEAKNESS: tuple[Provenance, ...] = (
    "counter",
    "integrated_power",
    "modelled_load",
    "constant",
    "failed",
)


class PhaseHandle:
    """An open phase, as a context manager; `result` is there once it is closed."""

    def __init__(self, meter: Meter, name: str) -> None:
        self.name = name
        self._meter = meter
        self._result: Phase | None = None

    @property
    def result(self) -> Phase:
        """The measured phase. Raises RuntimeError while the phase is still open."""
        if self._result is None:
            raise RuntimeError(
                f'the phase "{self.name}" is still open; its figures come at its end'
            )
        return self._result

    def __enter__(self) -> Self:
        self._source = self._meter._running_source()
        _synchronise()
        self._memory = MemorySampler()
        self._memory.start()
        self._before = self._source.read()
        self._started = self._meter.clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _synchronise()
        duration = self._meter.clock() - self._started
        after = self._source.read()
        memory, gpu_memory = self._memory.stop()
        components = _energies(self._before, after, self._source.components(), duration)
        self._result = Phase(
            duration_s=duration,
            energy_j=_sum_known(components),
            components=components,
            peak_memory_bytes=memory,
            peak_gpu_memory_bytes=gpu_memory,
            below_resolution=duration < RESOLUTION_S,
            error=sentence(error) if error is not None else None,
        )
        self._meter._keep(self.name, self._result)


class Meter:
    """Measures named phases. The tracker is started by the first phase, before that phase begins.

    All meters of a process share one tracker (two would each report the whole machine anyway), so
    a second meter starts at once. Figures are of the whole machine, child processes included;
    phases may nest, each figure includes the phases within.

    `place` or `intensity_g_per_kwh` say where the electricity is from (see `carbon_of`, which
    raises `InputError` for an unknown place): it is kept in `carbon`, metering does not need it.
    `clock` gives seconds; `tracker_factory` builds another tracker, which this meter then has for
    itself.
    """

    def __init__(
        self,
        place: str | None = None,
        intensity_g_per_kwh: float | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        tracker_factory: TrackerFactory = offline_tracker,
    ) -> None:
        self.carbon = carbon_of(place, intensity_g_per_kwh)
        self.clock = clock
        self.phases: dict[str, Phase] = {}
        self._factory = tracker_factory
        self._source: EnergySource | None = None
        self._description: dict[str, Any] = {}
        self._lock = threading.RLock()

    def phase(self, name: str) -> PhaseHandle:
        """A context manager that meters what runs inside it.

        A name used again is added to what stands in `phases`; the handle's `result` is of this
        time alone. An exception inside closes the phase, is noted in it, and goes on its way.
        """
        return PhaseHandle(self, name)

    def describe(self) -> dict[str, Any]:
        """What is metered: ``cpu``, ``cpu_mode``, ``cpu_tdp_w`` and its source, ``ram_model``,
        ``gpus``; or ``failed`` with the reason. Starts the tracker if nothing was metered yet."""
        with self._lock:
            if self._source is None and not self._description:
                self._running_source()
            return dict(self._description)

    def close(self) -> None:
        """Stop metering; closing twice is fine. A phase begun later starts the tracker again."""
        with self._lock:
            source, self._source = self._source, None
        if source is None:
            return
        if self._factory is offline_tracker:
            release_source(source)
        else:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running_source(self) -> EnergySource:
        with self._lock:
            if self._source is None:
                shared = self._factory is offline_tracker
                self._source = acquire_source() if shared else EnergySource(self._factory)
                self._description = self._source.describe()
            return self._source

    def _keep(self, name: str, phase: Phase) -> None:
        with self._lock:
            before = self.phases.get(name)
            self.phases[name] = add_phases([before, phase]) if before else phase


def add_phases(phases: Iterable[Phase]) -> Phase:
    """Several stretches of work as one: times and energies summed, the largest peaks.

    A component that failed in one of them has failed in the sum, for its total is not known; of
    several provenances the weakest stands. No phases at all cost nothing: 0 s and 0 J.
    """
    stretches = list(phases)
    if not stretches:
        return Phase(duration_s=0.0, energy_j=0.0)
    components: dict[str, Energy] = {}
    for phase in stretches:
        for name, energy in phase.components.items():
            components[name] = _add(components[name], energy) if name in components else energy
    return Phase(
        duration_s=sum(phase.duration_s for phase in stretches),
        energy_j=_sum_known(components),
        components=components,
        peak_memory_bytes=_largest(phase.peak_memory_bytes for phase in stretches),
        peak_gpu_memory_bytes=_largest(phase.peak_gpu_memory_bytes for phase in stretches),
        below_resolution=all(phase.below_resolution for phase in stretches),
        error=next((phase.error for phase in stretches if phase.error), None),
    )


def _sum_known(components: dict[str, Energy]) -> float | None:
    known = [part.energy_j for part in components.values() if part.energy_j is not None]
    return sum(known) if known else None


def _add(first: Energy, second: Energy) -> Energy:
    weaker = max((first, second), key=lambda energy: WEAKNESS.index(energy.provenance))
    if first.energy_j is None or second.energy_j is None:
        return weaker.model_copy(update={"energy_j": None, "provenance": "failed"})
    return weaker.model_copy(update={"energy_j": first.energy_j + second.energy_j})


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _energies(
    before: Reading, after: Reading, components: dict[str, Component], duration: float
) -> dict[str, Energy]:
    """Energy of each component between two cumulative readings, in joules."""
    reason = ""
    if not before.energy_j or not after.energy_j:
        reason = after.reason if not after.energy_j else before.reason
    elif after.failures != before.failures:
        reason = f"a measurement failed within the phase ({after.reason})"
    energies: dict[str, Energy] = {}
    for name, (provenance, detail) in components.items():
        if provenance == "failed" or reason:
            why = detail if provenance == "failed" else reason
            energies[name] = Energy(energy_j=None, provenance="failed", detail=why)
            continue
        joules = after.energy_j[name] - before.energy_j[name]
        if joules < 0 or (joules == 0 and duration >= STILL_S.get(name, RESOLUTION_S)):
            why = f"the figure moved by {joules:g} J in {duration:.3g} s, so it was not measured"
            energies[name] = Energy(energy_j=None, provenance="failed", detail=f"{why}; {detail}")
        else:
            energies[name] = Energy(energy_j=joules, provenance=provenance, detail=detail)
    return energies


def _synchronise() -> None:
    """Wait for the work queued on every GPU, so that it is counted where it was asked for."""
    if cuda_in_use():
        cuda = sys.modules["torch"].cuda
        # An error of an earlier kernel surfaces here too; it is the run's to report, not ours.
        with contextlib.suppress(Exception):
            for device in range(cuda.device_count()):
                cuda.synchronize(device)
