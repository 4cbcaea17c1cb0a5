"""Money over a time of use, by the prices behind the money that stands in a Record."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from ..measure.record import Record
from .seeds import Row
from .usage import Usage

AGREES = 1e-6
"""Relative; money is kept in full precision, so what was made by one tariff agrees far closer."""


def money_of_use(row: Row, usage: Usage, idle_w: float | None) -> tuple[float | None, str | None]:
    """What the use of a row costs over the horizon, and in which currency.

    The mean over the seeds; None where a part that the usage has is not known in money, or where
    the seeds were paid in several currencies.
    """
    currencies = {record.money.currency if record.money else None for record in row.records}
    currency = currencies.pop() if len(currencies) == 1 else None
    costs = [_money(record, usage, idle_w) for record in row.records]
    known = sorted(cost for cost in costs if cost is not None)
    if currency is None or len(known) < len(costs):
        return None, None
    return statistics.fmean(known), currency


class Tariff(NamedTuple):
    """Money of a joule (the data centre's overhead included) and of a second."""

    per_j: float
    per_s: float

    def of(self, energy_j: float, duration_s: float) -> float:
        """The money of so many joules and seconds."""
        return energy_j * self.per_j + duration_s * self.per_s


def tariff_of(record: Record) -> Tariff | None:
    """The tariff behind a record's money; None where it has none, or none fits.

    A run's money is joules times a price plus seconds times a price (`money_of` in
    measure/accounts/money.py), and a Record holds it of three things whose joules and seconds it
    holds too: preparing, the answers and all that was spent. So the two prices follow. Where an
    endpoint is paid by the token, no such pair of prices fits.
    """
    money, answering = record.money, record.phases.get("answer")
    if money is None:
        return None
    bills = [(money.prepare, record.prepare.energy_j, record.prepare.duration_s)]
    bills.append((money.spent, record.spent.energy_j, record.spent.duration_s))
    if answering is not None and money.answers_1000 is not None:
        given = money.answers_1000 * record.answers * answering.repeats / 1000
        bills.append((given, answering.energy_j, answering.duration_s))
    known = [
        (cost, joules or 0.0, seconds) for cost, joules, seconds in bills if cost and seconds > 0
    ]
    return next((tariff for tariff in _candidates(known) if _fits(tariff, known)), None)


def _money(record: Record, usage: Usage, idle_w: float | None) -> float | None:
    money, tariff = record.money, tariff_of(record)
    if money is None or money.prepare is None:
        return None
    asked = usage.worked_out
    parts: list[float | None] = [money.prepare]
    if asked and usage.serving == "batch":
        parts.append(None if money.answers_1000 is None else asked * money.answers_1000 / 1000)
    elif asked:
        phase, alone = record.phases.get("realtime"), record.realtime
        joules = alone.energy_j_per_answer if alone else None
        questions = alone.questions if alone else None
        if tariff is None or phase is None or joules is None or not questions:
            return None
        parts.append(asked * tariff.of(joules, phase.duration_s / questions))
    nothing = record.refresh is None and record.prepare.energy_j == 0
    if usage.refreshes and (usage.refresh_costs == "prepare" or nothing):
        parts.append(usage.refreshes * money.prepare)
    elif usage.refreshes:
        bill = record.refresh.attributed if record.refresh else None
        if tariff is None or bill is None or bill.energy_j is None:
            return None
        parts.append(usage.refreshes * tariff.of(bill.energy_j, bill.duration_s))
    if usage.idle_s:
        if tariff is None or idle_w is None:
            return None
        parts.append(tariff.of(idle_w * usage.idle_s, usage.idle_s))
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _candidates(known: list[tuple[float, float, float]]) -> list[Tariff]:
    """Electricity alone, hours alone, and both."""
    if len(known) < 2:  # one alone fits any price
        return []
    cost, joules, seconds = known[0]
    found = [Tariff(cost / joules, 0.0)] if joules else []
    found.append(Tariff(0.0, cost / seconds))
    for other, other_j, other_s in known[1:]:
        spread = joules * other_s - other_j * seconds
        if abs(spread) > AGREES * joules * other_s:  # else the two say the same
            per_j = (cost * other_s - other * seconds) / spread
            per_s = (joules * other - other_j * cost) / spread
            if per_j >= 0 and per_s >= 0:
                found.append(Tariff(per_j, per_s))
    return found


def _fits(tariff: Tariff, known: list[tuple[float, float, float]]) -> bool:
    return all(
        abs(tariff.of(joules, seconds) - cost) <= AGREES * cost for cost, joules, seconds in known
    )
