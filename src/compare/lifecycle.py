"""Life cycle: what a run costs over a time of use, from what its Records measured once.

    total = prepare + refreshes x refresh + answers x (1 - cached share) x answer + idle

Preparing is what its stages cost when they were first made. Loading the weights is not in it: it is
paid at each start, and how often that is nobody has said. All joules are gross.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..measure.carbon import emissions_g
from ..measure.record import Record
from .comparability import hardware
from .figures import CORRECT, busy_baseline
from .money import money_of_use
from .refresh import NOT_REFRESHED
from .seeds import Row
from .uncertainty import answer_draws, answer_j, interval, prepare_draws, refresh_draws
from .usage import Usage

if TYPE_CHECKING:
    from .table import Comparison
    from .uncertainty import Draws

PARTS = ("prepare", "refreshes", "answers", "idle")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; compare/uncertainty.py says what the interval holds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RunCosts:
    """What a row costs, in joules: to prepare and to refresh once, to answer once; and the watts
    of the machine at rest. None where it is not known; where the usage needs it, `unknown` says
    why, and how to measure it."""

    row: Row
    usage: Usage
    prepare_j: float | None
    refresh_j: float | None
    answer_j: Estimate | None
    idle_w: float | None
    unknown: tuple[str, ...]

    @property
    def draws(self) -> tuple[float, ...]:
        """Bootstrap draws of the joules of an answer, empty where these are not known. The same
        draw of two rows belongs together: what they share came out the same."""
        drawn = self._answer_draws(self.row.records)
        return () if drawn is None else tuple(drawn.tolist())

    def drawn(self, prepares: float, refreshes: float, answers: float) -> Draws:
        """Draws of the joules of so many of each, (DRAWS,).

        A part of which there is none need not be known; raises `ValueError` for another that is
        not.
        """
        import numpy as np

        total: Draws = np.zeros(1)
        for count, joules, draw in (
            (prepares, self.prepare_j, prepare_draws),
            (answers, self.answer_j, self._answer_draws),
            (refreshes, self.refresh_j, self._refresh_draws),
        ):
            if not count or joules == 0:
                continue
            drawn = draw(self.row.records)
            if drawn is None:
                raise ValueError(f"{self.row.label}: a part of its costs is not known")
            total = total + count * drawn
        return total

    def _answer_draws(self, records: Sequence[Record]) -> Draws | None:
        return answer_draws(records, self.usage.serving)

    def _refresh_draws(self, records: Sequence[Record]) -> Draws | None:
        measured = self.usage.refresh_costs == "measured"
        return refresh_draws(records) if measured else prepare_draws(records)


@dataclass(frozen=True)
class LifeCycle:
    """A row's costs over the horizon of a usage.

    `parts_j` holds the joules of "prepare", "refreshes", "answers" and "idle"; None where not
    known, and then the totals are not known either and `unknown` says which and why. `total_g` is
    by the records' intensity and PUE, `total_money` by the prices behind their money.
    `correct_share` is that of the answers that are correct, 0 to 1.
    """

    costs: RunCosts
    usage: Usage
    parts_j: dict[str, float | None]
    total_j: Estimate | None
    total_g: float | None
    total_money: float | None
    currency: str | None
    correct_share: float | None
    unknown: tuple[str, ...]

    @property
    def j_per_correct(self) -> float | None:
        """Joules of the whole life cycle for each correct answer; None where there is none. An
        answer from the cache is as correct as another."""
        if self.total_j is None or not self.correct_share or not self.usage.answers:
            return None
        return self.total_j.value / (self.usage.answers * self.correct_share)


def costs_of(row: Row, usage: Usage) -> RunCosts:
    """What a row costs to prepare, to refresh and to answer once, under this usage.

    Figures are means over the seeds. A refresh costs what the Records hold of one; nothing where
    nothing is prepared; and what preparing costs where the usage assumes that.
    """
    unknown: list[str] = []
    prepare = _mean(row, lambda record: record.prepare.energy_j)
    if prepare is None:
        unknown.append("what preparing takes: its meter failed; run it again")
    refresh = _mean(row, lambda r: r.refresh.attributed.energy_j if r.refresh else None)
    if usage.refresh_costs == "prepare" or (refresh is None and prepare == 0):
        refresh = prepare
    if usage.refreshes and refresh is None and (prepare is not None or row.records[0].refresh):
        unknown.append(_no_refresh(row))
    answer = _answer(row, usage)
    if answer is None and usage.answers:
        unknown.append(_NO_ANSWER[usage.serving])
    idle = _mean(row, _idle_w)
    if idle is None and usage.idle_s:
        unknown.append(
            "what the machine draws at rest: no baseline was measured, or not at rest, or not of "
            "all that is metered; run with `baseline_s: 3` while nothing else runs"
        )
    return RunCosts(row, usage, prepare, refresh, answer, idle, tuple(unknown))


_NO_ANSWER = {
    "batch": "what an answer takes: the energy of answering was not measured; run it again",
    "realtime": "what an answer takes one at a time: that was not measured; run with "
    "`realtime_questions: 20`",
}


def life_cycle(row: Row, usage: Usage) -> LifeCycle:
    """A row's costs over the horizon of a usage."""
    return _over_horizon(costs_of(row, usage), usage)


def life_cycles(comparison: Comparison, usage: Usage) -> list[list[LifeCycle]]:
    """The life cycles of all rows, one list for each cost group, in the order of the comparison.

    At rest a machine draws the same whatever it answered with, so rows of the same hardware in a
    group share the mean of their baselines.
    """
    found = []
    for parts in comparison.cost_groups:
        for part in parts:
            costs = shared_idle([costs_of(row, usage) for row in part.rows])
            found.append([_over_horizon(one, usage) for one in costs])
    return found


def shared_idle(costs: Sequence[RunCosts]) -> list[RunCosts]:
    """The same costs with the watts at rest of each hardware: their mean over its rows."""
    machines = [tuple(sorted({hardware(r) for r in one.row.records})) for one in costs]
    watts: dict[tuple[str, ...], list[float]] = {}
    for machine, one in zip(machines, costs, strict=True):
        if one.idle_w is not None:
            watts.setdefault(machine, []).append(one.idle_w)
    means = {machine: statistics.fmean(sorted(known)) for machine, known in watts.items()}
    return [
        one if one.idle_w is None else replace(one, idle_w=means[machine])
        for machine, one in zip(machines, costs, strict=True)
    ]


def correct_share(row: Row) -> float | None:
    """The share of answers that are correct, as in *J per correct*: those that contain the gold, or
    where the task does not measure that, those that the outcomes count. None where neither is."""

    def share(record: Record) -> float | None:
        score = record.quality.get(CORRECT)
        if score is not None:
            return score.value
        if not record.outcomes or not record.answers:
            return None
        return record.outcomes.get("correct", 0) / record.answers

    return _mean(row, share)


def parts_of(costs: RunCosts, usage: Usage) -> dict[str, float | None]:
    """Joules over the horizon by part, None where not known; what is not needed is 0."""
    answer = None if costs.answer_j is None else costs.answer_j.value
    return {
        "prepare": costs.prepare_j,
        "refreshes": _times(usage.refreshes, costs.refresh_j),
        "answers": _times(usage.worked_out, answer),
        "idle": _times(usage.idle_s, costs.idle_w),
    }


def total_of(parts: Mapping[str, float | None]) -> float | None:
    """The sum of the parts; None where one is not known."""
    known = [joules for joules in parts.values() if joules is not None]
    return sum(known) if len(known) == len(parts) else None


def total_draws(costs: RunCosts, usage: Usage) -> Draws:
    """Draws of the joules over the horizon, (DRAWS,); the idle time has none, for all rows of a
    machine share it. Raises `ValueError` where the total is not known."""
    idle = usage.idle_s * (costs.idle_w or 0.0)
    return costs.drawn(1, usage.refreshes, usage.worked_out) + idle


def _over_horizon(costs: RunCosts, usage: Usage) -> LifeCycle:
    parts = parts_of(costs, usage)
    value = total_of(parts)
    total: Estimate | None = None
    grams: float | None = None
    if value is not None:
        low, high = interval(total_draws(costs, usage))
        # A single draw may leave out the value itself, where the noise of one measurement rules.
        total = Estimate(value, min(low, value), max(high, value))
        grams = _mean(costs.row, lambda record: emissions_g(value, record.carbon))
    money, currency = money_of_use(costs.row, usage, costs.idle_w)
    return LifeCycle(
        costs=costs,
        usage=usage,
        parts_j=parts,
        total_j=total,
        total_g=grams,
        total_money=money if total is not None else None,
        currency=currency,
        correct_share=correct_share(costs.row),
        unknown=costs.unknown,
    )


def _answer(row: Row, usage: Usage) -> Estimate | None:
    value = _mean(row, lambda record: answer_j(record, usage.serving))
    drawn = answer_draws(row.records, usage.serving)
    if value is None or drawn is None:
        return None
    low, high = interval(drawn)
    return Estimate(value, min(low, value), max(high, value))


def _mean(row: Row, of: Callable[[Record], float | None]) -> float | None:
    """The mean of a figure over the seeds, in an order of its own; None where one has none."""
    values = [of(record) for record in row.records]
    known = sorted(value for value in values if value is not None)
    return statistics.fmean(known) if len(known) == len(values) else None


def _times(count: float, joules: float | None) -> float | None:
    """What is not needed costs nothing, also where nobody knows what it would cost."""
    if not count:
        return 0.0
    return None if joules is None else count * joules


def _idle_w(record: Record) -> float | None:
    """Watts at rest; None without a baseline, with a busy one, and where it leaves out a component
    that the answers' energy has."""
    if record.baseline is None or not record.baseline.power_w:
        return None
    phase = record.phases.get("answer")
    metered = {name for name, c in phase.components.items() if c.energy_j} if phase else set()
    if busy_baseline(record) is not None or not metered <= record.baseline.power_w.keys():
        return None
    return sum(record.baseline.power_w.values())


def _no_refresh(row: Row) -> str:
    flags = (flag for record in row.records for flag in record.flags)
    why = next((f.removeprefix(NOT_REFRESHED) for f in flags if f.startswith(NOT_REFRESHED)), "")
    if why:
        return f"what a refresh takes: it could not be refreshed ({why})"
    return (
        "what a refresh takes: not measured; run with `refresh: true` (the task needs a revision), "
        "or assume a whole preparation with --refresh-costs prepare"
    )
