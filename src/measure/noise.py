"""Noise: was the machine ours while it was metered? Energy is of the whole machine."""

from __future__ import annotations

import os

from .record import Phase

CONTENDED = "contended"
"""Flag of a record during whose answering other programs kept the processors busy."""

NOISE_PERCENT = 10.0
"""Of all cores' time: the system's own chores stay below, another computation does not."""


SHORTEST_S = 1.0


def foreign_cpu_percent(phase: Phase) -> float | None:
    """Processor time that went to other programs than this process and its children, in percent
    of all cores' time, 0 to 100; None where the system does not say, or for less than a second:
    time is counted in ticks of 10 ms."""
    used = phase.utilisation
    if used.cpu_percent is None or used.cpu_s is None or phase.duration_s < SHORTEST_S:
        return None
    ours = 100.0 * used.cpu_s / (phase.duration_s * (os.cpu_count() or 1))
    return max(0.0, used.cpu_percent - ours)


def noise_flags(phase: Phase) -> tuple[str, ...]:
    """The flag of a phase that shared its machine, with how much, or none."""
    foreign = foreign_cpu_percent(phase)
    if foreign is None or foreign < NOISE_PERCENT:
        return ()
    return (f"{CONTENDED}: {foreign:.0f} % of the processors' time went to other programs",)
