"""Phases: energies by component, added up over intervals and over stretches of work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, get_args

from .record import Energy, Phase, Provenance, Utilisation
from .sources.components import Component
from .sources.energy import Reading, Source
from .utilisation import Usage

RESOLUTION_S = 0.1
"""Shorter phases are marked: load is counted in ticks of 10 ms and GPU counters move every 100 ms,
so their figure may be far off. Repeat short work until it lasts seconds."""

STILL_S = {"gpu": 1.0}
"""A component whose energy has not grown for this long has not been measured (GPU counters are
refreshed about every 100 ms; the others grow all the time)."""

WEAKNESS: tuple[Provenance, ...] = get_args(Provenance)
"""`Provenance` is declared from the strongest to the weakest."""

Number = TypeVar("Number", int, float)


class Moment(NamedTuple):
    """All cumulative figures at one time; `source` is who gave the reading."""

    at_s: float
    reading: Reading
    usage: Usage
    source: Source


class Drawn(NamedTuple):
    """What one component drew in one interval: joules, or why they are not known."""

    joules: float
    component: Component
    reason: str = ""


def drawn_between(before: Moment, after: Moment) -> dict[str, Drawn]:
    """What each component drew between two moments."""
    first, last = before.reading, after.reading
    reason = ""
    if before.source is not after.source:
        reason = "the meter was closed within the phase"
    elif not first.energy_j or not last.energy_j:
        reason = last.reason if not last.energy_j else first.reason
    drawn = {}
    for name, component in {**first.components, **last.components}.items():
        why = component.detail if component.provenance == "failed" else reason
        for key in ("", name):
            count, fault = last.faults.get(key, (0, ""))
            if not why and count != first.faults.get(key, (0, ""))[0]:
                why = f"a measurement failed within the phase ({fault})"
        joules = 0.0 if why else last.energy_j[name] - first.energy_j[name]
        if joules < 0:
            why = f"the figure went back by {-joules:g} J; {component.detail}"
        drawn[name] = Drawn(0.0 if why else joules, component, why)
    return drawn


@dataclass
class _Sum:
    joules: float = 0.0
    covered_s: float = 0.0
    component: Component | None = None
    reason: str = ""


@dataclass
class Tally:
    """Seconds, and joules by component, added up over intervals."""

    seconds: float = 0.0
    sums: dict[str, _Sum] = field(default_factory=dict)

    def add(self, seconds: float, drawn: Mapping[str, Drawn], share: float = 1.0) -> None:
        """Give `share` of one interval."""
        self.seconds += seconds * share
        for name, part in drawn.items():
            total = self.sums.setdefault(name, _Sum())
            total.component = _weaker(total.component, part.component)
            if part.reason:
                total.reason = total.reason or part.reason
            else:
                total.joules += part.joules * share
                total.covered_s += seconds * share

    def energies(self) -> dict[str, Energy]:
        """The components with their figures, or `failed` where an interval has none."""
        return {name: self._energy(name, total) for name, total in self.sums.items()}

    def _energy(self, name: str, total: _Sum) -> Energy:
        assert total.component is not None
        known = total.component
        reason, covered = total.reason, total.covered_s
        if not reason and total.joules == 0 and self.seconds >= STILL_S.get(name, RESOLUTION_S):
            reason = f"no energy in {self.seconds:.3g} s, so it was not measured; {known.detail}"
            covered = 0.0
        return Energy(
            energy_j=None if reason else total.joules,
            provenance="failed" if reason else known.provenance,
            detail=reason or known.detail,
            tdp_w=known.tdp_w,
            tdp_source=known.tdp_source,
            coverage=_share(covered, self.seconds) if reason else 1.0,
        )


def add_phases(phases: Iterable[Phase]) -> Phase:
    """Several stretches of work as one: times, energies and repeats summed, the largest peaks.

    The stretches must not overlap, or their time and energy would be counted twice. A component
    that failed in one of them has failed in the sum, for its total is not known, and its coverage
    counts that stretch as 0; of several provenances the weakest stands. Percentages are means over
    the time that has them. No phases at all cost nothing: 0 s and 0 J.
    """
    stretches = list(phases)
    if not stretches:
        return Phase(
            duration_s=0.0,
            energy_j=0.0,
            exclusive_duration_s=0.0,
            exclusive_energy_j=0.0,
            net_energy_j=0.0,
        )
    if len(stretches) == 1:
        return stretches[0]
    names = dict.fromkeys(name for phase in stretches for name in phase.components)
    components = {name: _sum_of(name, stretches) for name in names}
    parents = {phase.parent for phase in stretches}
    return Phase(
        duration_s=sum(phase.duration_s for phase in stretches),
        energy_j=sum_known(components),
        exclusive_duration_s=known_total(phase.exclusive_duration_s for phase in stretches),
        exclusive_energy_j=known_total(phase.exclusive_energy_j for phase in stretches),
        net_energy_j=known_total(phase.net_energy_j for phase in stretches),
        components=components,
        utilisation=_utilisation(stretches),
        peak_memory_bytes=largest(phase.peak_memory_bytes for phase in stretches),
        peak_gpu_memory_bytes=largest(phase.peak_gpu_memory_bytes for phase in stretches),
        parent=parents.pop() if len(parents) == 1 else None,
        overlapped=any(phase.overlapped for phase in stretches),
        repeats=sum(phase.repeats for phase in stretches),
        below_resolution=all(phase.below_resolution for phase in stretches),
        error=next((phase.error for phase in stretches if phase.error), None),
    )


def scaled(phase: Phase, share: float) -> Phase:
    """A `share` of a stretch of work, 0 to 1: times, energies and what was counted in proportion.

    Peaks, percentages, provenance and coverage are those of the whole.
    """

    def part(value: float | None) -> float | None:
        return None if value is None else value * share

    use = phase.utilisation
    read, written = part(use.disk_read_bytes), part(use.disk_write_bytes)
    return phase.model_copy(
        update={
            "duration_s": phase.duration_s * share,
            "energy_j": part(phase.energy_j),
            "exclusive_duration_s": part(phase.exclusive_duration_s),
            "exclusive_energy_j": part(phase.exclusive_energy_j),
            "net_energy_j": part(phase.net_energy_j),
            "components": {
                name: energy.model_copy(update={"energy_j": part(energy.energy_j)})
                for name, energy in phase.components.items()
            },
            "utilisation": use.model_copy(
                update={
                    "cpu_s": part(use.cpu_s),
                    "disk_read_bytes": None if read is None else round(read),
                    "disk_write_bytes": None if written is None else round(written),
                }
            ),
        }
    )


def sum_known(components: Mapping[str, Energy]) -> float | None:
    """The sum over the components that are known, None when none is."""
    known = [part.energy_j for part in components.values() if part.energy_j is not None]
    return sum(known) if known else None


def largest(values: Iterable[Number | None]) -> Number | None:
    """The largest of the known values."""
    return max((value for value in values if value is not None), default=None)


def _sum_of(name: str, stretches: list[Phase]) -> Energy:
    parts = [(p.components[name], p.duration_s) for p in stretches if name in p.components]
    energies = [energy for energy, _ in parts]
    weakest = max(energies, key=lambda energy: WEAKNESS.index(energy.provenance))
    total = known_total(energy.energy_j for energy in energies)
    covered = sum(part.coverage * s for part, s in parts if part.energy_j is not None)
    seconds = sum(phase.duration_s for phase in stretches)
    return weakest.model_copy(
        update={
            "energy_j": total,
            "provenance": "failed" if total is None else weakest.provenance,
            "coverage": _share(covered, seconds) if seconds else float(total is not None),
        }
    )


def _utilisation(stretches: list[Phase]) -> Utilisation:
    each = [(phase.utilisation, phase.duration_s) for phase in stretches]
    uses = [use for use, _ in each]
    return Utilisation(
        cpu_percent=_mean((use.cpu_percent, seconds) for use, seconds in each),
        cpu_s=known_total(use.cpu_s for use in uses),
        gpu_percent=_mean((use.gpu_percent, seconds) for use, seconds in each),
        memory_percent=largest(use.memory_percent for use in uses),
        disk_read_bytes=known_total(use.disk_read_bytes for use in uses),
        disk_write_bytes=known_total(use.disk_write_bytes for use in uses),
    )


def known_total(values: Iterable[Number | None]) -> Number | None:
    """The sum, None where one of the values is not known."""
    total: Number | None = None
    for value in values:
        if value is None:
            return None
        total = value if total is None else total + value
    return total


def _mean(weighted: Iterable[tuple[float | None, float]]) -> float | None:
    """The mean of the known values, by their seconds."""
    known = [(value, seconds) for value, seconds in weighted if value is not None]
    whole = sum(seconds for _, seconds in known)
    return sum(value * seconds for value, seconds in known) / whole if whole else None


def _share(part: float, whole: float) -> float:
    """`part` of `whole`, 0 to 1; rounding can make the sum of parts a little more."""
    return min(1.0, part / whole) if whole else 0.0


def _weaker(one: Component | None, other: Component) -> Component:
    """Of two ways to know, the weaker; a failure tells its reason elsewhere."""
    if one is None or WEAKNESS.index(other.provenance) > WEAKNESS.index(one.provenance):
        return other
    return one
