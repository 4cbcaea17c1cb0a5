"""The tables of a time of use: life cycles, what they come to by day, month and year, and after how
many answers a run has paid back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..durations import YEAR_DAYS
from ..measure.carbon import J_PER_WH
from .break_even import BreakEven, break_evens
from .comparability import Group
from .figures import quality_columns, signed, starred
from .kinds import energy_by_kind
from .layout import Table
from .lifecycle import PARTS, Estimate, LifeCycle, life_cycles
from .sensitivity import Sensitivity, sensitivity
from .usage import Usage
from .wording import rounded, span

if TYPE_CHECKING:
    from .table import Comparison

KWH_FROM_WH = 10_000.0
"""A table of which the largest figure is this much or more is in kWh."""
LEAST_SHOWN = 0.001
"""Wh or kWh; a part of a total that is less is as good as nothing beside it."""
SPANS = {"a day": 1.0, "a month": YEAR_DAYS / 12, "a year": YEAR_DAYS}
"""Days of what a life cycle is broken down to."""


@dataclass(frozen=True)
class Use:
    """A cost group under a usage: its life cycles in the order of its rows, and what follows."""

    name: str
    mixed: tuple[str, ...]
    cycles: tuple[LifeCycle, ...]
    sensitivity: Sensitivity

    @cached_property
    def break_evens(self) -> list[BreakEven]:
        """Between the pairs of rows that are set side by side."""
        return break_evens(self.cycles, self.sensitivity.good_enough)

    @property
    def cheapest_first(self) -> list[LifeCycle]:
        """The life cycles by their totals, unknown ones last."""
        return sorted(
            self.cycles,
            key=lambda c: (c.total_j.value if c.total_j else math.inf, c.costs.row.label),
        )


def uses(comparison: Comparison, usage: Usage, min_quality: float | None) -> list[Use]:
    """Each cost group of a comparison under a usage."""
    parts: list[tuple[int, Group, Group]] = [
        (number, group, part)
        for number, group in enumerate(comparison.groups)
        for part in comparison.cost_groups[number]
        if part.rows  # none where every run failed
    ]
    return [
        Use(
            part.name or group.name,
            (*group.mixed, *part.mixed),
            tuple(cycles),
            sensitivity(comparison, number, part, cycles, min_quality),
        )
        for (number, group, part), cycles in zip(
            parts, filter(None, life_cycles(comparison, usage)), strict=True
        )
    ]


def use_tables(found: Sequence[Use]) -> list[Table]:
    """For each group its life cycles, what they come to, the break-evens, and by kind."""
    tables = []
    for use in found:
        serving = use.cycles[0].usage.serving
        rows = [cycle.costs.row for cycle in use.cheapest_first]
        tables += [_parts(use), _spans(use), *_pairs(use)]
        tables += [
            Table(_titled(title, use), headers, texts)
            for title, headers, texts in energy_by_kind(rows, serving)
        ]
    return tables


def _titled(what: str, use: Use) -> str:
    group = f", group {use.name}" if use.name else ""
    if any(r.projected for cycle in use.cycles for r in cycle.costs.row.records):
        what = f"{what}, projected"
    mark = f"NOT COMPARABLE (different {', '.join(use.mixed)}): " if use.mixed else ""
    return f"{mark}{what}{group}"


def _parts(use: Use) -> Table:
    """What each part comes to over the horizon, the least total first."""
    cycles = use.cheapest_first
    unit, joules = unit_of(cycles)
    shown = [part for part in PARTS if any(c.parts_j[part] != 0.0 for c in cycles)]
    best = {id(c) for c in (use.sensitivity.winner, *use.sensitivity.close) if c is not None}
    if any(r.projected for cycle in cycles for r in cycle.costs.row.records):
        best = set()  # a star is for what was measured
    metric = use.sensitivity.metric
    headers = ["run", *shown, "total", "J per\ncorrect"]
    columns = [
        [cycle.costs.row.label for cycle in cycles],
        *[[_part(c.parts_j[part], joules) for c in cycles] for part in shown],
        starred(
            [_total(cycle.total_j, joules) for cycle in cycles], [id(c) in best for c in cycles]
        ),
        [_figure(cycle.j_per_correct, 1.0) for cycle in cycles],
    ]
    if metric is not None:
        headers.insert(1, quality_columns([metric])[0].header)
        means = [cycle.costs.row.mean(metric) for cycle in cycles]
        columns.insert(1, ["–" if mean is None else f"{mean:.2f}" for mean in means])
    title = f"Life cycle in {unit}, with 95 % interval: {in_words(cycles[0].usage)}"
    return Table(_titled(title, use), tuple(headers), tuple(zip(*columns, strict=True)))


def _spans(use: Use) -> Table:
    """Energy, grams and money by day, month and year, the total spread evenly."""
    cycles = use.cheapest_first
    unit, joules = unit_of(cycles)
    totals = [cycle.total_j.value if cycle.total_j else None for cycle in cycles]
    kinds = [(unit, joules, totals)]
    if any(cycle.total_g is not None for cycle in cycles):
        kinds.append(("gCO₂e", 1.0, [cycle.total_g for cycle in cycles]))
    currencies = {cycle.currency for cycle in cycles if cycle.currency}
    for currency in sorted(currencies):
        paid = [c.total_money if c.currency == currency else None for c in cycles]
        kinds.append((currency, 1.0, paid))
    days = cycles[0].usage.horizon_days
    headers, columns = ["run"], [[cycle.costs.row.label for cycle in cycles]]
    for name, divisor, values in kinds:
        for each, length in SPANS.items():
            headers.append(f"{name}\n{each}")
            columns.append(
                [_figure(None if v is None else v * length / days, divisor) for v in values]
            )
    title = "What that comes to, spread evenly"
    return Table(_titled(title, use), tuple(headers), tuple(zip(*columns, strict=True)))


def _pairs(use: Use) -> list[Table]:
    """The pairs of which one may pay back; those that never do stand in a note."""
    shown = [pair for pair in use.break_evens if pair.word in ("after", "never")]
    if not shown:
        return []
    usage, metric = use.cycles[0].usage, use.sensitivity.metric
    rows = []
    for pair in shown:
        dearer, cheaper = pair.dearer_to_prepare, pair.cheaper_to_prepare
        cells = [dearer.label, cheaper.label, after(pair), _when(pair, usage)]
        saving = pair.saving_j_per_answer
        cells.append(signed(saving.value) if saving else "–")
        if metric is not None:
            means = dearer.mean(metric), cheaper.mean(metric)
            known = [mean for mean in means if mean is not None]
            cells.append(signed(known[0] - known[1]) if len(known) == 2 else "–")
        rows.append(tuple(cells))
    each = f"at {usage.answers_per_day:,.10g}\na day"
    headers = ["dearer to\nprepare", "than", "pays back\nafter answers", each, "J saved\nan answer"]
    if metric is not None:
        headers.append(f"{quality_columns([metric])[0].plain}\ngained")
    return [Table(_titled("Break-even, with 95 % interval", use), tuple(headers), tuple(rows))]


def after(pair: BreakEven) -> str:
    """After how many answers, such as ``15,000 [8,700, 48,000]``; two digits, more is not known."""
    if pair.answers is None:
        return pair.word
    value, low, high = map(_count, (pair.answers.value, pair.answers.low, pair.answers.high))
    return value if value == low == high else f"{value} [{low}, {high}]"


def in_words(usage: Usage) -> str:
    """A usage in a line: ``1,000 answers a day for 1 year, all at once, 20 % from a cache``."""
    words = [f"{usage.answers_per_day:,.10g} answers a day for {span(usage.horizon_days)}"]
    words.append("all at once" if usage.serving == "batch" else "one at a time")
    if usage.cached_share:
        words.append(f"{usage.cached_share * 100:g} % from a cache")
    if usage.refreshes_per_year:
        words.append(f"{usage.refreshes_per_year:,.3g} refreshes a year")
    if usage.idle_hours_per_day:
        words.append(f"{usage.idle_hours_per_day:g} idle hours a day")
    return ", ".join(words)


def _count(answers: float) -> str:
    if answers < 1:
        return "<1"
    return "never" if math.isinf(answers) else rounded(answers, 2)


def _when(pair: BreakEven, usage: Usage) -> str:
    if pair.answers is None or not usage.answers_per_day:
        return "–"
    return (
        "at once" if pair.answers.value < 1 else span(pair.answers.value / usage.answers_per_day, 2)
    )


def unit_of(cycles: Sequence[LifeCycle]) -> tuple[str, float]:
    """The unit of a table's energies, and its joules."""
    most = max((c.total_j.value for c in cycles if c.total_j), default=0.0) / J_PER_WH
    return ("kWh", 1000 * J_PER_WH) if most >= KWH_FROM_WH else ("Wh", J_PER_WH)


def _part(value: float | None, joules: float) -> str:
    if value is not None and 0 < value / joules < LEAST_SHOWN:
        return f"<{LEAST_SHOWN:g}"
    return _figure(value, joules)


def _figure(value: float | None, divisor: float) -> str:
    return "–" if value is None else rounded(value / divisor, 3)


def _total(total: Estimate | None, joules: float) -> str:
    if total is None:
        return "unknown"
    figures = (rounded(one / joules, 3) for one in (total.value, total.low, total.high))
    return "{} [{}, {}]".format(*figures)
