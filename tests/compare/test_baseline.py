"""Savings since a baseline: per answer, only where costs compare, with quality beside."""

from __future__ import annotations

import csv
import datetime
import io
import json
import random
from typing import Any

import pytest

from wattune.compare.baseline import baseline
from wattune.compare.baseline_table import (
    baseline_csv,
    baseline_notes,
    baseline_rows,
    baseline_tables,
)
from wattune.compare.render import markdown_tables
from wattune.errors import InputError
from wattune.measure.record import Bill, Carbon, Energy, Money, Phase, Record, Score

QUESTIONS = 60
GOOD = tuple(float(n % 2 == 0) for n in range(QUESTIONS))
BAD = tuple(float(n % 8 == 0) for n in range(QUESTIONS))
END = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)


def run(day: int, joules: float | None = 600.0, name: str = "rag", **changes: Any) -> Record:
    """A run of a day of November: 60 answers, so that 600 J are 10 J each."""
    scores: tuple[float, ...] = changes.pop("scores", GOOD)
    mean = sum(scores) / len(scores)
    when = f"2026-11-{day:02}T00:00:00+00:00"
    grid = changes.pop("g_per_kwh", 36.0)
    answer = Phase(
        duration_s=10.0,
        energy_j=joules,
        components={"cpu": Energy(energy_j=joules, provenance="counter")},
    )
    given = {
        "name": name, "key": f"{name}-{day}", "created_at": when, "ended_at": when,
        "answers": QUESTIONS, "phases": {"answer": answer},
        "prepare": Bill(energy_j=3600.0, duration_s=1.0),
        "task": {"name": "ferry", "items": "0123", "metrics": ["contained"]},
        "quality": {"contained": Score(value=mean, low=mean, high=mean, n=QUESTIONS)},
        "scores": {"contained": scores},
        "recipe": {"runs": {name: [{"rag": {"k": changes.pop("k", 3)}}]}},
        "fingerprints": {"items": "0123", "scorer": "s", "index": changes.pop("index", "i")},
        "carbon": Carbon(place="FRA", intensity_g_per_kwh=grid, source="a table"),
        "environment": {"hardware": {"cpu": changes.pop("cpu", "A")}},
        "money": Money(currency="EUR", prepare=0.5, answers_1000=(joules or 0) / 100, spent=1.0),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def test_what_an_answer_took_then_and_now() -> None:
    (one,) = baseline([run(1), run(11, 300.0, k=2, index="j")], "2026-11-05", now=END).savings
    (row,) = baseline_rows(baseline([run(1), run(11, 300.0)], "2026-11-05", now=END))
    assert (row["joules_then"], row["joules_now"]) == (pytest.approx(10), pytest.approx(5))
    assert row["joules_saved"] == pytest.approx(5)
    # 5 J are 5 / 3.6e6 kWh, at 36 g/kWh 50 micrograms.
    assert row["grams_saved"] == pytest.approx(5e-5)
    assert row["money_saved"] == pytest.approx(0.003)
    assert row["currency"] == "EUR"
    assert one.changed == ("recipe rag.k: 3 → 2", "fingerprints: index")
    assert one.quality["contained"].word == "tied"


def test_the_newest_before_the_date_is_the_baseline() -> None:
    records = [run(1, 900.0), run(3, 600.0), run(11, 300.0), run(13, 120.0)]
    random.Random(0).shuffle(records)
    found = baseline(records, "2026-11-05", now=END).savings
    assert [(one.then_at.day, one.now_at.day) for one in found] == [(3, 11), (3, 13)]
    assert [one.wh.saved for one in found] == [
        pytest.approx(300 / 60 / 3.6), pytest.approx(480 / 60 / 3.6),
    ]  # fmt: skip


def test_savings_add_up_over_the_days_that_a_run_was_the_newest() -> None:
    records = [run(1), run(11, 300.0), run(16, 120.0)]
    found = baseline(records, "2026-11-05", answers_per_day=1000, now=END).savings
    assert [one.days for one in found] == [5, 5]
    # 5 days x 1,000 answers x 5 J (then 8 J), less 3,600 J of preparing.
    rows = baseline_rows(baseline(records, "2026-11-05", answers_per_day=1000, now=END))
    assert [row["total_joules_saved"] for row in rows] == [
        pytest.approx(25_000 - 3600), pytest.approx(40_000 - 3600),
    ]  # fmt: skip
    assert found[0].total["money"] == pytest.approx(5 * 3.0 - 0.5)
    assert found[0].total["grams"] == pytest.approx((25_000 - 3600) / 3.6e6 * 36)


@pytest.mark.parametrize("by", [0.5, 3.0])
def test_twice_the_volume_saves_twice_but_for_preparing(by: float) -> None:
    records = [run(1), run(11, 300.0)]
    one, many = (
        baseline(records, "2026-11-05", answers_per_day=n, now=END).savings[0].total["wh"]
        for n in (1000, 1000 * by)
    )
    assert one is not None
    assert many is not None
    assert many + 1 == pytest.approx(by * (one + 1))  # preparing took 1 Wh


def test_a_saving_by_worse_answers_is_seen() -> None:
    found = baseline([run(1), run(11, 60.0, scores=BAD)], "2026-11-05", now=END)
    (one,) = found.savings
    assert one.worse == ("contained",)
    assert "saves by worse answers (contained)" in baseline_notes(found)[0]
    better = baseline([run(1, scores=BAD), run(11, 60.0)], "2026-11-05", now=END)
    assert better.savings[0].quality["contained"].word == "better"
    assert not any("worse answers" in note for note in baseline_notes(better))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cpu": "B"}, "hardware: A then, B now"),
        ({"flags": ("contended: 75 % of the processors",)}, "contended"),
        ({"task": {"name": "ferry", "items": "4567", "metrics": ["contained"]}}, "questions"),
        ({"fingerprints": {"scorer": "other"}}, "scorer"),
    ],
)
def test_what_does_not_compare_saves_nothing(changes: dict[str, Any], reason: str) -> None:
    records = [run(1), run(11, 300.0, **changes)]
    found = baseline(records, "2026-11-05", answers_per_day=10, now=END)
    (one,) = found.savings
    assert reason in "; ".join(one.apart)
    assert (one.wh.saved, one.grams.saved, one.total["wh"]) == (None, None, None)
    assert any("costs not compared" in note for note in baseline_notes(found))
    allowed = baseline(records, "2026-11-05", allow=True, now=END)
    assert allowed.savings[0].wh.saved is not None
    assert baseline_tables(allowed)[0].title.startswith("NOT COMPARABLE")


def test_other_questions_are_not_paired() -> None:
    other = run(11, task={"name": "ferry", "items": "4567", "metrics": ["contained"]}, scores=BAD)
    (one,) = baseline([run(1), other], "2026-11-05", now=END).savings
    assert one.quality["contained"].word == "unknown"
    assert one.worse == ()


def test_another_grid_changes_grams_and_is_named() -> None:
    (one,) = baseline([run(1), run(11, 600.0, g_per_kwh=18.0)], "2026-11-05", now=END).savings
    assert one.wh.saved == 0
    assert one.grams.saved == pytest.approx(60 / 60 * 10 * 1000 / 3.6e6 * 18)
    assert one.changed == ("grid: 36 g/kWh (FRA, PUE 1) → 18 g/kWh (FRA, PUE 1)",)


def test_one_run_can_be_the_baseline_of_all() -> None:
    records = [run(1, name="base"), run(11, 300.0), run(12, 300.0, name="lora")]
    found = baseline(records, "2026-11-05", now=END)
    assert (found.savings, found.without) == ((), ("rag", "lora"))
    assert baseline_tables(found) == []
    assert "Without a baseline" in baseline_notes(found)[0]
    beside = baseline(records, "base@2026-11-05", now=END)
    assert [(one.then.label, one.now.label) for one in beside.savings] == [
        ("base", "rag"), ("base", "lora"),
    ]  # fmt: skip
    assert [one.wh.saved for one in beside.savings] == [pytest.approx(5 / 3.6)] * 2


def test_what_is_not_known_stays_so() -> None:
    records = [run(1), run(11, None, carbon=None, money=None)]
    (row,) = baseline_rows(baseline(records, "2026-11-05", answers_per_day=5, now=END))
    for name in ("joules", "grams", "money"):
        assert row[f"{name}_saved"] is None
        assert row[f"total_{name}_saved"] is None
    assert row["currency"] is None


def test_tables_and_files_say_the_same() -> None:
    records = [run(1), run(11, 300.0, name="rag", k=2)]
    found = baseline(records, "2026-11-05", answers_per_day=1000, now=END)
    costs, sums = baseline_tables(found)
    (cells,) = costs.rows
    assert len(cells) == len(costs.headers)
    assert (cells[0], cells[1], cells[2]) == ("rag", "2026-11-01", "2026-11-11")
    assert cells[3:7] == ("2.778", "1.389", "1.389", "50.0")
    assert sums.rows[0][:3] == ("rag", "2026-11-11", "10.0")
    (row,) = csv.DictReader(io.StringIO(baseline_csv(found)))
    plain = json.loads(json.dumps(baseline_rows(found)[0]))
    assert float(row["joules_saved"]) == plain["joules_saved"]
    assert row["changed"] == "recipe rag.k: 3 → 2"
    text = markdown_tables([costs, sums], baseline_notes(found))
    assert "| rag | 2026-11-01 |" in text
    assert "changed since rag of 2026-11-01: recipe rag.k: 3 → 2." in text


@pytest.mark.parametrize(
    ("since", "sentence"),
    [
        ("yesterday", "is no date"),
        ("", "is no date"),
        ("2026-13-01", "is no date"),
        ("2020-01-01", "0 finished run"),
        ("2030-01-01", "0 since"),
        ("nobody@2026-11-05", 'no finished run "nobody"'),
    ],
)
def test_a_date_must_part_the_records(since: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        baseline([run(1), run(11)], since, now=END)
    with pytest.raises(InputError, match="0 finished run"):
        baseline([], "2026-11-05")


@pytest.mark.parametrize("volume", [-1.0, float("nan"), float("inf")])
def test_a_volume_is_a_finite_number(volume: float) -> None:
    with pytest.raises(InputError, match="answers a day"):
        baseline([run(1), run(11)], "2026-11-05", answers_per_day=volume)


def test_all_orders_of_records_say_the_same() -> None:
    records = [run(d, 100.0 * d, name=n) for d in (1, 3, 11, 13) for n in ("rag", "lora")]
    expected = sorted(map(str, baseline_rows(baseline(records, "2026-11-05", now=END))))
    for seed in range(5):
        random.Random(seed).shuffle(records)
        found = baseline_rows(baseline(records, "2026-11-05", now=END))
        assert sorted(map(str, found)) == expected


def test_seeds_are_one_way_of_doing_it() -> None:
    records = [
        *[run(1, 600.0 + 60 * seed, seed=seed, key=f"a{seed}") for seed in (0, 1)],
        *[run(11, 300.0 + 60 * seed, seed=seed, key=f"b{seed}") for seed in (0, 1)],
    ]
    (one,) = baseline(records, "2026-11-05", now=END).savings
    assert one.now.label == "rag (2 seeds)"
    assert one.wh.saved == pytest.approx(5 / 3.6)
