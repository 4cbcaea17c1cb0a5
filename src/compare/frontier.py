"""The frontier of quality and energy: the points that none beats in one without losing the other.

Energy is that of 1,000 answers. Where settings change a training, it is that of preparing: what
answers take hardly depends on how weights were trained. What is measured under other circumstances
is not ranked together, so each group of a comparison has a frontier of its own. It goes by means:
whether a step of it is more than chance is for the verdicts to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..measure.carbon import J_PER_WH
from ..measure.quality import better
from ..measure.record import Record, Score
from .comparability import contention
from .figures import answer_wh_per_1000, interval, quality_columns
from .layout import Table
from .seeds import Row
from .training import trainings

if TYPE_CHECKING:
    from .table import Comparison


def on_frontier(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """For each (quality, energy): whether no other point is as good in both and better in one.

    Quality is better when higher, energy when lower, in whatever units. Equal points are on the
    frontier together. A point of which one is unknown (None) is not, and beats none.
    """
    known = {(q, e) for q, e in points if q is not None and e is not None}
    front: set[tuple[float | None, float | None]] = set()
    best = -math.inf
    for quality, energy in sorted(known, key=lambda point: (point[1], -point[0])):
        if quality > best:  # all that take less energy are worse
            front.add((quality, energy))
            best = quality
    return [point in front for point in points]


Cost = Literal["Wh per 1,000 answers", "Wh of preparing"]


@dataclass(frozen=True)
class TradeOff:
    """What one row is worth and costs: the mean of a metric (with its interval, where it is known)
    and Wh, of what its Front says; None where unknown. `on_frontier` is None where nothing is
    ranked."""

    row: Row
    quality: float | None
    score: Score | None
    wh: float | None
    on_frontier: bool | None


@dataclass(frozen=True)
class Front:
    """Rows that may be ranked together by `metric` and energy, that of `cost`; `name` is that of
    their group."""

    name: str
    metric: str
    cost: Cost
    points: tuple[TradeOff, ...]


def fronts(comparison: Comparison) -> list[Front]:
    """The trade-offs of each group, by energy, by the first metric of the task.

    Where all answered on a busy machine the joules are too high by more than they differ, so there
    is no frontier, as there is no star in the table of costs.
    """
    found = []
    for group, parts in zip(comparison.groups, comparison.cost_groups, strict=True):
        held = {metric for row in group.rows for record in row.records for metric in record.quality}
        metric = next((metric for metric in comparison.judged if metric in held), None)
        if metric is None:
            continue
        sign = 1 if better(metric) == "higher" else -1
        for part in parts:
            cost = cost_of(part.rows)
            figures = [(row.mean(metric), _wh(row, cost)) for row in part.rows]
            ranked = any(contention(record) is None for row in part.rows for record in row.records)
            best = on_frontier([(None if q is None else sign * q, e) for q, e in figures])
            points = [
                TradeOff(
                    row, quality, row.score(metric), energy,
                    on if ranked and quality is not None and energy is not None else None,
                )
                for row, (quality, energy), on in zip(part.rows, figures, best, strict=True)
            ]  # fmt: skip
            points.sort(key=lambda p: (p.wh is None, p.wh or 0.0))
            found.append(Front(part.name or group.name, metric, cost, tuple(points)))
    return found


def frontier_tables(comparison: Comparison) -> list[Table]:
    """For each group its points, the cheapest first, and which are on the frontier."""
    tables = []
    for front in fronts(comparison):
        costs: list[Cost] = ["Wh per 1,000 answers"]
        if front.cost not in costs:
            costs.insert(0, front.cost)
        rows = []
        for point in front.points:
            mean = "–" if point.quality is None else f"{point.quality:.2f}"
            energies = [_wh(point.row, cost) for cost in costs]
            word = {True: "yes", False: "no", None: "–"}[point.on_frontier]
            rows.append(
                (
                    point.row.label,
                    interval(point.score) if point.score else mean,
                    *("–" if energy is None else f"{energy:,.3f}" for energy in energies),
                    word,
                )
            )
        name = f", group {front.name}" if front.name else ""
        header = quality_columns([front.metric])[0].header
        tables.append(
            Table(
                f"Quality against energy{name}, the cheapest first",
                ("point", header, *map(_header, costs), "on the\nfrontier"),
                tuple(rows),
            )
        )
    return tables


def cost_of(rows: Sequence[Row]) -> Cost:
    """Preparing, where points of one run were trained apart; else the answers."""
    trained: dict[tuple[str, int], set[tuple[str, ...]]] = {}
    for record in (record for row in rows for record in row.records):
        keys = tuple(stage.key for stage in trainings(record))
        trained.setdefault((parted(record.name)[0], record.seed), set()).add(keys)
    apart = any(len(different) > 1 for different in trained.values())
    return "Wh of preparing" if apart else "Wh per 1,000 answers"


def parted(name: str) -> tuple[str, str]:
    """A point's name as its run and its settings, ``("rag", "k=2,max_tokens=16")``."""
    run, _, settings = name.rpartition("+")
    return (run, settings) if run and "=" in settings else (name, "")


def _wh(row: Row, cost: Cost) -> float | None:
    of = answer_wh_per_1000 if cost == "Wh per 1,000 answers" else _prepare_wh
    value = row.figure(of)
    return value if isinstance(value, float) else None


def _prepare_wh(record: Record) -> float | None:
    joules = record.prepare.energy_j
    return None if joules is None else joules / J_PER_WH


def _header(cost: Cost) -> str:
    return "Wh per\n1,000" if cost == "Wh per 1,000 answers" else "prepare\nWh"
