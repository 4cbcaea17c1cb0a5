"""The tables of a comparison, as text: quality, the spread between seeds, cost, serving, kinds,
forgetting, footprints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..measure.record import Record
from .comparability import Group, contention
from .evidence import evidence_tables
from .figures import Column, cost_columns, interval, quality_columns, signed, starred
from .forgetting import forgetting_tables
from .grams import FOOTPRINT
from .kinds import quality_by_kind
from .planned import planned_tables
from .refresh import refresh_tables
from .seeds import Row
from .serving import SERVING
from .training import training_tables
from .transfer_table import projected_tables, quality_of
from .verdicts import Verdict

if TYPE_CHECKING:
    from .table import Comparison

REFERENCE = "(always refuse)"


@dataclass(frozen=True)
class Table:
    """A heading, column headers and rows of text; renderers know nothing else.

    With `words` the cells are words, not figures: they stand at the left and may wrap.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False


def tables(comparison: Comparison) -> list[Table]:
    """For each group quality, spread between seeds, cost and serving (in their groups), kinds;
    training; refresh; forgetting; planned and measured; footprints."""
    if not comparison.done:
        return [Table("Quality", ("run",), tuple(map(_reason, comparison.records)))]
    found = [Table(*parts) for parts in projected_tables(comparison.rows)]
    for number, group in enumerate(comparison.groups):
        held = {m for row in group.rows for record in row.records for m in record.quality}
        metrics = [metric for metric in comparison.judged if metric in held]
        found += [_quality(comparison, number, metrics), *_between_seeds(group, metrics)]
        found += _behaviour(
            group, [m for m in comparison.metrics if m in held and m not in metrics]
        )
        found += [
            Table(_marked(f"{title}{_of(group)}", group.mixed), headers, rows)
            for title, headers, rows in evidence_tables(group.rows)
        ]
        for part in comparison.cost_groups[number]:
            found += [_cost(group, part), *_serving(group, part)]
        found += _kinds(group, metrics)
    rows = comparison.rows
    made = (
        *training_tables(rows), *refresh_tables(rows), *forgetting_tables(rows),
        *planned_tables(rows),
    )  # fmt: skip
    found += [Table(*parts) for parts in made]
    return [*found, *_footprints(comparison.rows)]


def _quality(comparison: Comparison, number: int, metrics: Sequence[str]) -> Table:
    group = comparison.groups[number]
    headers: list[str] = []
    columns: list[list[str]] = []
    systems = _systems(group.rows)
    if any(systems):
        headers.append("system")
        columns.append(systems)
    task = group.rows[0].records[0].task
    one_task = "questions" not in group.mixed
    always = (task.get("always_refuse") or {}) if one_task else {}
    reference = [""] * len(headers)
    for metric, column in zip(metrics, quality_columns(metrics), strict=True):
        given = comparison.verdict(number, metric)
        best = [v is not None and v.word in ("best", "tied") for v in given]
        if group.mixed:  # no test can be, and still the user wants a ranking
            best = _best_means(group.rows, column)
        headers.append(column.header)
        columns.append(starred([_score(row, metric) for row in group.rows], best))
        reference.append(f"{always[metric]:.2f}" if metric in always else "–")
    judged = comparison.verdict(number, metrics[0]) if metrics else ()
    if any(judged):
        headers.append(f"{headers[len(headers) - len(metrics)]}\nvs best")
        columns.append([_against(verdict) for verdict in judged])
        reference.append("")
    places = {id(record): place for place, record in enumerate(comparison.records)}
    rows = [
        (places[id(row.records[0])], (row.label, *cells))
        for row, *cells in zip(group.rows, *columns, strict=True)
    ]
    missing = {_reason(r): places[id(r)] for r in reversed(_unfinished(comparison, number))}
    rows += [(place, reason) for reason, place in missing.items()]  # several seeds, one line
    texts = [row for _, row in sorted(rows)]
    if always:
        texts.append((REFERENCE, *reference))
    about = (
        f", {task['questions']} {task['split']} questions"
        if "questions" in task and one_task
        else ""
    )
    title = f"Quality{quality_of(group.rows)}{_of(group)}, mean with 95 % interval{about}"
    return Table(_marked(title, group.mixed), ("run", *headers), tuple(texts))


def _unfinished(comparison: Comparison, number: int) -> list[Record]:
    """The runs without figures that belong to a group: to that of their questions, or the first."""
    items = [group.rows[0].records[0].task.get("items") for group in comparison.groups]

    def home(record: Record) -> int:
        own = record.task.get("items")
        return items.index(own) if own in items else 0

    return [r for r in comparison.records if r.status != "done" and home(r) == number]


def _of(group: Group) -> str:
    return f", group {group.name}" if group.name else ""


def _marked(title: str, mixed: Sequence[str]) -> str:
    return f"NOT COMPARABLE (different {', '.join(mixed)}): {title}" if mixed else title


def _reason(record: Record) -> tuple[str, ...]:
    return (record.name, f"{record.status}: {record.reason}")


def _score(row: Row, metric: str) -> str:
    score, mean = row.score(metric), row.mean(metric)
    # Several seeds without scores by question have a mean and no interval.
    return interval(score) if score or mean is None else f"{mean:.2f}"


def _against(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    d = verdict.difference
    if d is None:
        return verdict.word
    return f"{verdict.word} {signed(d.value)} [{signed(d.low)}, {signed(d.high)}]"


def _best_means(rows: Sequence[Row], column: Column) -> list[bool]:
    means = [row.mean(column.name) for row in rows]
    known = [mean for mean in means if mean is not None]
    if len(known) < 2:  # nothing to be better than
        return [False] * len(means)
    best = (min if column.better == "lower" else max)(known)
    return [mean == best for mean in means]


def _systems(rows: Sequence[Row]) -> list[str]:
    """What of model and decoding differs between the rows: other Systems, ranked all the same."""
    facts: list[dict[str, Any]] = []
    for row in rows:
        system = row.records[0].system
        model = {"model": (system.get("model") or {}).get("name")}
        # A classifier writes nothing: how a language model would be decoded says nothing of it.
        writes = system.get("kind") != "classical"
        facts.append({**model, **(system.get("decoding") or {})} if writes else {})
    names = dict.fromkeys(name for known in facts for name in known)
    values = {name: {repr(known.get(name)) for known in facts if known} for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    return [
        ", ".join(_fact(name, known.get(name)) for name in differing if known) for known in facts
    ]


def _fact(name: str, value: Any) -> str:
    """A setting of a System in a few words: a list by its length."""
    if isinstance(value, list):
        return f"{len(value)} {name}"
    return f"{name} {'–' if value is None else value}"


def _behaviour(group: Group, metrics: Iterable[str]) -> list[Table]:
    """What a task did not ask for and applies all the same: refusals, retrieval, rewordings.

    How many passages a run retrieves is its own matter: ``recall@3`` and ``recall@1`` are one
    column, and the cell says which.
    """
    kinds: dict[str, list[str]] = {}
    for metric in metrics:
        kinds.setdefault(metric.partition("@")[0], []).append(metric)
    if not kinds:
        return []
    rows = []
    for row in group.rows:
        cells = []
        for names in kinds.values():
            known = [(name, row.mean(name)) for name in names if row.mean(name) is not None]
            texts = [
                f"{mean:.2f}" + (f" at {name.partition('@')[2]}" if "@" in name else "")
                for name, mean in known
            ]
            cells.append(", ".join(texts) or "–")
        rows.append((row.label, *cells))
    headers = ("run", *[column.header for column in quality_columns(kinds)])
    title = f"Refusals and retrieval{_of(group)}"
    return [Table(_marked(title, group.mixed), headers, tuple(rows))]


def _between_seeds(group: Group, metrics: Sequence[str]) -> list[Table]:
    rows = []
    for row in group.rows:
        if len(row.records) > 1:
            spreads = [row.spread(metric) for metric in metrics]
            cells = [
                "–" if s is None else f"{s.sd:.3f} ({s.low:.2f}–{s.high:.2f})" for s in spreads
            ]
            rows.append((row.label, *cells))
    headers = ("run", *[column.header for column in quality_columns(metrics)])
    title = f"Between seeds{_of(group)}: standard deviation of the mean (lowest–highest)"
    return [Table(title, headers, tuple(rows))] if rows else []


def _cost(quality: Group, group: Group) -> Table:
    columns = cost_columns(record for row in group.rows for record in row.records)
    return _measured("Cost", columns, quality, group)


def _serving(quality: Group, group: Group) -> list[Table]:
    if not any(r.batch or r.realtime for row in group.rows for r in row.records):
        return []
    records = [record for row in group.rows for record in row.records]
    columns = [c for c in SERVING if any(c.value(record) is not None for record in records)]
    alone = ", and one at a time" if any(record.realtime for record in records) else ""
    return [_measured(f"Serving: all at once{alone}", columns, quality, group)]


def _measured(what: str, columns: Sequence[Column], quality: Group, group: Group) -> Table:
    # Where all ran on a busy machine, the least joules are not the best run's; and what was not
    # measured is not the best.
    records = [record for row in group.rows for record in row.records]
    ranked = any(contention(r) is None for r in records) and not any(r.projected for r in records)
    what = f"{what}, projected" if any(r.projected for r in records) else what
    cells = zip(*[column.texts(group.rows, ranked=ranked) for column in columns], strict=True)
    rows = [(row.label, *texts) for row, texts in zip(group.rows, cells, strict=True)]
    title = f"{what}{_of(group) or _of(quality)}"
    mixed = (*quality.mixed, *group.mixed)
    return Table(_marked(title, mixed), ("run", *[c.header for c in columns]), tuple(rows))


def _footprints(rows: Sequence[Row]) -> list[Table]:
    """Grams of what the runs themselves spent, where one declares whose machine it was."""
    if not any(r.footprint and r.footprint.boundary for row in rows for r in row.records):
        return []
    cells = zip(*[column.texts(rows) for column in FOOTPRINT], strict=True)
    texts = [(row.label, *found) for row, found in zip(rows, cells, strict=True)]
    headers = ("run", *[column.header for column in FOOTPRINT])
    return [Table("Footprint of what each run spent", headers, tuple(texts))]


def _kinds(group: Group, metrics: Sequence[str]) -> list[Table]:
    found = []
    for title, headers, rows in quality_by_kind(group.rows, metrics[0]) if metrics else ():
        if "questions" in group.mixed:  # their numbers differ
            headers = tuple(header.rpartition("\n")[0] or header for header in headers)
        found.append(Table(_marked(f"{title}{_of(group)}", group.mixed), headers, rows))
    return found
