"""Savings since a baseline on paper: tables, notes, and plain rows for other tools."""

from __future__ import annotations

from typing import Any

from ..files import csv_text
from ..measure.carbon import J_PER_WH
from .baseline import Baseline, Change
from .figures import quality_columns, signed
from .layout import Table
from .quality_change import QualityChange

MOST_CHANGES = 6
"""Told under the table; all of them are in JSON and CSV."""


def baseline_tables(found: Baseline) -> list[Table]:
    """Costs of 1,000 answers then and now with the first metric; sums, where a volume is given."""
    if not found.savings:
        return []
    first = next((name for one in found.savings for name in one.quality), None)
    header = quality_columns([first])[0].plain if first else "quality"
    rows = [
        (
            one.now.label,
            f"{one.then_at:%Y-%m-%d}",
            f"{one.now_at:%Y-%m-%d}",
            *_costs(one.wh, 3),
            _percent(one.wh),
            *_costs(one.grams, 4)[:2],
            _plain(one.money.then),
            _plain(one.money.now),
            _quality(one.quality.get(first or "")),
        )
        for one in found.savings
    ]
    about = f"Since {found.date:%Y-%m-%d}: 1,000 answers then and now"
    headers = (
        "run", "then", "now", "Wh\nthen", "Wh\nnow", "Wh\nsaved", "saved\n%", "gCO₂e\nthen",
        "gCO₂e\nnow", "money\nthen", "money\nnow", f"{header}\nnow vs then",
    )  # fmt: skip
    marked = any(one.apart for one in found.savings) and found.allow
    tables = [Table(f"NOT COMPARABLE: {about}" if marked else about, headers, tuple(rows))]
    if found.answers_per_day is not None:
        tables.append(_sums(found))
    return tables


def baseline_notes(found: Baseline) -> list[str]:
    """What changed, what does not compare, and what was saved by worse answers."""
    notes = []
    for one in found.savings:
        if one.worse and (one.wh.saved or 0) > 0:
            metrics = ", ".join(column.plain for column in quality_columns(one.worse))
            notes.append(
                f"WARNING: {one.now.label} of {one.now_at:%Y-%m-%d} saves by worse answers "
                f"({metrics})."
            )
    for one in found.savings:
        label = f"{one.now.label} of {one.now_at:%Y-%m-%d}"
        if one.apart:
            mark = "WARNING: compared by --allow" if found.allow else "not compared"
            notes.append(f"{label}: costs {mark}, for they differ in {'; '.join(one.apart)}.")
        what = "; ".join(one.changed[:MOST_CHANGES]) or "nothing that a record tells of"
        more = len(one.changed) - MOST_CHANGES
        what += f"; and {more} more (in JSON and CSV)" if more > 0 else ""
        notes.append(f"{label}: changed since {one.then.label} of {one.then_at:%Y-%m-%d}: {what}.")
    if found.without:
        notes.append(
            f"Without a baseline, as no finished run of that name is older: "
            f"{', '.join(found.without)}; RUN@DATE sets all beside one run."
        )
    notes.append(
        "Wh and money are of answering in batches, without preparing. Costs were measured once a "
        "run: a small saving may be chance. Now vs then: on the same questions, with the 95 % "
        "paired bootstrap interval; corrected (Holm) for all runs and metrics shown."
    )
    if found.answers_per_day is not None:
        notes.append(
            f"Saved in all: at {found.answers_per_day:g} answers a day, from each run's day until "
            "the next one of its name (the last until today), less what preparing it took."
        )
    return notes


def baseline_rows(found: Baseline) -> list[dict[str, Any]]:
    """One row a later run, per answer and in joules, grams and money; null where not known."""
    rows = []
    for one in found.savings:
        row: dict[str, Any] = {
            "run": one.now.label,
            "task": one.now.records[0].task.get("name"),
            "baseline_run": one.then.label,
            "baseline_at": one.then_at.isoformat(),
            "at": one.now_at.isoformat(),
            "days": one.days,
            "joules_then": _times(one.wh.then, 3.6),  # Wh per 1,000 answers -> J per answer
            "joules_now": _times(one.wh.now, 3.6),
            "joules_saved": _times(one.wh.saved, 3.6),
            "grams_then": _times(one.grams.then, 1e-3),
            "grams_now": _times(one.grams.now, 1e-3),
            "grams_saved": _times(one.grams.saved, 1e-3),
            "money_then": _times(one.money.then, 1e-3),
            "money_now": _times(one.money.now, 1e-3),
            "money_saved": _times(one.money.saved, 1e-3),
            "currency": one.currency,
        }
        for name, change in one.quality.items():
            row |= {f"{name}_then": change.then, f"{name}_now": change.now, f"{name}": change.word}
            if change.difference is not None:
                row |= {
                    f"{name}_change": change.difference.value,
                    f"{name}_change_low": change.difference.low,
                    f"{name}_change_high": change.difference.high,
                    f"{name}_p": change.p,
                }
        if one.total:
            row |= {
                "answers_per_day": found.answers_per_day,
                "total_joules_saved": _times(one.total["wh"], J_PER_WH),
                "total_grams_saved": one.total["grams"],
                "total_money_saved": one.total["money"],
            }
        row |= {"not_comparable": list(one.apart), "changed": list(one.changed)}
        rows.append(row)
    return rows


def baseline_csv(found: Baseline) -> str:
    """The same rows with one header, empty where a row has nothing."""
    rows = [
        {name: "; ".join(v) if isinstance(v, list) else v for name, v in row.items()}
        for row in baseline_rows(found)
    ]
    return csv_text(dict.fromkeys(name for row in rows for name in row), rows)


def _sums(found: Baseline) -> Table:
    rows = [
        (
            one.now.label,
            f"{one.now_at:%Y-%m-%d}",
            f"{one.days:,.1f}",
            _text(one.total.get("wh"), 3),
            _text(one.total.get("grams"), 3),
            _plain(one.total.get("money")),
            one.currency or "–",
        )
        for one in found.savings
    ]
    headers = ("run", "from", "days", "Wh\nsaved", "gCO₂e\nsaved", "money\nsaved", "in")
    title = f"Saved in all, at {found.answers_per_day:,g} answers a day, less preparing"
    return Table(title, headers, tuple(rows))


def _costs(change: Change, digits: int) -> tuple[str, str, str]:
    return _text(change.then, digits), _text(change.now, digits), _text(change.saved, digits)


def _percent(change: Change) -> str:
    if change.saved is None or not change.then:
        return "–"
    return f"{100 * change.saved / change.then:,.1f}"


def _quality(change: QualityChange | None) -> str:
    if change is None:
        return "–"
    d = change.difference
    if d is None:
        known = change.then is not None and change.now is not None
        return f"{change.then:.2f} → {change.now:.2f}" if known else "–"
    return f"{change.word} {signed(d.value)} [{signed(d.low)}, {signed(d.high)}]"


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _times(value: float | None, by: float) -> float | None:
    return None if value is None else value * by
