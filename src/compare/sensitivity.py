"""Sensitivity: which input would change the winner, and at what value.

The winner has the least total among the runs that are good enough. A total is a straight line in
each input while the others stay, so the value at which another run takes over is where two lines
meet: it is worked out, not searched for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..measure.quality import better
from .comparability import Group, contention
from .floor import reaches
from .lifecycle import LifeCycle, costs_of, parts_of, shared_idle, total_draws, total_of
from .uncertainty import interval

if TYPE_CHECKING:
    from .table import Comparison

Input = Literal[
    "answers_per_day", "horizon_days", "refreshes_per_year", "cached_share", "idle_hours_per_day",
    "serving", "intensity_g_per_kwh",
]  # fmt: skip

LIMITS: Mapping[Input, float] = {
    "answers_per_day": math.inf,
    "horizon_days": math.inf,
    "refreshes_per_year": math.inf,
    "cached_share": 1.0,
    "idle_hours_per_day": 24.0,
}
"""The most that each input can be; the least is 0."""


@dataclass(frozen=True)
class Change:
    """Beyond `value` of an input (`above` it, or else below), `winner` has the least total.

    For "serving", `value` is None and `winner` that of the other way of serving; for
    "intensity_g_per_kwh", the value is that of the grid of `winner`, the others' staying.
    """

    input: Input
    value: float | None
    above: bool
    winner: LifeCycle


@dataclass(frozen=True)
class Sensitivity:
    """The winner of a cost group and what would change it.

    `good_enough` are the rows that may win, by `metric`: those that meet the floor `min_quality`,
    or without one those tied with the best. `close` are those of them whose total cannot be told
    from the winner's (the 95 % interval of the difference holds 0). `steady` are inputs that change
    nothing at any value, `unclear` those that cannot be told of, with the rows whose costs are not
    known. `winner` is None where no row that is good enough has a total, or where all answered on a
    busy machine, whose joules rank nothing.
    """

    metric: str | None
    min_quality: float | None
    good_enough: tuple[LifeCycle, ...]
    winner: LifeCycle | None
    close: tuple[LifeCycle, ...] = ()
    changes: tuple[Change, ...] = ()
    steady: tuple[Input, ...] = ()
    unclear: Mapping[Input, tuple[LifeCycle, ...]] | None = None
    busy: bool = False


def sensitivity(
    comparison: Comparison,
    number: int,
    part: Group,
    cycles: Sequence[LifeCycle],
    min_quality: float | None = None,
) -> Sensitivity:
    """What would change the winner of `part`, one of the cost groups of the group `number`;
    `cycles` are the life cycles of its rows, in their order."""
    metric, fit = good_enough(comparison, number, part, min_quality)
    candidates = sorted(
        (cycle for cycle, ok in zip(cycles, fit, strict=True) if ok),
        key=lambda c: (c.total_j.value if c.total_j else math.inf, c.costs.row.label),
    )
    found = Sensitivity(metric, min_quality, tuple(candidates), None)
    known = [cycle for cycle in candidates if cycle.total_j is not None]
    records = [record for row in part.rows for record in row.records]
    if not known or all(contention(record) is not None for record in records):
        return Sensitivity(metric, min_quality, tuple(candidates), None, busy=bool(known))
    winner = known[0]
    changes: list[Change] = []
    steady: list[Input] = []
    unclear: dict[Input, tuple[LifeCycle, ...]] = {}
    for name, limit in LIMITS.items():
        lines = [_line(cycle, name) for cycle in known]
        unknown = tuple(c for c, line in zip(known, lines, strict=True) if line is None)
        if unknown:
            unclear[name] = unknown
            continue
        turns = _turns(name, limit, winner, known, [line for line in lines if line is not None])
        changes += turns
        if not turns:
            steady.append(name)
    other = _otherwise_served(known, winner)
    if isinstance(other, tuple):
        unclear["serving"] = other
    elif other is None:
        steady.append("serving")
    else:
        changes.append(Change("serving", None, True, other))
    grams = _cleaner(known)
    changes += grams
    if not grams and winner.total_g is not None:
        steady.append("intensity_g_per_kwh")
    return Sensitivity(
        found.metric, min_quality, found.good_enough, winner, close_to(winner, known),
        tuple(changes), tuple(steady), unclear,
    )  # fmt: skip


def good_enough(
    comparison: Comparison, number: int, part: Group, min_quality: float | None
) -> tuple[str | None, list[bool]]:
    """The first judged metric of the group, and which rows of `part` meet the floor in it.

    A floor is met where it is reached or not distinguishable from what is. Without one, those that
    are tied with the best; where no test could be, the highest mean.
    """
    group = comparison.groups[number]
    held = {metric for row in group.rows for record in row.records for metric in record.quality}
    metric = next((metric for metric in comparison.judged if metric in held), None)
    if metric is None:
        return None, [True] * len(part.rows)
    sign = 1 if better(metric) == "higher" else -1
    means = {
        id(record): sign * mean
        for row in group.rows
        if (mean := row.mean(metric)) is not None
        for record in row.records
    }
    if min_quality is not None:
        fit = {
            id(record)
            for row in group.rows
            if (score := row.score(metric)) and reaches(score, min_quality, metric) != "no"
            for record in row.records
        }
        return metric, [id(row.records[0]) in fit for row in part.rows]
    tied = {
        id(record)
        for row, verdict in zip(group.rows, comparison.verdict(number, metric), strict=True)
        if verdict is not None and verdict.word in ("best", "tied")
        for record in row.records
    }
    if not tied:
        tied = {place for place, mean in means.items() if mean == max(means.values())}
    return metric, [id(row.records[0]) in tied for row in part.rows]


def close_to(winner: LifeCycle, known: Sequence[LifeCycle]) -> tuple[LifeCycle, ...]:
    """Those whose total cannot be told from the winner's, draw by draw; where not even their
    intervals touch, there is nothing to draw."""
    assert winner.total_j is not None
    least, most = total_draws(winner.costs, winner.usage), winner.total_j.high
    near = [c for c in known if c is not winner and c.total_j and c.total_j.low <= most]
    return tuple(
        cycle for cycle in near
        if interval(total_draws(cycle.costs, cycle.usage) - least)[0] <= 0.0
    )  # fmt: skip


def _line(cycle: LifeCycle, name: Input) -> tuple[float, float] | None:
    """Joules at 0 of an input, and those that each unit of it adds."""
    at = [
        total_of(parts_of(cycle.costs, cycle.usage.model_copy(update={name: value})))
        for value in (0.0, 1.0)
    ]
    return None if at[0] is None or at[1] is None else (at[0], at[1] - at[0])


def _turns(
    name: Input,
    limit: float,
    winner: LifeCycle,
    known: Sequence[LifeCycle],
    lines: Sequence[tuple[float, float]],
) -> list[Change]:
    """The next value below and above today's at which another has the least total."""
    today = float(getattr(winner.usage, name))
    start, slope = lines[list(known).index(winner)]
    below: list[tuple[float, float, LifeCycle]] = []
    above: list[tuple[float, float, LifeCycle]] = []
    for cycle, (other_start, other_slope) in zip(known, lines, strict=True):
        apart = slope - other_slope
        if cycle is winner or apart == 0.0:
            continue
        value = (other_start - start) / apart
        if apart > 0.0 and today <= value < limit:
            above.append((value, other_slope, cycle))
        elif apart < 0.0 and 0.0 < value <= today:
            below.append((-value, -other_slope, cycle))
    found = []
    if below:
        value, _, cycle = min(below, key=lambda turn: turn[:2])
        found.append(Change(name, -value, False, cycle))
    if above:
        value, _, cycle = min(above, key=lambda turn: turn[:2])
        found.append(Change(name, value, True, cycle))
    return found


def _otherwise_served(
    known: Sequence[LifeCycle], winner: LifeCycle
) -> LifeCycle | tuple[LifeCycle, ...] | None:
    """Who wins when answers are served the other way, None where it is the same one; the rows of
    which that was not measured, where there are any."""
    usage = winner.usage
    other = usage.model_copy(update={"serving": _OTHER[usage.serving]})
    costs = shared_idle([costs_of(cycle.costs.row, other) for cycle in known])
    totals = [total_of(parts_of(one, other)) for one in costs]
    missing = tuple(c for c, total in zip(known, totals, strict=True) if total is None)
    if missing:
        return missing
    first = min(range(len(known)), key=lambda n: (totals[n] or 0.0, known[n].costs.row.label))
    return None if known[first] is winner else known[first]


_OTHER = {"batch": "realtime", "realtime": "batch"}


def _cleaner(known: Sequence[LifeCycle]) -> list[Change]:
    """Where grids differ: how clean another run's would have to be for the fewest grams."""
    grams = [cycle.total_g for cycle in known]
    grids = [_grid(cycle) for cycle in known]
    if None in grams or None in grids or len(set(grids)) < 2:
        return []
    least = min(range(len(known)), key=lambda n: (grams[n] or 0.0, known[n].costs.row.label))
    return [
        Change("intensity_g_per_kwh", grid[0] * (grams[least] or 0.0) / own, False, cycle)
        for cycle, own, grid in zip(known, grams, grids, strict=True)
        if cycle is not known[least] and own and grid is not None
    ]


def _grid(cycle: LifeCycle) -> tuple[float, float] | None:
    """Intensity and PUE, where all seeds had the same; None else."""
    carbons = [record.carbon for record in cycle.costs.row.records]
    found = {(c.intensity_g_per_kwh, c.pue) if c else None for c in carbons}
    return found.pop() if len(found) == 1 else None
