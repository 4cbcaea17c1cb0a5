"""A year to come: what training, refreshes and answers will take month by month, and by scope.

    Row ─▶ life cycle of one month ─▶ answers grow ─▶ Month: joules by part ─▶ Footprint by scope

A month is a twelfth of 365 days. Training stands in the first one. All rests on what was measured
once: the same machine, the same way of serving, the same grid in every month.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..durations import YEAR_DAYS
from ..errors import InputError
from ..measure.accounts.footprint import Accounting, footprint_of
from ..measure.accounts.yaml_table import validated
from ..measure.carbon import J_PER_WH, CarbonSource
from ..measure.record import Bill, Carbon, Footprint, Record
from .layout import Table
from .lifecycle import LifeCycle, life_cycle
from .seeds import Row
from .table import Comparison, compare
from .usage import Usage

MONTHS = 12
MONTH_DAYS = YEAR_DAYS / MONTHS
WORDS = {"prepare": "training", "refreshes": "refreshes", "answers": "answers", "idle": "idle"}
"""What the parts of a life cycle are called here."""


@dataclass(frozen=True)
class Month:
    """One month: how much is asked, joules by part (None where not known), and the footprint of all
    of it. `number` counts from 1."""

    number: int
    answers: float
    parts_j: dict[str, float | None]
    footprint: Footprint

    @property
    def total_j(self) -> float | None:
        """The joules of all parts; None where one is not known."""
        return _sum(self.parts_j.values())


@dataclass(frozen=True)
class Projection:
    """A run's months, and the life cycle of a month without growth that they are made of."""

    label: str
    cycle: LifeCycle
    carbon: Carbon | None
    months: tuple[Month, ...]


@dataclass(frozen=True)
class Year:
    """The projections of all runs of a comparison, side by side and not ranked."""

    comparison: Comparison
    usage: Usage
    growth_per_month: float
    projections: tuple[Projection, ...]

    def plain(self) -> list[dict[str, Any]]:
        """One row a run and month; null where a figure is unknown. Wh, grams of CO2e."""
        return [
            {
                "run": each.label,
                "month": month.number,
                "answers": month.answers,
                "refreshes": self.usage.refreshes,
                **{f"{WORDS[part]}_wh": _wh(joules) for part, joules in month.parts_j.items()},
                "total_wh": _wh(month.total_j),
                **month.footprint.model_dump(
                    include={"operational_g", "embodied_g", "boundary", *SCOPES}
                ),
            }
            for each in self.projections
            for month in each.months
        ]

    def tables(self) -> list[Table]:
        """One run by month, with the total below; of several runs a row each, over all months."""
        if len(self.projections) == 1:
            (only,) = self.projections
            lines = [(str(month.number), [month]) for month in only.months]
            title = f"{only.label}, by month"
            first = "month"
            lines.append(("all", list(only.months)))
        else:
            lines = [(each.label, list(each.months)) for each in self.projections]
            title, first = f"{len(self.projections[0].months)} months together", "run"
        parts = [p for p in WORDS if any(m.parts_j[p] != 0 for _, ms in lines for m in ms)]
        grams = [
            field
            for field in GRAMS
            if field == "operational_g"
            or any(getattr(m.footprint, field) is not None for _, ms in lines for m in ms)
        ]
        headers = [f"{WORDS[part]}\nWh" for part in parts]
        rows = [
            (
                name,
                f"{sum(m.answers for m in ms):,.0f}",
                *(_shown(_wh(m.parts_j[part]) for m in ms) for part in parts),
                _shown(_wh(m.total_j) for m in ms),
                *(_shown((getattr(m.footprint, field) for m in ms), 2) for field in grams),
            )
            for name, ms in lines
        ]
        heads = (first, "answers", *headers, "total\nWh", *(GRAMS[field] for field in grams))
        return [Table(title, heads, tuple(rows))]

    def notes(self) -> list[str]:
        """What the figures rest on, and why some are not known."""
        served = "all at once" if self.usage.serving == "batch" else "one at a time"
        notes = [
            f"Answers begin at {self.usage.answers_per_day:,.0f} a day, served {served}, and grow "
            f"by {100 * self.growth_per_month:.3g} % a month; refreshes: "
            f"{self.usage.refreshes:.3g} a month. Training stands in the first month. A month is a "
            "twelfth of 365 days. Energy is as it was measured once; the grid stays as it is."
        ]
        grids: dict[str, dict[str, None]] = {}
        unknown: dict[str, dict[str, None]] = {}
        for each in self.projections:
            if each.carbon is not None:
                year = f", {each.carbon.year}" if each.carbon.year else ""
                pue = f", PUE {each.carbon.pue:g}" if each.carbon.pue != 1 else ""
                grid = (
                    f"{each.carbon.intensity_g_per_kwh:g} g/kWh ({each.carbon.place}, "
                    f"{each.carbon.source}{year}{pue})"
                )
                grids.setdefault(f"grams of CO₂e are by {grid}", {})[each.label] = None
            said = [*each.cycle.unknown, *each.months[0].footprint.notes]
            for reason in said:
                if not reason.startswith(("no SCI", "the making")):
                    unknown.setdefault(reason, {})[each.label] = None
        for told in (grids, unknown):
            for sentence, labels in told.items():
                of = "" if len(labels) == len(self.projections) else f"{', '.join(labels)}: "
                notes.append(f"{of}{sentence}." if of else f"{sentence[:1].upper()}{sentence[1:]}.")
        return [*notes, *self.comparison.reasons]


SCOPES = {
    "scope2_location_g": "scope 2 g\nlocation",
    "scope2_market_g": "scope 2 g\nmarket",
    "scope3_g": "scope 3\ng",
}
GRAMS = {"operational_g": "operation\ngCO₂e", "embodied_g": "making\ngCO₂e", **SCOPES}


def project(
    records: Sequence[Record],
    usage: Usage,
    *,
    months: int = MONTHS,
    growth_per_month: float = 0.0,
    place: str | None = None,
    boundary: str | None = None,
) -> Year:
    """What each run of the records will take in so many months, its answers growing.

    `usage` holds for the first month, whatever its horizon. Grams are by each record's own grid,
    or by the yearly average of `place`; scopes by its own boundary, or by `boundary`. Raises
    `InputError` for no finished record, an unknown place or boundary.
    """
    comparison = compare(records)
    if not comparison.done:
        raise InputError("no run there is done, so nothing is known to project")
    carbon = CarbonSource(place).over().carbon if place is not None else None
    monthly = usage.model_copy(update={"horizon_days": MONTH_DAYS})
    projections = tuple(
        _projection(row, monthly, months, growth_per_month, carbon, boundary)
        for row in comparison.rows
    )
    return Year(comparison, monthly, growth_per_month, projections)


def _projection(
    row: Row,
    monthly: Usage,
    months: int,
    growth: float,
    carbon: Carbon | None,
    boundary: str | None,
) -> Projection:
    first = row.records[0]
    declared = {
        **(first.recipe.get("accounting") or {}),
        "report": None,  # a provider's export tells of the past
        **({} if boundary is None else {"boundary": boundary}),
    }
    accounting = validated(Accounting, declared, f"accounting of {row.label}")
    grid = accounting.settled(carbon if carbon is not None else first.carbon)
    cycle = life_cycle(row, monthly)
    held_s = _seconds(row, monthly)
    if None in held_s.values():  # nor is then the share of the hardware's making
        accounting = accounting.model_copy(update={"embodied": None})
    found: list[Month] = []
    for number in range(1, months + 1):
        scale = (1 + growth) ** (number - 1)
        factors = {"prepare": float(number == 1), "answers": scale, "refreshes": 1.0, "idle": 1.0}
        parts = {
            part: 0.0 if not factors[part] else None if joules is None else joules * factors[part]
            for part, joules in cycle.parts_j.items()
        }
        seconds = sum((each or 0.0) * factors[part] for part, each in held_s.items())
        bill = Bill(energy_j=_sum(parts.values()), duration_s=seconds)
        month = first.model_copy(update={"spent": bill})
        footprint = footprint_of(month, accounting, grid)
        answers = monthly.answers * scale
        found.append(Month(number, answers, parts, footprint))
    return Projection(row.label, cycle, grid, tuple(found))


def _seconds(row: Row, monthly: Usage) -> dict[str, float | None]:
    """How long the machine is held in a month, by part (None where not known): what its making is
    shared out by."""

    def of_rows(amount: float, of: Callable[[Record], float | None]) -> float | None:
        figure = row.figure(of) if amount else 0.0
        return amount * figure if isinstance(figure, float) else None

    def answer_s(record: Record) -> float | None:
        if monthly.serving == "realtime":
            phase, alone = record.phases.get("realtime"), record.realtime
            count = alone.questions if alone is not None else None
        else:
            phase, count = record.phases.get("answer"), record.answers
        return phase.duration_s / phase.repeats / count if phase is not None and count else None

    def refresh_s(record: Record) -> float | None:
        if monthly.refresh_costs == "prepare" or not record.prepare.energy_j:
            return record.prepare.duration_s
        return record.refresh.attributed.duration_s if record.refresh is not None else None

    return {
        "prepare": of_rows(1.0, lambda record: record.prepare.duration_s),
        "refreshes": of_rows(monthly.refreshes, refresh_s),
        "answers": of_rows(monthly.answers * (1 - monthly.cached_share), answer_s),
        "idle": monthly.idle_s,
    }


def growth_of(text: str) -> float:
    """The growth a month, as a fraction, of ``5%/month`` or ``30%/year``; it may shrink (``-2%``).

    A year's growth is spread over twelve equal steps. Raises `InputError` for anything else.
    """
    found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*%\s*/\s*(month|year)\s*", text)
    if not found or float(found[1]) < -100:
        raise InputError(f'growth "{text}": 5%/month or 30%/year is expected')
    rate = float(found[1]) / 100
    return rate if found[2] == "month" else (1 + rate) ** (1 / MONTHS) - 1


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _wh(joules: float | None) -> float | None:
    return None if joules is None else joules / J_PER_WH


def _shown(values: Iterable[float | None], digits: int = 1) -> str:
    total = _sum(values)
    return "–" if total is None else f"{total:,.{digits}f}"
