"""The frontier of quality and energy: the points that none beats in one without losing the other.

What is measured under other circumstances is not ranked together, so each group of a comparison
has a frontier of its own. It goes by means: whether a step of it is more than chance is for the
verdicts to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..measure.quality import better
from ..measure.record import Score
from .comparability import contention
from .figures import answer_wh_per_1000, interval, quality_columns
from .layout import Table
from .seeds import Row

if TYPE_CHECKING:
    from .table import Comparison


def on_frontier(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """For each (quality, energy): whether no other point is as good in both and better in one.

    Quality is better when higher, energy when lower, in whatever units. Equal points are on the
    frontier together. A point of which one is unknown (None) is not, and beats none.
    """
    known = [(q, e) for q, e in points if q is not None and e is not None]

    def beaten(quality: float, energy: float) -> bool:
        return any(q >= quality and e <= energy and (q, e) != (quality, energy) for q, e in known)

    return [q is not None and e is not None and not beaten(q, e) for q, e in points]


@dataclass(frozen=True)
class TradeOff:
    """What one row is worth and costs: the mean of a metric (with its interval, where it is known)
    and Wh per 1,000 answers; None where unknown. `on_frontier` is None where nothing is ranked."""

    row: Row
    quality: float | None
    score: Score | None
    wh_per_1000: float | None
    on_frontier: bool | None


@dataclass(frozen=True)
class Front:
    """Rows that may be ranked together by `metric` and energy; `name` is that of their group."""

    name: str
    metric: str
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
            figures = [(row.mean(metric), _energy(row)) for row in part.rows]
            ranked = any(contention(record) is None for row in part.rows for record in row.records)
            best = on_frontier([(None if q is None else sign * q, e) for q, e in figures])
            points = [
                TradeOff(
                    row, quality, row.score(metric), energy,
                    on if ranked and quality is not None and energy is not None else None,
                )
                for row, (quality, energy), on in zip(part.rows, figures, best, strict=True)
            ]  # fmt: skip
            points.sort(key=lambda p: (p.wh_per_1000 is None, p.wh_per_1000 or 0.0))
            found.append(Front(part.name or group.name, metric, tuple(points)))
    return found


def frontier_tables(comparison: Comparison) -> list[Table]:
    """For each group its points, the cheapest first, and which are on the frontier."""
    tables = []
    for front in fronts(comparison):
        rows = []
        for point in front.points:
            quality, energy = point.quality, point.wh_per_1000
            mean = "–" if quality is None else f"{quality:.2f}"
            word = {True: "yes", False: "no", None: "–"}[point.on_frontier]
            rows.append(
                (
                    point.row.label,
                    interval(point.score) if point.score else mean,
                    "–" if energy is None else f"{energy:,.3f}",
                    word,
                )
            )
        name = f", group {front.name}" if front.name else ""
        header = quality_columns([front.metric])[0].header
        tables.append(
            Table(
                f"Quality against energy{name}, the cheapest first",
                ("point", header, "Wh per\n1,000", "on the\nfrontier"),
                tuple(rows),
            )
        )
    return tables


def _energy(row: Row) -> float | None:
    value = row.figure(answer_wh_per_1000)
    return value if isinstance(value, float) else None
