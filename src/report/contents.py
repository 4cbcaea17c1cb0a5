"""What a report holds, before it is laid out: the advice, its stops, charts, tables, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..advice import Advice, Needs, advise
from ..advice.verdict import Decision
from ..compare.frontier import Front, fronts
from ..compare.seeds import Row
from ..compare.table import Comparison, compare
from ..errors import InputError
from ..measure.record import ScoredAnswer
from ..measure.store import record_files
from .chart import Chart
from .colours import Colours, Theme, numbers_of
from .examples import Example, answers_of, examples_of
from .frontier_charts import break_even_chart, frontier_chart
from .loss_charts import loss_charts
from .measured_charts import kinds_chart, phases_chart
from .volumes import Stop, stops_of

MOST_DRAWN = 12
"""Runs in a chart with a line or a bar for each; of more, those on the frontier come first."""


@dataclass(frozen=True)
class Part:
    """One decision with the rows it is about, named as it names them, its stops and examples.
    `drawn` are the rows that charts of lines and bars show."""

    decision: Decision
    rows: tuple[Row, ...]
    drawn: tuple[Row, ...]
    front: Front | None
    stops: tuple[Stop, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Report:
    """Records on one page. `asked` says whether the volume of `needs` was asked for; else there
    is advice for all volumes, and the page's slider begins at that of `needs`."""

    comparison: Comparison
    needs: Needs
    asked: bool
    advice: Advice
    parts: tuple[Part, ...]
    numbers: Mapping[str, int]

    def charts(self, part: Part, theme: Theme) -> list[Chart]:
        """The charts of a part, in the order of the page."""
        colours, usage = Colours(self.numbers, theme), self.needs.usage
        end = f"-{self.parts.index(part) + 1}" if len(self.parts) > 1 else ""
        runs = [row.label for row in part.drawn]
        found = [
            frontier_chart(f"frontier{end}", part.front, usage, colours) if part.front else None,
            break_even_chart(f"break-even{end}", part.stops, runs, usage, colours),
            phases_chart(f"phases{end}", part.drawn, colours),
            kinds_chart(f"kinds{end}", part.drawn, part.decision.metric, colours),
            *loss_charts(f"loss{end}", part.drawn, colours),
        ]
        return [chart for chart in found if chart is not None]


def report_of(
    places: Sequence[Path | str], needs: Needs, *, asked: bool = True, allow: bool = False
) -> Report:
    """The report of the records in folders and files, with the answers that lie beside them.

    `allow` weighs together what was measured differently. Raises `InputError` where there are no
    finished records, and what `advise` raises.
    """
    found = [pair for place in places for pair in record_files(place)]
    if not found:
        where = ", ".join(map(str, places))
        raise InputError(f"{where}: no records there; run a recipe first (wattune compare)")
    found.sort(key=lambda pair: pair[1].created_at)  # as the recipe ran them
    comparison = compare([record for _, record in found], allow=allow)
    files = {id(record): file for file, record in found}
    return report_from(comparison, needs, answers_of(files, comparison.done), asked=asked)


def report_from(
    comparison: Comparison,
    needs: Needs,
    answers: Mapping[int, Sequence[ScoredAnswer]],
    *,
    asked: bool = True,
) -> Report:
    """The report of a comparison; `answers` are by the identity (`id`) of their record."""
    advice = advise(comparison, needs)
    stops = stops_of(comparison, advice)
    groups = [list(group.rows) for parts in comparison.cost_groups for group in parts]
    found = fronts(comparison)
    parts = []
    for decision, own in zip(advice.decisions, stops, strict=True):
        rows = _rows_of(decision, groups)
        records = {id(record) for row in rows for record in row.records}
        front = next((f for f in found if _ids(p.row for p in f.points) == records), None)
        drawn = _drawn(rows, decision)
        parts.append(
            Part(
                decision,
                rows,
                drawn,
                front,
                tuple(own),
                tuple(examples_of(drawn, answers, decision.metric)),
            )
        )
    numbers = numbers_of([*comparison.rows, *(row for part in parts for row in part.rows)])
    return Report(comparison, needs, asked, advice, tuple(parts), numbers)


def _rows_of(decision: Decision, groups: list[list[Row]]) -> tuple[Row, ...]:
    """The rows that a decision is about, under its names, in the order of the records."""
    names: dict[tuple[str, ...], list[str]] = {}
    for candidate in decision.candidates:
        names.setdefault(candidate.records, []).append(candidate.run)
    for group in groups:
        keys = [tuple(record.key for record in row.records) for row in group]
        if sorted(keys) == sorted(candidate.records for candidate in decision.candidates):
            groups.remove(group)  # another decision may be about records of the same keys
            return tuple(
                replace(row, label=names[key].pop(0)) for row, key in zip(group, keys, strict=True)
            )
    raise LookupError(f"no group of the comparison has the runs of {decision.headline!r}")


def _ids(rows: object) -> set[int]:
    return {id(record) for row in rows for record in row.records}  # type: ignore[attr-defined]


def _drawn(rows: Sequence[Row], decision: Decision) -> tuple[Row, ...]:
    """The rows of the charts, in their order: those on the frontier before others."""
    on = {c.run for c in decision.candidates if c.on_frontier}
    chosen = sorted(rows, key=lambda row: row.label not in on)[:MOST_DRAWN]
    labels = {row.label for row in chosen}
    return tuple(row for row in rows if row.label in labels)
