"""What a change of weights forgot: general questions before and after, as tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from ..measure.paired import paired_differences
from ..measure.record import General, Score
from ..measure.statistics import mean_over_seeds
from .figures import FEW_QUESTIONS, Column, signed
from .seeds import Row

Parts = tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Title, headers and rows of a table."""


def _general(name: str, of: Callable[[General], float]) -> Column:
    return Column(name, name, lambda r: of(r.general) if r.general else None)


FORGETTING = (
    _general("general_questions", lambda g: g.questions),
    _general("general_before", lambda g: g.before.value),
    _general("general_after", lambda g: g.after.value),
    _general("general_change", lambda g: g.change.value),
    _general("general_change_low", lambda g: g.change.low),
    _general("general_change_high", lambda g: g.change.high),
)
"""Columns for files. They do not rank: what a task needs and what it may forget is the user's."""


def forgetting_tables(rows: Sequence[Row]) -> list[Parts]:
    """One table for each set of questions that was asked, of the rows that were asked it."""
    by_set: dict[str, list[tuple[Row, list[General]]]] = {}
    for row in rows:
        found = _asked(row)
        if found:
            by_set.setdefault(found[0].set, []).append((row, found))
    return [_table(asked) for asked in by_set.values()]


def forgetting_notes(rows: Sequence[Row]) -> list[str]:
    """What the tables mean; and who forgets, where the interval lies below 0."""
    known = [(row, found) for row in rows if (found := _asked(row))]
    if not known:
        return []
    notes = [
        "Forgetting: share of general questions, none of them from the task, that the weights "
        "alone answer rightly, before→after; change with its 95 % paired bootstrap interval. Not "
        "ranked, and no part of the costs."
    ]
    for row, found in known:
        change = _change(found)
        if change.high < 0:
            notes.append(
                f"WARNING: {row.label} forgets: {_interval(change)} on {change.n} general questions"
                + (", which are few: such an interval is too narrow." if few(change) else ".")
            )
    if len({found[0].set for _, found in known}) > 1:
        notes.append("Forgetting was asked with several sets of questions: they do not compare.")
    return notes


def few(change: Score) -> bool:
    """Whether there are so few questions that the bootstrap's interval is too narrow."""
    return change.n is not None and change.n < FEW_QUESTIONS


def _table(asked: Sequence[tuple[Row, list[General]]]) -> Parts:
    first = asked[0][1][0]
    headers = (
        "run",
        f"general\n({first.questions})",
        "change",
        *(f"{kind}\n({of.questions})" for kind, of in first.by_kind.items()),
    )
    rows = tuple(
        (
            row.label,
            _moved([(g.before.value, g.after.value) for g in found]),
            _interval(_change(found)),
            *(
                _moved([(g.by_kind[kind].before, g.by_kind[kind].after) for g in found])
                for kind in first.by_kind
            ),
        )
        for row, found in asked
    )
    return "Forgetting: general questions answered rightly, before→after", headers, rows


def _asked(row: Row) -> list[General]:
    """What was asked of a row's repetitions; none unless all were asked the same questions."""
    found = [record.general for record in row.records if record.general]
    alike = len(found) == len(row.records) and len({general.set for general in found}) == 1
    return found if alike else []


def _change(found: Sequence[General]) -> Score:
    """The change with its interval: of several seeds, of each question's mean over them."""
    if len(found) == 1:
        return found[0].change
    after = mean_over_seeds([general.scores_after for general in found])
    before = mean_over_seeds([general.scores_before for general in found])
    (change,) = paired_differences([(after, before)])
    return Score(value=change.value, low=change.low, high=change.high, n=change.n)


def _moved(pairs: Sequence[tuple[float, float]]) -> str:
    return "→".join(f"{fmean(means):.2f}" for means in zip(*pairs, strict=True))


def _interval(change: Score) -> str:
    return f"{signed(change.value)} [{signed(change.low)}, {signed(change.high)}]"
