"""By kind of question: the first metric, and the energy of a correct answer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ..measure.record import Record
from .figures import CORRECT, quality_columns
from .forgetting import Parts
from .seeds import Row
from .uncertainty import Serving, answer_j


def quality_by_kind(rows: Sequence[Row], metric: str) -> list[Parts]:
    """Title, headers and rows of a metric by kind; none where no row was scored by kind."""
    names = _kinds(rows, metric)
    if not names:
        return []
    first = rows[0].records[0]
    headers = ("run", *[_header(name, first, metric) for name in names])
    texts = []
    for row in rows:
        means = [_mean(row, name, metric) for name in names]
        texts.append((row.label, *("–" if mean is None else f"{mean:.2f}" for mean in means)))
    title = f"{quality_columns([metric])[0].plain} by kind of question"
    return [(title, headers, tuple(texts))]


def energy_by_kind(rows: Sequence[Row], serving: Serving) -> list[Parts]:
    """Joules of answering for each correct answer, by kind; none where no row is scored so.

    A Record does not say what single questions took, so every answer counts with the run's mean:
    the joules of an answer over the kind's share of correct ones. A dash where none is correct.
    """
    names = _kinds(rows, CORRECT)
    if not names:
        return []
    first = rows[0].records[0]
    headers = ("run", *[_header(name, first, CORRECT) for name in names])
    texts = []
    for row in rows:
        joules = row.figure(lambda record: answer_j(record, serving))
        shares = [_mean(row, name, CORRECT) for name in names]
        cells = [
            f"{joules / share:,.1f}" if share and isinstance(joules, float) else "–"
            for share in shares
        ]
        texts.append((row.label, *cells))
    title = "J of answering for a correct answer, by kind of question"
    return [(title, headers, tuple(texts))] if any({*cells} != {"–"} for _, *cells in texts) else []


def _kinds(rows: Sequence[Row], metric: str) -> list[str]:
    """The kinds that are worth a column, in the order they come."""
    first = rows[0].records[0]
    found = [kind for row in rows for record in row.records for kind in record.quality_by]
    return [name for name in dict.fromkeys(found) if _worth_a_column(name, first, metric)]


def _mean(row: Row, kind: str, metric: str) -> float | None:
    """The mean over the seeds; None where one has no score of the kind."""
    scores = [record.quality_by.get(kind, {}).get(metric) for record in row.records]
    known = [score.value for score in scores if score is not None]
    return fmean(known) if len(known) == len(scores) else None


def _worth_a_column(name: str, record: Record, metric: str) -> bool:
    """A kind; or, instead of it, its two tags that part it (covered | documents_only)."""
    kind, _, tag = name.partition("/")
    counts = {n: scores[metric].n for n, scores in record.quality_by.items() if metric in scores}
    tags = [n for n in counts if n.startswith(f"{kind}/")]
    parted = len(tags) == 2 and sum(counts[n] for n in tags) == counts.get(kind)
    return parted if tag else not parted


def _header(name: str, record: Record, metric: str) -> str:
    kind, _, tag = name.partition("/")
    score = record.quality_by.get(name, {}).get(metric)
    words = (tag or kind).replace("_", "\n")
    return f"{words}\n({score.n if score else 0})"
