"""What is known of one model, laid out: what is told of it, what was measured, what others say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..measure.licences import is_open
from ..measure.model_facts import STATED, ModelFacts, PublishedScore
from ..measure.record import Record
from .base_models import BaseModel, counted, fact_name, facts_of, published_of, sized
from .by_model import published_tables
from .comparability import hardware
from .factors import UNKNOWN
from .figures import interval, quality_columns
from .layout import Table
from .serving import SERVING
from .table import compare

TEXTS: dict[str, Callable[[Any], str]] = {
    "parameters": lambda n: f"{n:,} ({counted(n)})",
    "weights_bytes": lambda n: f"{n:,} bytes ({sized(n)})",
    "context_tokens": lambda n: f"{n:,} tokens",
    "licence": lambda t: f"{t} ({'open' if is_open(t) else 'not listed as open'})",
    "training_emissions_g": lambda g: f"{g / 1000:,.3f} kgCO₂e, as its makers state",
}
"""How a fact reads; others as they are."""


def card_tables(
    facts: ModelFacts, records: Sequence[Record], published: Sequence[PublishedScore]
) -> list[Table]:
    """What is told of a model with its sources, what `records` measured of it, and the scores that
    others published."""
    rows = []
    for field in STATED:
        value = getattr(facts, field)
        text = UNKNOWN
        if value is not None and value != ():
            shown = ", ".join(value) if isinstance(value, tuple) else value
            text = TEXTS.get(field, str)(shown)
        rows.append((fact_name(field), text, facts.sources.get(field, "")))
    headers = ("fact", "what is told", "where it stands, or was looked for")
    told = Table(f"{facts.name} ({facts.revision or 'a folder'})", headers, tuple(rows), words=True)
    return [told, *_measured(_own(facts, records)), *published_tables([_as_base(facts)], published)]


def card_notes(
    facts: ModelFacts, records: Sequence[Record], published: Sequence[PublishedScore]
) -> list[str]:
    """What could not be read, and which records and scores are of other models."""
    notes = [f"Note: {note}." for note in facts.notes]
    own = _own(facts, records)
    if records and not own:
        notes.append(f"None of the {len(records)} records is of this model in this revision.")
    elif not own:
        notes.append("Speed and energy: not measured; --runs names records that did.")
    of_others = [s for s in published if s not in published_of(_as_base(facts), published)]
    if of_others:
        names = ", ".join(dict.fromkeys(score.model for score in of_others))
        notes.append(f"Published scores of other models are not shown: {names}.")
    return notes


def plain_card(
    facts: ModelFacts, records: Sequence[Record], published: Sequence[PublishedScore]
) -> dict[str, Any]:
    """The same as JSON: null for what is not known."""
    rows = []
    for record in _own(facts, records):
        columns = [*quality_columns(record.quality), *SERVING]
        figures = {column.name: column.value(record) for column in columns}
        rows.append(
            {"run": record.name, "task": record.task.get("name"), "seed": record.seed}
            | {"hardware": hardware(record), **figures}
        )
    scores = published_of(_as_base(facts), published)
    told = {key: value for key, value in facts.plain().items() if key != "scores"}
    return {"facts": told, "measured": rows, "published": [score.plain() for score in scores]}


def _own(facts: ModelFacts, records: Sequence[Record]) -> list[Record]:
    """The finished records of these weights: by their revision, a folder by where it lies."""

    def is_own(record: Record) -> bool:
        found = facts_of(record, {})
        if found is None or record.status != "done":
            return False
        return found.revision == facts.revision if facts.revision else found.name == facts.name

    return [record for record in records if is_own(record)]


def _measured(records: Sequence[Record]) -> list[Table]:
    """Quality, speed and energy of each run; a table for each machine and task."""
    if not records:
        return []
    comparison = compare(records)
    tables = []
    for group, parts in zip(comparison.groups, comparison.cost_groups, strict=True):
        task = group.rows[0].records[0].task.get("name", "a task")
        metric = next((m for m in comparison.judged if group.rows[0].mean(m) is not None), None)
        columns = [c for c in SERVING if any(c.value(r) is not None for r in records)]
        for part in parts:
            scores = [row.score(metric) if metric else None for row in part.rows]
            cells = [[interval(score) for score in scores]]
            cells += [column.texts(part.rows, ranked=False) for column in columns]
            quality = quality_columns([metric])[0].header if metric else "quality"
            where = hardware(part.rows[0].records[0])
            tables.append(
                Table(
                    f"Measured on {task}, {where}",
                    ("run", quality, *(column.header for column in columns)),
                    tuple(
                        (row.label, *texts)
                        for row, texts in zip(part.rows, zip(*cells, strict=True), strict=True)
                    ),
                )
            )
    return tables


def _as_base(facts: ModelFacts) -> BaseModel:
    return BaseModel(facts.name.partition("@")[0], facts, ())
