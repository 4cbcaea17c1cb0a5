"""A comparison by base model: how each does at its best, and the ten factors side by side.

Models are compared where rows are: on the same questions, by the same scorer. Scores that others
published stand in a table of their own and rank nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..files import csv_text
from ..measure.model_facts import ModelFacts, PublishedScore
from .base_models import BaseModel, base_models, published_of
from .comparability import Group
from .factors import FACTORS, Candidate, Finding, candidate, findings
from .figures import interval, quality_columns, starred
from .layout import Table
from .serving import SERVING
from .table import Comparison

PUBLISHED = "Published by others, not measured here; each in its publisher's own unit"
OF_RECORDS = ("measured: ", "recorded: ")
FIELDS = ("model", "group", "factor", "name", "value", "text", "source")
SHOWN = ("batch_questions_per_s", "answer_wh_per_1000", "realtime_latency_p95_s")
"""Of the columns of serving those that stand beside the quality of a model."""


@dataclass(frozen=True)
class ByModel:
    """A comparison's rows by base model. `known` are facts by revision, for records without their
    own, and `published` scores of others."""

    comparison: Comparison
    known: Mapping[str, ModelFacts]
    published: tuple[PublishedScore, ...] = ()

    @cached_property
    def models(self) -> list[BaseModel]:
        """The base models, the smallest first."""
        return base_models(self.comparison.rows, self.known)

    @cached_property
    def laid_out(self) -> list[tuple[Group, list[tuple[Candidate, list[Finding]]]]]:
        """For each group of rows that may be ranked together, the models that have rows there, and
        what is known of each."""
        found = []
        for group in self.comparison.groups:
            held = {m for row in group.rows for record in row.records for m in record.quality}
            metric = next((m for m in self.comparison.judged if m in held), None)
            each = [candidate(model, group.rows, metric) for model in self.models]
            found.append((group, [(one, findings(one)) for one in each if one.rows]))
        return found

    def tables(self) -> list[Table]:
        """For each group the models at their best and the ten factors; published scores."""
        found: list[Table] = []
        for number, (group, laid) in enumerate(self.laid_out):
            each = [of for of, _ in laid]
            name = f", group {group.name}" if group.name else ""
            found += [_best(self.comparison, number, each, name), _factors(laid, name)]
        return [*found, *published_tables(self.models, self.published)]

    def notes(self) -> list[str]:
        """Where the findings are from; what the cards have that could not be read; which published
        scores are of no model here."""
        notes = [*self.comparison.reasons]
        notes.append(
            "Each model stands by its best run of these, and measured figures are that run's: more "
            "runs of one model are more chances, and one that was tuned less may look worse than "
            "it is. --format json names the field behind each figure."
        )
        notes += _sources(
            [
                (of.model.label, finding)
                for _, laid in self.laid_out
                for of, each in laid
                for finding in each
            ]
        )
        for model in self.models:
            notes += [
                f"{model.label}: {note}" for note in (model.facts.notes if model.facts else ())
            ]
        names = {name for model in self.models for name in model.names}
        strange = dict.fromkeys(s.model for s in self.published if s.model.lower() not in names)
        if strange:
            notes.append(f"Published scores of other models are not shown: {', '.join(strange)}.")
        return notes

    def show(self) -> None:
        """Print the tables and their notes to the terminal."""
        from rich.markup import escape

        from .render import show_tables

        console = show_tables(self.tables())
        for note in self.notes():
            console.print(escape(note), style="dim", highlight=False)

    def to_markdown(self) -> str:
        """The tables and their notes as Markdown."""
        from .render import markdown_tables

        return markdown_tables(self.tables(), self.notes())

    def to_csv(self) -> str:
        """One line a finding, with its source; empty where it is unknown."""
        return csv_text(FIELDS, self.plain()["findings"])

    def plain(self) -> dict[str, Any]:
        """As JSON: the findings in full, each with its source, and the published scores."""
        rows = [
            {
                "model": of.model.label, "group": group.name or "A", "factor": found.factor,
                "name": found.name, "value": found.value, "text": found.text.replace("\n", " "),
                "source": found.source,
            }
            for group, laid in self.laid_out
            for of, each in laid
            for found in each
        ]  # fmt: skip
        published = [
            {**score.plain(), "model": model.label}
            for model in self.models
            for score in published_of(model, self.published)
        ]
        return {"findings": rows, "published": published, "notes": self.notes()}


def _best(comparison: Comparison, number: int, each: Sequence[Candidate], name: str) -> Table:
    group = comparison.groups[number]
    metric = next((of.metric for of in each if of.metric), None)
    words = {
        row.label: verdict.word
        for row, verdict in zip(group.rows, comparison.verdict(number, metric or ""), strict=True)
        if verdict
    }
    shown = [column for column in SERVING if column.name in SHOWN]
    rows, top = [], []
    for of in each:
        score, mean = (
            (of.best.score(metric), of.best.mean(metric)) if of.best and metric else (None,) * 2
        )
        text = interval(score) if score or mean is None else f"{mean:.2f}"
        cells = [column.texts([of.best])[0] if of.best else "–" for column in shown]
        rows.append(
            (of.model.label, str(len(of.rows)), of.best.label if of.best else "–", text, *cells)
        )
        top.append(words.get(rows[-1][2]) in ("best", "tied"))
    texts = starred([row[3] for row in rows], top)
    header = quality_columns([metric])[0].header if metric else "quality"
    headers = ("base model", "runs", "best run", header, *(column.header for column in shown))
    return Table(
        f"Base models at their best{name}, the smallest first",
        headers,
        tuple((*row[:3], text, *row[4:]) for row, text in zip(rows, texts, strict=True)),
    )


def _factors(laid: Sequence[tuple[Candidate, list[Finding]]], name: str) -> Table:
    rows = [
        (
            factor,
            *(";\n".join(f.text for f in each if f.factor == factor) or "–" for _, each in laid),
        )
        for factor in FACTORS
    ]
    headers = ("factor", *(of.model.label for of, _ in laid))
    return Table(f"Ten factors{name}", headers, tuple(rows), words=True)


def published_tables(models: Sequence[BaseModel], given: Sequence[PublishedScore]) -> list[Table]:
    """The scores that others published of models, side by side with who published them."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for model in models:
        for score in published_of(model, given):
            told = ", ".join(filter(None, (score.source, score.url, score.date)))
            cells = found.setdefault((score.benchmark, score.metric, told), {})
            cells[model.label] = f"{score.score:g}"
    if not found:
        return []
    labels = [
        model.label for model in models if any(model.label in cells for cells in found.values())
    ]
    rows = [
        (benchmark, metric, *(cells.get(label, "–") for label in labels), told)
        for (benchmark, metric, told), cells in found.items()
    ]
    return [Table(PUBLISHED, ("benchmark", "metric", *labels, "published by"), tuple(rows))]


def _sources(found: Sequence[tuple[str, Finding]]) -> list[str]:
    """Where what is told of the models stands, and why the rest is unknown, by source."""
    models = tuple(dict.fromkeys(label for label, _ in found))
    of: dict[tuple[bool, str, str], list[str]] = {}  # known, source, finding -> models
    for label, finding in found:
        known = finding.value is not None
        if not (known and finding.source.startswith(OF_RECORDS)):
            labels = of.setdefault((known, finding.source, finding.name), [])
            if label not in labels:
                labels.append(label)
    places: dict[tuple[bool, str, tuple[str, ...]], list[str]] = {}
    for (known, source, name), labels in of.items():
        places.setdefault((known, source, tuple(labels)), []).append(name)
    notes = []
    for wanted, word in ((True, "Told, not measured"), (False, "Unknown")):
        told = [
            f"{', '.join(names)}{_whose(labels, models)}: {source}"
            for (known, source, labels), names in places.items()
            if known is wanted
        ]
        if told:
            notes.append(f"{word}: {'; '.join(told)}.")
    return notes


def _whose(labels: tuple[str, ...], models: tuple[str, ...]) -> str:
    return "" if labels == models else f" ({', '.join(labels)})"
