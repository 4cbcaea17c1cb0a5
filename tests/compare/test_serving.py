"""Both ways of serving in one table: figures, stars, groups, seeds, and what is not known."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.serving import FEW_REALTIME
from wattune.compare.table import Table, plain_rows
from wattune.measure.record import Energy, Phase, Record, Score
from wattune.measure.serving import Realtime, batch_of, realtime_of

WAITS = [0.1 * number for number in range(1, 22)]
FIRST = [wait / 2 for wait in WAITS]


def record(name: str = "rag", *, single_j: float | None = 1512.0, **changes: Any) -> Record:
    """20 answers at once in 5 s with 360 J, and 21 alone with `single_j`; `changes` win."""
    energy = {"cpu": Energy(energy_j=360.0, provenance="counter")}
    given = {
        "name": name,
        "key": f"key-of-{name}",
        "task": {"name": "ferry", "items": "0123", "split": "test", "questions": 20},
        "fingerprints": {"scorer": "s"},
        "phases": {"answer": Phase(duration_s=5.0, energy_j=360.0, components=energy)},
        "answers": 20,
        "quality": {"token_f1": Score(value=0.5, low=0.5, high=0.5, n=20)},
        "scores": {"token_f1": (0.5,) * 20},
        "recipe": {"runs": {name: []}},
        "batch": batch_of(20, 5.0),
        "realtime": realtime_of(21, single_j, WAITS, FIRST),
    }
    return Record.model_validate({**given, **changes})


def serving(*records: Record) -> list[Table]:
    return [t for t in compare(records).tables() if t.title.startswith("Serving")]


def test_the_table_sets_both_ways_side_by_side() -> None:
    (table,) = serving(record())
    assert table.title == "Serving: all at once, and one at a time"
    assert [header.replace("\n", " ") for header in table.headers] == [
        "run", "at once questions/s", "at once Wh per 1,000", "first token s (p50)",
        "first token s (p95)", "latency s (p50)", "latency s (p95)",
        "one at a time Wh per 1,000", "times dearer",
    ]  # fmt: skip
    # 360 J / 20 = 18 J or 5 mWh each at once; 1512 J / 21 = 72 J or 20 mWh each alone.
    assert table.rows == (
        ("rag", "4.00", "5.000", "0.550", "1.000", "1.100", "2.000", "20.000", "4.00"),
    )


def test_the_best_of_each_column_has_a_star_and_how_many_times_dearer_has_none() -> None:
    slow = [2 * wait for wait in WAITS]
    lora = record("lora", batch=batch_of(20, 2.0), realtime=realtime_of(21, 3024.0, slow, slow))
    (table,) = serving(record(), lora)
    assert table.rows == (
        ("rag", "4.00", "5.000", "★0.550", "★1.000", "★1.100", "★2.000", "★20.000", "4.00"),
        ("lora", "★10.00", "5.000", "2.200", "4.000", "2.200", "4.000", "40.000", "8.00"),
    )


def test_seeds_are_one_row_of_means() -> None:
    other = realtime_of(21, 3024.0, [3 * wait for wait in WAITS], [])
    seeds = [record(), record(seed=1, key="k1", batch=batch_of(20, 2.5), realtime=other)]
    (table,) = serving(*seeds)
    assert table.rows == (
        ("rag (2 seeds)", "6.00", "5.000", "–", "–", "2.200", "4.000", "30.000", "6.00"),
    )


def test_what_may_not_be_ranked_together_has_tables_of_its_own() -> None:
    hardware = {"hardware": {"cpu": "another", "cores_logical": 2}}
    tables = serving(record(), record("lora", environment=hardware))
    titles = [table.title for table in tables]
    assert titles == [f"Serving: all at once, and one at a time, group {n}" for n in (1, 2)]
    assert "★" not in str([table.rows for table in tables])
    mixed = compare([record(), record("lora", environment=hardware)], allow=True).tables()
    assert any(t.title.startswith("NOT COMPARABLE (different hardware): Serving") for t in mixed)


def test_csv_and_json_hold_the_figures_with_their_units() -> None:
    comparison = compare([record()])
    (row,) = plain_rows(comparison)
    expected = {
        "batch_questions_per_s": 4.0, "answer_wh_per_1000": 5.0, "realtime_first_token_p50_s": 0.55,
        "realtime_first_token_p95_s": 1.0, "realtime_latency_p50_s": 1.1,
        "realtime_latency_p95_s": 2.0, "realtime_wh_per_1000": 20.0,
        "realtime_energy_over_batch": 4.0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    (line,) = csv.DictReader(io.StringIO(comparison.to_csv()))
    assert {name: float(line[name]) for name in expected} == pytest.approx(expected)


def test_what_was_not_measured_is_a_dash_or_empty() -> None:
    alone = record(realtime=None)
    (table,) = serving(alone)
    assert (table.title, table.rows) == ("Serving: all at once", (("rag", "4.00", "5.000"),))
    (line,) = csv.DictReader(io.StringIO(compare([alone]).to_csv()))
    assert line["realtime_latency_p95_s"] == line["realtime_energy_over_batch"] == ""
    unmetered = record(single_j=None)
    assert serving(unmetered)[0].headers[-1] == "latency\ns (p95)"
    assert serving(record(), unmetered)[0].rows[1][-2:] == ("–", "–")
    unstreamed = record(realtime=realtime_of(21, 1512.0, WAITS, []))
    assert serving(record(), unstreamed)[0].rows[1][3:6] == ("–", "–", "1.100")
    assert serving(record(batch=None, realtime=None)) == []


def test_the_notes_say_over_how_few_questions() -> None:
    def few(*records: Record) -> list[str]:
        return [n for n in compare(records).notes() if "p95 is nearly the longest wait" in n]

    one = record("lora", realtime=realtime_of(1, 2.0, [1.0], []))
    four = record("few", realtime=realtime_of(4, 8.0, [1.0] * 4, []))
    assert few(record(), record("lora", realtime=realtime_of(FEW_REALTIME, 1.0, WAITS, []))) == []
    assert few(record(), four)[0].startswith("Only 4 questions were asked one at a time")
    assert few(one, four)[0].startswith("Only 1 to 4 questions")
    assert few(record(realtime=Realtime(latency_p50_s=1.0))) == []  # an older record: not known


def test_a_note_says_what_one_at_a_time_means_where_something_was() -> None:
    told = "One at a time: each question is asked when the one before is answered."
    assert any(note.startswith(told) for note in compare([record()]).notes())
    assert not any(told in note for note in compare([record(realtime=None)]).notes())
