"""The figures of the two ways of serving: all questions at once, and one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..measure.carbon import J_PER_WH
from ..measure.record import Record
from ..measure.serving import Batch, Realtime
from .figures import BATCH_WH, Column, answer_wh_per_1000

FEW_REALTIME = 20
"""Below, the 95th percentile lies between the two longest waits: one slow answer decides it."""


def realtime_wh_per_1000(record: Record) -> float | None:
    """Energy of 1,000 answers given one at a time, in Wh, without preparing and loading."""
    joules = record.realtime.energy_j_per_answer if record.realtime else None
    return None if joules is None else joules / J_PER_WH * 1000


def times_dearer(record: Record) -> float | None:
    """Energy of an answer given alone over that of one given with all others; gross both."""
    alone, together = realtime_wh_per_1000(record), answer_wh_per_1000(record)
    return alone / together if alone is not None and together else None


def _batch(of: Callable[[Batch], float | None]) -> Callable[[Record], float | None]:
    return lambda record: of(record.batch) if record.batch else None


def _realtime(of: Callable[[Realtime], float | None]) -> Callable[[Record], float | None]:
    return lambda record: of(record.realtime) if record.realtime else None


SERVING = (
    Column("at once\nquestions/s", "batch_questions_per_s",
           _batch(lambda b: b.questions_per_s), 2, "higher"),
    replace(BATCH_WH, header="at once\nWh per 1,000"),
    Column("first token\ns (p50)", "realtime_first_token_p50_s",
           _realtime(lambda r: r.first_token_p50_s), 3, "lower"),
    Column("first token\ns (p95)", "realtime_first_token_p95_s",
           _realtime(lambda r: r.first_token_p95_s), 3, "lower"),
    Column("latency\ns (p50)", "realtime_latency_p50_s",
           _realtime(lambda r: r.latency_p50_s), 3, "lower"),
    Column("latency\ns (p95)", "realtime_latency_p95_s",
           _realtime(lambda r: r.latency_p95_s), 3, "lower"),
    Column("one at a time\nWh per 1,000", "realtime_wh_per_1000", realtime_wh_per_1000,
           3, "lower"),
    Column("times\ndearer", "realtime_energy_over_batch", times_dearer, 2),
)  # fmt: skip
"""Columns of serving. All that is measured ranks; how many times dearer is derived from two of them
and does not: a run that is dear at once would win."""


def serving_notes(records: Sequence[Record]) -> list[str]:
    """What the columns of serving mean, and over how few questions their percentiles are."""
    asked = [r.realtime for r in records if r.realtime]
    if not asked:
        return []
    notes = [
        "One at a time: each question is asked when the one before is answered. First token and "
        "latency count from asking, retrieval included; p50 is the median, p95 is exceeded by 5 "
        "%. Times dearer: Wh one at a time over Wh at once."
    ]
    few = [r.questions for r in asked if r.questions is not None and r.questions < FEW_REALTIME]
    if few:
        over = " to ".join(str(count) for count in dict.fromkeys((min(few), max(few))))
        notes.append(
            f"Only {over} questions were asked one at a time: with fewer than {FEW_REALTIME}, p95 "
            "is nearly the longest wait."
        )
    return notes
