"""What it costs to keep a run up to date with its task's revision, and how good it is then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..measure.record import Record, Score
from ..measure.refresh import Refresh
from .figures import Column, quality_columns
from .forgetting import Parts
from .seeds import Row

NOT_REFRESHED = "not_refreshed: "


def _refresh(header: str, name: str, of: Callable[[Refresh], float | None], digits: int) -> Column:
    return Column(header, name, lambda r: of(r.refresh) if r.refresh else None, digits)


COST = (
    _refresh("refresh\nJ", "refresh_j", lambda f: f.attributed.energy_j, 1),
    _refresh("refresh\ns", "refresh_s", lambda f: f.attributed.duration_s, 1),
    Column("prepare\nJ", "prepare_j", lambda r: r.prepare.energy_j, 1),
)
"""None of it ranks: a run that does not follow the revision is the cheapest to keep."""
COUNTS = (
    _refresh("changed", "refresh_questions_changed", lambda f: f.questions_changed, 0),
    _refresh("unchanged", "refresh_questions_unchanged", lambda f: f.questions_unchanged, 0),
)
PARTS = ("changed", "stale", "unchanged", "before")


def refresh_columns(records: Sequence[Record], metrics: Sequence[str]) -> list[Column]:
    """The columns for files: cost, numbers of questions, and each metric's four figures; none
    where nothing was refreshed."""
    if not any(record.refresh for record in records):
        return []
    quality = [
        _refresh(part, f"refresh_{part}_{metric}", _mean(part, metric), 3)
        for metric in metrics
        for part in PARTS
    ]
    found = [column for column in quality if any(column.value(r) is not None for r in records)]
    return [*COST[:2], *COUNTS, *found]


def refresh_tables(rows: Sequence[Row]) -> list[Parts]:
    """One table for each revision and metric that comes first, of the rows that followed it."""
    by: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        first = row.records[0]
        if all(record.refresh for record in row.records) and first.refresh is not None:
            metric = next(iter(first.task.get("metrics") or first.refresh.changed), "")
            by.setdefault((first.refresh.fingerprint, metric), []).append(row)
    return [_table(found, metric) for (_, metric), found in by.items()]


def refresh_notes(rows: Sequence[Row]) -> list[str]:
    """What the tables mean, and who could not follow."""
    notes = []
    if any(record.refresh for row in rows for record in row.records):
        notes.append(
            "Keeping up to date: after the run the task's revision was applied. Refresh is what "
            "the updated and rebuilt stages cost, prepare what all stages had cost. Changed are "
            "the questions that the revision brings or touches, stale→refreshed; unchanged the "
            "others, before→refreshed. Not ranked, and no part of the costs above."
        )
    for row in rows:
        for flag in dict.fromkeys(flag for record in row.records for flag in record.flags):
            if flag.startswith(NOT_REFRESHED):
                notes.append(f"{row.label} was not refreshed: {flag.removeprefix(NOT_REFRESHED)}")
    return notes


def _table(rows: Sequence[Row], metric: str) -> Parts:
    first = rows[0].records[0].refresh
    assert first is not None
    headers = (
        "run",
        "how",
        *(column.header for column in COST),
        f"changed\n({first.questions_changed})",
        f"unchanged\n({first.questions_unchanged})",
    )
    cells = zip(*(column.texts(rows) for column in COST), strict=True)
    texts = tuple(
        (
            row.label,
            _how(row.records[0]),
            *costs,
            _moved(row, "stale", "changed", metric),
            _moved(row, "before", "unchanged", metric),
        )
        for row, costs in zip(rows, cells, strict=True)
    )
    return f"What keeping up to date costs, {quality_columns([metric])[0].plain}", headers, texts


def _how(record: Record) -> str:
    """What became of each step's stage."""
    stages = record.refresh.stages if record.refresh else ()
    return ",\n".join(f"{stage.strategy} {stage.how}" for stage in stages) or "–"


def _moved(row: Row, before: str, after: str, metric: str) -> str:
    """A metric before and after, means over seeds; a dash where it is not known."""
    figures = [
        row.figure(_refresh("", "", _mean(part, metric), 2).value) for part in (before, after)
    ]
    return "→".join(f"{one:.2f}" if isinstance(one, float) else "–" for one in figures)


def _mean(part: str, metric: str) -> Callable[[Refresh], float | None]:
    def value(refresh: Refresh) -> float | None:
        scores: dict[str, Score] = getattr(refresh, part)
        return scores[metric].value if metric in scores else None

    return value
