"""Records side by side: quality, cost, and quality by kind of question."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..measure.record import Record
from .figures import COST, Column, energy_provenance, interval, quality_columns

REFERENCE = "(always refuse)"


@dataclass(frozen=True)
class Table:
    """A heading, column headers and rows of text; renderers know nothing else."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Comparison:
    """Records to be compared; `show` prints, the others return text."""

    records: tuple[Record, ...]

    @property
    def metrics(self) -> list[str]:
        """The metrics of the records, in the order of the task."""
        return list(dict.fromkeys(metric for r in self.records for metric in r.quality))

    @property
    def done(self) -> list[Record]:
        """The records that have figures."""
        return [record for record in self.records if record.status == "done"]

    def tables(self) -> list[Table]:
        """Quality, cost and kinds, as text."""
        labels = _labels(self.records)
        if not self.done:
            return [self._quality(labels)]
        return [self._quality(labels), self._cost(labels), *self._kinds(labels)]

    def notes(self) -> list[str]:
        """What a reader must know to believe the tables."""
        if not self.done:
            return []
        return [*_energy_notes(self.done), *_carbon_notes(self.done), *_other_notes(self.records)]

    def show(self) -> None:
        """Print the tables to the terminal."""
        from .render import show

        show(self)

    def to_markdown(self) -> str:
        """The tables as Markdown."""
        from .render import markdown

        return markdown(self)

    def to_csv(self) -> str:
        """One line a record, full precision, units in the headers; empty where unknown."""
        columns = [*quality_columns(self.metrics), *COST]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        intervals = [f"{m}_{end}" for m in self.metrics for end in ("low", "high")]
        writer.writerow(["run", "status", "reason", *[c.name for c in columns], *intervals])
        for record in self.records:
            ends = [_end(record, m, end) for m in self.metrics for end in ("low", "high")]
            values = [_cell(record, column) for column in columns]
            writer.writerow([record.name, record.status, record.reason, *values, *ends])
        return out.getvalue()

    def _quality(self, labels: Sequence[str]) -> Table:
        rows = []
        for label, record in zip(labels, self.records, strict=True):
            if record.status == "done":
                cells = [interval(record.quality.get(metric)) for metric in self.metrics]
            else:
                cells = [f"{record.status}: {record.reason}"]
            rows.append((label, *cells))
        reference = next((r.task.get("always_refuse") for r in self.done), None)
        if reference:
            rows.append((REFERENCE, *[f"{reference[m]:.2f}" for m in self.metrics]))
        headers = ("run", *[column.header for column in quality_columns(self.metrics)])
        first = self.done[0].task if self.done else {}
        about = f", {first['questions']} {first['split']} questions" if first else ""
        return Table(f"Quality, mean with 95 % interval{about}", headers, tuple(rows))

    def _cost(self, labels: Sequence[str]) -> Table:
        rows = [
            (label, *[column.text(record) for column in COST])
            for label, record in zip(labels, self.records, strict=True)
            if record.status == "done"
        ]
        return Table("Cost", ("run", *[column.header for column in COST]), tuple(rows))

    def _kinds(self, labels: Sequence[str]) -> list[Table]:
        if not self.metrics or not self.done:
            return []
        metric = self.metrics[0]
        kinds = [kind for r in self.done for kind in r.quality_by]
        names = [n for n in dict.fromkeys(kinds) if _worth_a_column(n, self.done[0], metric)]
        headers = ("run", *[_kind_header(name, self.done[0], metric) for name in names])
        rows = []
        for label, record in zip(labels, self.records, strict=True):
            if record.status != "done":
                continue
            scores = [record.quality_by.get(name, {}).get(metric) for name in names]
            rows.append((label, *["–" if s is None else f"{s.value:.2f}" for s in scores]))
        title = f"{quality_columns([metric])[0].header} by kind of question"
        return [Table(title, headers, tuple(rows))]


def compare(records: Sequence[Record]) -> Comparison:
    """Records side by side, in the order given.

    Raises `InputError` for none, and for records of different questions: their means do not
    compare.
    """
    if not records:
        raise InputError("there are no records to compare; run a recipe first (`wattune compare`)")
    items = {(r.task.get("name"), r.task.get("items")) for r in records if r.status == "done"}
    if len(items) > 1:
        named = sorted(f"{name} ({str(digest)[:8]})" for name, digest in items)
        raise InputError(
            f"these records answer different questions: {', '.join(named)}; compare them apart"
        )
    return Comparison(tuple(records))


def _labels(records: Sequence[Record]) -> list[str]:
    names = [record.name for record in records]
    return [f"{r.name}#{r.key[:6]}" if names.count(r.name) > 1 else r.name for r in records]


def _worth_a_column(name: str, record: Record, metric: str) -> bool:
    """A kind; or, instead of it, its two tags that part it (covered | documents_only)."""
    kind, _, tag = name.partition("/")
    counts = {n: scores[metric].n for n, scores in record.quality_by.items()}
    tags = [n for n in counts if n.startswith(f"{kind}/")]
    parted = len(tags) == 2 and sum(counts[n] for n in tags) == counts.get(kind)
    return parted if tag else not parted


def _kind_header(name: str, record: Record, metric: str) -> str:
    kind, _, tag = name.partition("/")
    count = record.quality_by[name][metric].n if name in record.quality_by else 0
    words = (tag or kind).replace("_", "\n")
    return f"{words}\n({count})"


def _cell(record: Record, column: Column) -> object:
    if record.status != "done":
        return ""
    value = column.value(record)
    return "" if value is None else value


def _end(record: Record, metric: str, end: str) -> object:
    score = record.quality.get(metric)
    return "" if score is None else getattr(score, end)


def _energy_notes(records: Sequence[Record]) -> list[str]:
    found: dict[str, set[str]] = {}
    for record in records:
        for component, provenance in energy_provenance(record).items():
            found.setdefault(component, set()).add(provenance)
    if not found:
        return []
    parts = [f"{name}: {' / '.join(sorted(how))}" for name, how in sorted(found.items())]
    notes = [f"Energy per component: {'; '.join(parts)}."]
    measured = {"counter", "integrated_power"}
    if not any(how & measured for how in found.values()):
        notes.append(
            "Energy here is modelled from rated power, load and time, not measured: it ranks runs "
            "on this machine and says little about another."
        )
    if any("failed" in how for how in found.values()):
        notes.append("The meter failed for a component: the energies above leave it out.")
    return notes


def _carbon_notes(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    if len({record.carbon.place if record.carbon else None for record in records}) > 1:
        return ["WARNING: the records are of different places: their gCO₂e do not compare."]
    carbon = records[0].carbon
    if carbon is None:
        return ["gCO₂e needs a place: set `place: FRA` (or `intensity_g_per_kwh:`) in the recipe."]
    year = f", {carbon.year}" if carbon.year else ""
    return [
        f"gCO₂e: prepare + load + 1,000 answers at {carbon.intensity_g_per_kwh:g} g/kWh "
        f"({carbon.place}, {carbon.kind}, {carbon.source}{year})."
    ]


def _other_notes(records: Sequence[Record]) -> list[str]:
    notes = [
        "Wh per 1,000: answers in one batch. Latency: median of one question at a time. "
        "J per correct: an answer is correct when it contains the gold.",
        "Prepare is what the stages cost when first made, also where they were reused.",
    ]
    if any("overlap_allowed" in record.flags for record in records):
        notes.append("WARNING: test questions stand in training (--allow-overlap).")
    return notes


def plain_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The comparison as JSON rows, for other tools; null where a figure is unknown."""
    columns = [*quality_columns(comparison.metrics), *COST]
    rows: list[dict[str, Any]] = []
    for record in comparison.records:
        row: dict[str, Any] = {"run": record.name, "status": record.status, "reason": record.reason}
        if record.status == "done":
            row |= {column.name: column.value(record) for column in columns}
            for metric, score in record.quality.items():
                row |= {f"{metric}_low": score.low, f"{metric}_high": score.high}
        rows.append(row)
    return rows
