"""Noise: processor time that was not ours, and what the network's counters say."""

from __future__ import annotations

import os

import pytest

from wattune.measure.network import transferred_bytes
from wattune.measure.noise import CONTENDED, foreign_cpu_percent, noise_flags
from wattune.measure.record import Phase, Utilisation

CORES = os.cpu_count() or 1


def phase(cpu_percent: float | None, ours: float | None, seconds: float = 10.0) -> Phase:
    """A phase in which we took `ours` percent of all cores' time."""
    cpu_s = None if ours is None else ours / 100 * seconds * CORES
    used = Utilisation(cpu_percent=cpu_percent, cpu_s=cpu_s)
    return Phase(duration_s=seconds, energy_j=1.0, utilisation=used)


@pytest.mark.parametrize(
    ("whole", "ours", "foreign"),
    [(50.0, 50.0, 0.0), (80.0, 50.0, 30.0), (49.0, 50.0, 0.0), (5.0, 0.0, 5.0)],
)
def test_what_others_took_is_the_machines_less_ours(
    whole: float, ours: float, foreign: float
) -> None:
    assert foreign_cpu_percent(phase(whole, ours)) == pytest.approx(foreign)


def test_a_neighbour_is_flagged_with_its_share() -> None:
    (flag,) = noise_flags(phase(80.0, 50.0))
    assert flag.startswith(CONTENDED)
    assert "30 %" in flag
    assert noise_flags(phase(55.0, 50.0)) == ()


def test_what_is_not_known_or_too_short_is_no_flag() -> None:
    assert noise_flags(phase(None, 10.0)) == ()
    assert noise_flags(phase(90.0, None)) == ()
    assert noise_flags(phase(90.0, 0.0, seconds=0.5)) == ()


def test_the_networks_counter_only_grows() -> None:
    first = transferred_bytes()
    second = transferred_bytes()
    assert first is None or (second is not None and second >= first >= 0)
