"""Bills: what something cost, and what each stage of a run cost, when it was made and now."""

from __future__ import annotations

from typing import Any

from ..values import Value
from .work import NO_WORK, Work


class Bill(Value):
    """What something cost: energy in joules, gross and net of idle (None where unknown), and time
    in seconds."""

    energy_j: float | None = 0.0
    duration_s: float = 0.0
    net_energy_j: float | None = 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            energy_j=_both(self.energy_j, other.energy_j),
            duration_s=self.duration_s + other.duration_s,
            net_energy_j=_both(self.net_energy_j, other.net_energy_j),
        )


def _both(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


class StageRecord(Value):
    """One step of the run: prepared now, or found prepared (then `spent` is zero)."""

    strategy: str
    key: str
    reused: bool
    spent: Bill
    attributed: Bill
    work: Work = NO_WORK
    peak_memory_bytes: int | None = None
    artefact_bytes: int = 0
    details: dict[str, Any] = {}
