"""Planned and measured: how far a run was from what a plan had said of it before it began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from ..measure.predicted import Expected, Predicted, total
from ..measure.record import Bill, Phase, Record
from .forgetting import Parts
from .seeds import Row


class Outcome(NamedTuple):
    """A figure that was planned, and what it came to, in the same unit."""

    expected: Expected
    measured: float

    @property
    def ratio(self) -> float | None:
        """Measured over planned; None where nothing was planned."""
        return self.measured / self.expected.likely if self.expected.likely else None

    @property
    def covered(self) -> bool:
        """Whether it lies within the stated range."""
        return self.expected.covers(self.measured)


FIGURES = {
    "tokens_in": "tokens\nin",
    "tokens_out": "tokens\nout",
    "flops": "operations",
    "duration_s": "time",
    "energy_j": "energy",
    "peak_memory_bytes": "memory",
}
"""What is compared, with its heading."""


def outcomes(record: Record) -> dict[str, Outcome]:
    """What was planned of a run beside what it took, by the names of `FIGURES`; what either side
    does not know is left out.

    Tokens are those of answering, operations those of preparing and answering. Time and energy are
    of the phases that were planned and took place, preparing as it is attributed.
    """
    plan = record.predicted
    if plan is None or record.status != "done":
        return {}
    answer, prepare = record.work.get("answer"), record.work.get("prepare")
    found: dict[str, tuple[Expected | None, float | None]] = {
        "tokens_in": (plan.tokens_in, answer.tokens_in if answer else None),
        "tokens_out": (plan.tokens_out, answer.tokens_out if answer else None),
        "flops": (
            total([plan.flops_prepare, plan.flops_answer]),
            _sum([prepare.flops if prepare else None, answer.flops if answer else None]),
        ),
        **_phases(record, plan),
        "peak_memory_bytes": (plan.peak_memory_bytes, _peak(record)),
    }
    return {
        name: Outcome(expected, float(measured))
        for name, (expected, measured) in found.items()
        if expected is not None and measured is not None
    }


def _phases(record: Record, plan: Predicted) -> dict[str, tuple[Expected | None, float | None]]:
    """Seconds and joules of all phases that were planned and measured."""
    bills: dict[str, Bill | Phase] = {"prepare": record.prepare, **record.phases}
    both = [(plan.phases[name], bills[name]) for name in plan.phases if name in bills]
    return {
        "duration_s": (
            total(planned.duration_s for planned, _ in both) if both else None,
            _sum(took.duration_s for _, took in both),
        ),
        "energy_j": (
            total(planned.energy_j for planned, _ in both) if both else None,
            _sum(took.energy_j for _, took in both),
        ),
    }


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


def _peak(record: Record) -> int | None:
    """The largest resident memory of stages and phases that were planned."""
    plan = record.predicted
    phases = [phase for name, phase in record.phases.items() if plan and name in plan.phases]
    peaks = [*(stage.peak_memory_bytes for stage in record.stages)]
    peaks += [phase.peak_memory_bytes for phase in phases]
    return max((peak for peak in peaks if peak is not None), default=None)


def planned_tables(rows: Sequence[Row]) -> list[Parts]:
    """By how much runs exceeded their plans, where they were planned; of several seeds the mean."""
    lines = []
    for row in rows:
        found = [each for record in row.records if (each := outcomes(record))]
        if found:
            lines.append((row.label, *(_cell(found, name) for name in FIGURES)))
    if not lines:
        return []
    title = "Planned and measured: by how much each run exceeded its plan (* beyond its 80 % range)"
    return [(title, ("run", *FIGURES.values()), tuple(lines))]


def _cell(found: Sequence[dict[str, Outcome]], name: str) -> str:
    """Such as ``+12 %*``."""
    known = [each[name] for each in found if name in each]
    ratios = [one.ratio for one in known if one.ratio is not None]
    if not ratios:
        return "–"
    beyond = "" if all(one.covered for one in known) else "*"
    return f"{100 * (fmean(ratios) - 1):+.0f} %{beyond}"
