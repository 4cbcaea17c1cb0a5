"""Figures as a person reads them: three digits, and the unit that keeps them short."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

from ..compare.wording import listed, number
from ..durations import PER_YEAR, YEAR_DAYS
from ..measure.quality import better
from ..measure.score import Score

NAMED = 3
"""Runs that a sentence names; of more it says how many."""
POINT = 0.01
"""One point of quality: a hundredth of a metric that runs from 0 to 1."""


def energy(wh: float) -> str:
    """Watt-hours as Wh, kWh or MWh."""
    size, unit = _unit(wh)
    return f"{number(wh / size)} {unit}"


def energy_within(wh: float, low: float, high: float) -> str:
    """Watt-hours with their interval, in one unit: ``1.58 kWh [1.42, 1.77]``."""
    size, unit = _unit(wh)
    return f"{number(wh / size)} {unit} [{number(low / size)}, {number(high / size)}]"


def _unit(wh: float) -> tuple[float, str]:
    return next(((s, u) for s, u in ((1e6, "MWh"), (1e3, "kWh")) if abs(wh) >= s), (1.0, "Wh"))


def grams(g: float) -> str:
    """Grams of CO2e as g, kg or t."""
    for factor, unit in ((1e6, "t"), (1e3, "kg")):
        if abs(g) >= factor:
            return f"{number(g / factor)} {unit} CO₂e"
    return f"{number(g)} g CO₂e"


def scored(score: Score) -> str:
    """A mean with its 95 % interval: ``0.33 [0.28, 0.38]``."""
    return f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]"


def at_least(metric: str) -> str:
    """Which way a limit of a metric goes: ``at least``, or ``at most`` where lower is better."""
    return "at least" if better(metric) == "higher" else "at most"


def often(refreshes_per_year: float) -> str:
    """How often knowledge is brought up to date: ``weekly``, ``every 10 days``."""
    for word, times in PER_YEAR.items():
        if isclose(refreshes_per_year, times, rel_tol=0.01):  # 52 times is weekly
            return word
    if refreshes_per_year < 1:
        return f"every {number(1 / refreshes_per_year)} years"
    return f"every {number(YEAR_DAYS / refreshes_per_year)} days"


def who(names: Sequence[str], total: int) -> str:
    """Up to three by name, more by number: ``rag and lora``, ``all 7 runs``, ``5 of 7 runs``."""
    if len(names) <= NAMED:
        return listed(names)
    return f"all {total} runs" if len(names) == total else f"{len(names)} of {total} runs"


def counted(count: int, name: str) -> str:
    """``1 run``, ``7 runs``."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"
