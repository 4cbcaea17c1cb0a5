"""Warnings: what is not to be believed is said, gets no star, and is marked in the files."""

from __future__ import annotations

from typing import Any

import pytest

from wattune.compare import Comparison, compare
from wattune.compare.figures import STAR
from wattune.compare.layout import REFERENCE
from wattune.compare.table import plain_rows
from wattune.measure.record import (
    Baseline,
    Carbon,
    Energy,
    Footprint,
    Money,
    Phase,
    Record,
    Score,
)
from wattune.measure.statistics import bootstrap_mean
from wattune.measure.work import Work

N = 60
HALF = (0.0, 1.0) * (N // 2)
FALLBACK = "csv: no figure at 10:00"


def run(
    name: str,
    *,
    wh: float = 1.0,
    net: float | None = None,
    metric: str = "token_f1",
    **changes: Any,
) -> Record:
    """A finished record with `wh` watt-hours a thousand answers, `net` of them; `changes` win."""
    values = changes.pop("values", HALF)
    energy = {"cpu": Energy(energy_j=wh * 3.6 * N, provenance="modelled_load")}
    phase = Phase(
        duration_s=9.0,
        energy_j=wh * 3.6 * N,
        net_energy_j=None if net is None else net * 3.6 * N,
        components=energy,
    )
    given = {
        "name": name,
        "key": name,
        "task": {
            "name": "ferry", "items": "0123", "split": "test", "questions": N,
            "always_refuse": {metric: 0.1},
        },
        "phases": {"answer": phase},
        "answers": N,
        "quality": {metric: bootstrap_mean(values)},
        "scores": {metric: values},
        "carbon": Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table"),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def busy(percent: int) -> tuple[str, ...]:
    return (f"contended: {percent} % of the processors' time went to other programs",)


def cells(comparison: Comparison, title: str, header: str) -> dict[str, str]:
    """Run -> cell of the one table whose title begins so."""
    (table,) = [t for t in comparison.tables() if t.title.startswith(title)]
    column = table.headers.index(header)
    return {row[0]: row[column] for row in table.rows}


def noted(comparison: Comparison, words: str) -> str:
    (note,) = [note for note in comparison.notes() if words in note]
    return note


def test_contended_records_are_named_first_and_get_no_star() -> None:
    both = compare([run("lora", wh=2.0, flags=busy(75)), run("rag", flags=busy(72))])
    assert both.notes()[0] == (
        "WARNING: lora (75 %), rag (72 %): other programs kept the processors busy while these "
        "answered (contended): their energy and time are too high; run them again on an idle "
        "machine."
    )
    assert cells(both, "Cost", "Wh per\n1,000") == {"lora": "2.000", "rag": "1.000"}
    assert plain_rows(both)[0]["flags"] == busy(75)[0]
    one = compare([run("lora", wh=2.0), run("rag", flags=busy(72))])
    assert one.notes()[0].startswith("WARNING: rag (72 %): other programs")
    assert "contended: no (1: lora); yes (2: rag)" in one.notes()[1]
    assert not any("contended" in note for note in compare([run("a"), run("b")]).notes())


def test_net_energy_over_a_busy_baseline_is_a_dash_and_below_zero_gets_no_star() -> None:
    def at(percent: float) -> Baseline:
        return Baseline(power_w={"cpu": 5.0}, duration_s=10.0, cpu_percent=percent)

    some = compare([run("a", net=0.2, baseline=at(37.4)), run("b", net=0.5, baseline=at(2.0))])
    assert cells(some, "Cost", "net Wh\n1,000") == {"a": "–", "b": f"{STAR}0.500"}
    assert plain_rows(some)[0]["answer_net_wh_per_1000"] is None
    assert noted(some, "busy machine").startswith("No net Wh of a (37 %): ")
    every = compare([run("a", net=0.2, baseline=at(37.4))])
    assert cells(every, "Cost", "net Wh\n1,000") == {"a": "–"}
    noise = compare([run("a", net=-0.2), run("b", net=0.5)])
    assert cells(noise, "Cost", "net Wh\n1,000") == {"a": "-0.200", "b": "0.500"}


def test_a_grid_that_gave_no_figure_is_said() -> None:
    stands_in = Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", fallback=FALLBACK)
    mixed = compare([run("a", carbon=stands_in), run("b")])
    assert noted(mixed, FALLBACK) == (
        f"gCO₂e of a: the grid asked for gave no figure ({FALLBACK}), so the yearly average of FRA "
        "stands in."
    )
    assert not any("different places" in note for note in mixed.notes())
    refused = compare(
        [run("a", carbon=None, footprint=Footprint(notes=(FALLBACK, "no scopes: set it")))]
    )
    assert noted(refused, "gCO₂e") == (
        f"gCO₂e is not known: the grid asked for gave no figure ({FALLBACK}): a."
    )


def test_allowed_rows_of_other_questions_are_ranked_by_the_mean_and_marked() -> None:
    other = {"name": "harbour", "items": "4567", "split": "test", "questions": 20}
    records = [
        run("zero", values=(0.0,) * N),
        run("half"),
        run("same", task=other, scores={}),
        run("low", values=(0.0, 0.0, 1.0) * (N // 3), task=other),
    ]
    comparison = compare(records, allow=True)
    quality = comparison.tables()[0]
    assert quality.title == "NOT COMPARABLE (different questions): Quality, mean with 95 % interval"
    assert REFERENCE not in [row[0] for row in quality.rows]
    assert quality.headers == ("run", "token F1")
    shown = cells(comparison, "NOT COMPARABLE (different questions): Quality", "token F1")
    assert [name for name, cell in shown.items() if cell.startswith(STAR)] == ["half", "same"]
    assert noted(comparison, "by the mean alone")
    assert {row["not_comparable"] for row in plain_rows(comparison)} == {"questions"}
    assert {row["not_comparable"] for row in plain_rows(compare(records))} == {""}


def test_costs_ranked_by_allow_are_marked_in_the_files() -> None:
    gpu = {"hardware": {"cpu": "Xeon", "gpus": ["H100"]}}
    rows = plain_rows(compare([run("a"), run("b", environment=gpu)], allow=True))
    assert [row["not_comparable"] for row in rows] == ["hardware", "hardware"]
    assert [row["hardware"] for row in rows] == [None, "Xeon, H100"]


def test_correct_answers_are_counted_by_outcome_where_contained_is_no_metric() -> None:
    counted = run("a", outcomes={"correct": 15, "refused_rightly": 45})
    none = run("b", outcomes={"wrong": N})
    comparison = compare([counted, none, run("c")])
    shown = [row["joules_per_correct"] for row in plain_rows(comparison)]
    assert shown == [pytest.approx(3.6 * N / 15), None, None]
    assert "a refusal never is" in noted(comparison, "J per correct")
    measured = run("d", metric="contained", outcomes={"correct": 15})
    assert plain_rows(compare([measured]))[0]["joules_per_correct"] == pytest.approx(7.2)
    assert "the refusal is the gold" in noted(compare([measured]), "J per correct")


def test_footprints_are_a_table_where_a_boundary_is_declared() -> None:
    footprint = Footprint(
        operational_g=0.25, embodied_g=0.5, sci_g=0.01, boundary="leased", scope2_location_g=0.25,
        scope3_g=0.5, notes=("leased: scope 2 by operational control",),
    )  # fmt: skip
    records = [run("a", footprint=footprint), run("b", footprint=Footprint(operational_g=0.125))]
    table = compare(records).tables()[-1]
    assert table.title == "Footprint of what each run spent"
    assert table.rows == (
        ("a", "leased", "0.2500", "0.5000", "0.2500", "–", "0.5000"),
        ("b", "–", "0.1250", "–", "–", "–", "–"),
    )
    notes = compare(records).notes()
    assert notes.count("Footprint: leased: scope 2 by operational control.") == 1
    assert any(note.startswith("SCI: grams of CO₂e for one answered question") for note in notes)
    row, bare = plain_rows(compare(records))
    assert (row["boundary"], row["scope2_location_g"], row["scope3_g"]) == ("leased", 0.25, 0.5)
    assert bare["boundary"] is None
    assert "scope2_market_g" not in row  # no record has it
    assert all("Footprint" not in t.title for t in compare(records[1:]).tables())


def test_titles_and_notes_are_of_one_line() -> None:
    half = {"fact": {"rouge_l": Score(value=0.5, low=0.4, high=0.6, n=N)}}
    values = (1.0, 0.0, 0.5) * (N // 3)
    comparison = compare(
        [
            run("a", metric="rouge_l", quality_by=half),
            run("b", metric="rouge_l", values=values, quality_by=half),
        ]
    )
    assert [t.title for t in comparison.tables()][-1] == "rouge l by kind of question"
    assert noted(comparison, "Tied with").startswith("Tied with a in rouge l:")
    assert not any("\n" in text for text in comparison.notes())


def test_an_end_that_is_not_zero_does_not_read_as_zero() -> None:
    lower = tuple(v - 0.002 if v else v for v in HALF)
    shown = cells(compare([run("a"), run("b", values=lower)]), "Quality", "token F1\nvs best")["b"]
    assert shown.startswith("worse −0.001 [−0.001, −0.001]")


def test_the_same_record_counts_once_and_another_of_its_key_for_itself() -> None:
    first = run("a", created_at="2025-01-01")
    again = run("a", created_at="2025-01-02")
    assert len(compare([first, run("b"), first]).records) == 2
    assert len(compare([first, again]).rows) == 2


def test_sentences_name_what_they_are_about() -> None:
    two: dict[str, Any] = {
        "quality": {m: bootstrap_mean(HALF) for m in ("token_f1", "exact_match")},
        "scores": {"token_f1": HALF, "exact_match": HALF},
        "work": {"answer": Work(tokens_in=N, tokens_out=N, flops=1e9, flops_method="counted")},
        "money": Money(currency="EUR", answers_1000=0.5, source="given by the user"),
    }
    comparison = compare([run("a", **two), run("b", **two)])
    assert "the other metrics' differences are in CSV and JSON" in noted(comparison, "vs best:")
    assert noted(comparison, "tokens in").endswith("are for one answer.")
    assert noted(comparison, "Money") == (
        "Money is what 1,000 answers cost. Prices: given by the user."
    )
    assert "Shown is the first" not in noted(compare([run("a"), run("b")]), "vs best:")
