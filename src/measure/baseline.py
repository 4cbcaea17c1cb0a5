"""Baseline: what the machine draws with nothing of ours running, and energy net of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from .record import Baseline, Energy, Phase


def baseline_of(idle: Phase) -> Baseline:
    """The mean power, in watts, of each component that has a figure in an idle phase, and how busy
    the processors were meanwhile."""
    return Baseline(
        power_w={
            name: energy.energy_j / idle.duration_s
            for name, energy in idle.components.items()
            if energy.energy_j is not None and idle.duration_s > 0
        },
        duration_s=idle.duration_s,
        cpu_percent=idle.utilisation.cpu_percent,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def net_energy_j(
    components: Mapping[str, Energy], duration_s: float, baseline: Baseline | None
) -> float | None:
    """Joules of the known components above idle power x time.

    None without a baseline, where no component is known, or where one has a figure but no idle
    power. Noise in either can make it a little negative.
    """
    known = {name: part.energy_j for name, part in components.items() if part.energy_j is not None}
    if baseline is None or not known or not known.keys() <= baseline.power_w.keys():
        return None
    return sum(joules - baseline.power_w[name] * duration_s for name, joules in known.items())
