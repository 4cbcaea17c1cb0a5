"""Baseline: what each optimisation saves per answer, against how things were before a date.

Of each run the newest way of doing it before the date is the baseline; each later one is set beside
it. Joules are set side by side only where they may be ranked together (`comparability.py`), and
quality stands beside them with a paired test, so that a saving by worse answers is seen.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..durations import DAY_S
from ..errors import InputError
from ..measure.carbon import J_PER_WH, emissions_g
from ..measure.record import Record
from .changes import changes
from .comparability import COST, QUALITY, contention
from .figures import answer_wh_per_1000
from .quality_change import QualityChange, differing, quality_changes
from .seeds import Row, rows_of


@dataclass(frozen=True)
class Change:
    """A cost of 1,000 answers then and now; None where it is not known."""

    then: float | None
    now: float | None

    @property
    def saved(self) -> float | None:
        """Then less now: negative where it costs more."""
        return None if self.then is None or self.now is None else self.then - self.now


@dataclass(frozen=True)
class Saving:
    """A later way of a run beside its baseline.

    `wh`, `grams` and `money` are of 1,000 answers, unknown where `apart` says why costs do not
    compare. `days` is how long it was the newest (until the next one, or until now), and `total`
    what was saved in that time at the volume asked for, less its preparing: by "wh", "grams",
    "money"; empty without a volume.
    """

    then: Row
    now: Row
    then_at: datetime.datetime
    now_at: datetime.datetime
    days: float
    apart: tuple[str, ...]
    changed: tuple[str, ...]
    wh: Change
    grams: Change
    money: Change
    currency: str | None
    quality: dict[str, QualityChange] = field(default_factory=dict)
    total: dict[str, float | None] = field(default_factory=dict)

    @property
    def worse(self) -> tuple[str, ...]:
        """The metrics in which it answers worse than the baseline, beyond chance."""
        return tuple(name for name, one in self.quality.items() if one.word == "worse")


@dataclass(frozen=True)
class Baseline:
    """All savings since `date`, oldest first, and what could not be set beside a baseline."""

    date: datetime.datetime
    savings: tuple[Saving, ...]
    without: tuple[str, ...]
    answers_per_day: float | None
    allow: bool = False


def baseline(
    records: Sequence[Record],
    since: str,
    *,
    answers_per_day: float | None = None,
    allow: bool = False,
    now: datetime.datetime | None = None,
) -> Baseline:
    """What later records save against those before a date.

    `since` is ``2026-11-01`` (or a time, ISO 8601; UTC without an offset): each run is set beside
    itself as it was then. ``zero-shot@2026-11-01`` sets all later runs beside that one. With
    `answers_per_day` savings are added up from each later run's day until the next one's, or `now`.
    `allow` compares costs of other hardware and the like too. Raises `InputError` for what is no
    date, and where there are no finished records on both sides of it.
    """
    run, _, text = since.rpartition("@")
    date = _date(text)
    if answers_per_day is not None and not 0 <= answers_per_day < float("inf"):
        raise InputError(f"{answers_per_day:g} answers a day; a number of 0 or more is expected")
    timed = sorted(
        ((at, record) for record in records if record.status == "done" and (at := _at(record))),
        key=lambda one: one[0],
    )
    before = rows_of([record for at, record in timed if at < date])
    later = rows_of([record for at, record in timed if at >= date])
    if not before or not later:
        raise InputError(
            f"{len(before)} finished run(s) before {date:%Y-%m-%d %H:%M} UTC and {len(later)} "
            "since; a baseline needs both" + (f"; they are of {_span(timed)}" if timed else "")
        )
    if run and run not in {row.records[0].name for row in before}:
        known = ", ".join(sorted({row.records[0].name for row in before}))
        raise InputError(f'no finished run "{run}" before {date:%Y-%m-%d}; there are {known}')
    end = now or datetime.datetime.now(datetime.UTC)
    thens = [_before(row, run, before) for row in later]
    pairs = [(then, row) for then, row in zip(thens, later, strict=True) if then is not None]
    savings = [
        _added_up(_saving(*pair, _days(pair[1], later, end), quality, allow), answers_per_day)
        for pair, quality in zip(pairs, quality_changes(pairs), strict=True)
    ]
    without = [row.label for then, row in zip(thens, later, strict=True) if then is None]
    return Baseline(
        date=date,
        savings=tuple(savings),
        without=tuple(dict.fromkeys(without)),
        answers_per_day=answers_per_day,
        allow=allow,
    )


def _saving(
    then: Row, now: Row, days: float, quality: dict[str, QualityChange], allow: bool
) -> Saving:
    apart = _apart(then, now)
    currencies = {r.money.currency if r.money else None for r in (*then.records, *now.records)}
    currency = currencies.pop() if len(currencies) == 1 else None

    def of(value: Callable[[Record], float | None]) -> Change:
        if apart and not allow:
            return Change(None, None)
        return Change(_number(then, value), _number(now, value))

    return Saving(
        then=then,
        now=now,
        then_at=_row_at(then),
        now_at=_row_at(now),
        days=days,
        apart=apart,
        changed=changes(then.records[-1], now.records[-1]),
        wh=of(answer_wh_per_1000),
        grams=of(_grams),
        money=of(_money) if currency else Change(None, None),
        currency=currency,
        quality=quality,
    )


def _added_up(saving: Saving, answers_per_day: float | None) -> Saving:
    """With what was saved in its days: answers x saving, less preparing it."""
    if answers_per_day is None:
        return saving
    thousands = answers_per_day * saving.days / 1000
    prepared = {
        "wh": _number(saving.now, lambda r: _over(r.prepare.energy_j, J_PER_WH)),
        "grams": _number(saving.now, lambda r: emissions_g(r.prepare.energy_j, r.carbon)),
        "money": _number(saving.now, lambda r: r.money.prepare if r.money else None),
    }
    saved = {"wh": saving.wh.saved, "grams": saving.grams.saved, "money": saving.money.saved}
    total: dict[str, float | None] = {}
    for name, one in saved.items():
        spent = prepared[name]
        total[name] = None if one is None or spent is None else thousands * one - spent
    return replace(saving, total=total)


def _before(row: Row, run: str, rows: Sequence[Row]) -> Row | None:
    """The newest row before the date that a later one is set beside: of its task, and of its name
    or of the one that was asked for."""
    record = row.records[0]
    fitting = [
        one
        for one in rows
        if one.records[0].name == (run or record.name)
        and one.records[0].task.get("name") == record.task.get("name")
    ]
    return max(fitting, key=_row_at, default=None)


def _days(row: Row, later: Sequence[Row], end: datetime.datetime) -> float:
    """From the row until the next of its name and task, or until `end`."""
    began, record = _row_at(row), row.records[0]
    following = [
        at
        for one in later
        if one.records[0].name == record.name
        and one.records[0].task.get("name") == record.task.get("name")
        and (at := _row_at(one)) > began
    ]
    return max(0.0, (min(following, default=end) - began).total_seconds() / DAY_S)


def _apart(then: Row, now: Row) -> tuple[str, ...]:
    """Why the costs of two rows do not compare; nothing where they do."""
    apart = differing(then, now, {**QUALITY, **COST})
    if any(contention(record) is not None for record in (*then.records, *now.records)):
        apart.append("other programs kept the processors busy (contended)")
    return tuple(apart)


def _grams(record: Record) -> float | None:
    wh = answer_wh_per_1000(record)
    return None if wh is None else emissions_g(wh * J_PER_WH, record.carbon)


def _money(record: Record) -> float | None:
    return record.money.answers_1000 if record.money else None


def _over(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def _number(row: Row, of: Callable[[Record], float | None]) -> float | None:
    value = row.figure(of)
    return value if isinstance(value, float | int) else None


def _date(text: str) -> datetime.datetime:
    try:
        return _instant(text)
    except ValueError:
        raise InputError(
            f'baseline "{text}" is no date; such as 2026-11-01, or zero-shot@2026-11-01 for a run'
        ) from None


def _instant(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _at(record: Record) -> datetime.datetime | None:
    """When a record was made; None where it does not say."""
    text = record.ended_at or record.created_at
    return _instant(text) if text else None


def _row_at(row: Row) -> datetime.datetime:
    return max(at for record in row.records if (at := _at(record)))


def _span(timed: Sequence[tuple[datetime.datetime, Record]]) -> str:
    return f"{timed[0][0]:%Y-%m-%d %H:%M} to {timed[-1][0]:%Y-%m-%d %H:%M} UTC"
