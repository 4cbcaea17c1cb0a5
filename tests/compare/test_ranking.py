"""Ranking: what forms a group, what is tied, what seeds are, and what the stars say."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from wattune.compare import Comparison, compare
from wattune.compare.figures import STAR
from wattune.compare.table import plain_rows
from wattune.measure.paired import paired_differences
from wattune.measure.record import (
    Bill,
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

N = 120
HARD = np.random.default_rng(0).normal(size=N)
XEON = {"cpu": "Xeon", "cores_logical": 8, "memory_bytes": 16_000_000_000, "gpus": []}
WITH_GPU = {**XEON, "gpus": ["H100"]}
SCORER = {"scorer": "aa11"}


def drawn(skill: float, seed: int = 0) -> tuple[float, ...]:
    """Scores of a run of some skill: questions are as hard for one run as for another."""
    noise = np.random.default_rng(seed).normal(size=N)
    return tuple(np.clip(0.5 + skill + 0.4 * HARD + 0.15 * noise, 0, 1).round(3).tolist())


def run(
    name: str,
    values: tuple[float | None, ...] | None = None,
    *,
    wh: float = 1.0,
    how: Any = "counter",
    hardware: dict[str, Any] = XEON,
    decoding: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A finished record with `wh` watt-hours a thousand answers; `changes` win."""
    values = drawn(0.0) if values is None else values
    seed = changes.get("seed", 0)
    joules = wh * 3.6 * N
    energy = {"cpu": Energy(energy_j=joules, provenance=how)}
    quality = bootstrap_mean([value for value in values if value is not None])
    given = {
        "name": name,
        "key": f"{name}-{seed}",
        "recipe": {"runs": {name: []}, "seed": seed},
        "system": {"adapters": [{"key": f"s{seed}"}], "decoding": decoding or {"temperature": 0.0}},
        "task": {"name": "ferry", "items": "0123", "split": "test", "questions": N},
        "fingerprints": SCORER,
        "phases": {"answer": Phase(duration_s=9.0, energy_j=joules, components=energy)},
        "prepare": Bill(energy_j=3600.0, duration_s=60.0),
        "answers": N,
        "quality": {"token_f1": quality},
        "scores": {"token_f1": values},
        "carbon": Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table"),
        "environment": {"hardware": hardware, "machine": {"device": "cpu", "dtype": "float32"}},
    }
    return Record.model_validate({**given, **changes})


def cells(comparison: Comparison, title: str, header: str) -> dict[str, str]:
    """Run -> cell of the one table whose title begins so."""
    (table,) = [t for t in comparison.tables() if t.title.startswith(title)]
    column = table.headers.index(header)
    return {row[0]: row[column] for row in table.rows}


def test_worse_and_tied_are_told_apart_and_what_is_tied_shares_the_star() -> None:
    best, close, far = drawn(0.1, 1), drawn(0.08, 2), drawn(-0.2, 3)
    comparison = compare([run("far", far), run("best", best), run("close", close)])
    given = comparison.verdict(0, "token_f1")
    words = {row.label: v for row, v in zip(comparison.rows, given, strict=True)}
    assert {name: v.word for name, v in words.items() if v} == {
        "far": "worse", "best": "best", "close": "tied"
    }  # fmt: skip
    # Three runs are three pairs, and two of them were tested.
    assert comparison.verdicts.comparisons == 3
    raw = paired_differences([(far, best), (close, best)])
    assert words["far"] is not None
    assert words["far"].p == pytest.approx(3 * raw[0].p)
    assert words["far"].difference == raw[0]
    shown = cells(comparison, "Quality", "token F1")
    assert [name for name, cell in shown.items() if cell.startswith(STAR)] == ["best", "close"]
    against = cells(comparison, "Quality", "token F1\nvs best")
    assert against["best"] == "best"
    assert against["far"].startswith(f"worse −{abs(raw[0].value):.2f} [−0.")
    assert against["close"].startswith("tied ")
    notes = " ".join(comparison.notes())
    assert "all 3 pairs of runs and metrics" in notes
    assert "Tied with best in token F1: a difference of 0.0" in notes
    assert "questions (at 80 % power)." in notes


def test_files_hold_the_verdicts_and_every_record() -> None:
    records = [run("best", drawn(0.1, 1)), run("far", drawn(-0.2, 2))]
    best, far = plain_rows(compare(records))
    assert (best["token_f1_verdict"], far["token_f1_verdict"]) == ("best", "worse")
    assert "token_f1_vs_best" not in best
    assert far["token_f1_vs_best_low"] < far["token_f1_vs_best"] < far["token_f1_vs_best_high"] < 0
    assert 0 < far["token_f1_vs_best_p"] < 0.05
    first, second = csv.DictReader(io.StringIO(compare(records).to_csv()))
    assert first["token_f1_vs_best"] == ""
    assert float(second["token_f1_vs_best"]) == far["token_f1_vs_best"]


def test_without_scores_by_question_nothing_is_claimed() -> None:
    old = [run("a", scores={}), run("b", drawn(0.3), scores={})]
    comparison = compare(old)
    assert comparison.tables()[0].headers == ("run", "token F1")
    assert STAR not in "".join(cells(comparison, "Quality", "token F1").values())
    assert any("Records of older versions hold none" in note for note in comparison.notes())
    # Nor where the figure is not the mean of the scores, as macro-F1 is none.
    other = {"token_f1": Score(value=0.123, low=0.1, high=0.2, n=N)}
    assert compare([run("a", quality=other), run("b", drawn(0.3))]).verdicts.comparisons == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"task": {"name": "ferry", "items": "4567"}},
            "differ in questions: ferry 0123 (A: a); fer",
        ),
        ({"fingerprints": {"scorer": "bb22"}}, "differ in scorer: aa11 (A: a); bb22 (B: b)"),
        ({"fingerprints": {}}, "differ in scorer: aa11 (A: a); not recorded (B: b)"),
    ],
)
def test_other_questions_and_scorers_form_groups(changes: dict[str, Any], sentence: str) -> None:
    records = [run("a", wh=2.0), run("b", drawn(0.3), wh=1.0, **changes)]
    comparison = compare(records)
    assert [[row.label for row in group.rows] for group in comparison.groups] == [["a"], ["b"]]
    assert any(sentence in note for note in comparison.notes())
    assert [table.title.partition(",")[2][:8] for table in comparison.tables()] == [
        " group A", " group A", " group B", " group B"
    ]  # fmt: skip
    assert STAR not in "".join("".join(row) for t in comparison.tables() for row in t.rows)
    assert [(r["group"], r["cost_group"]) for r in plain_rows(comparison)] == [
        ("A", "A1"), ("B", "B1")
    ]  # fmt: skip

    mixed = compare(records, allow=True)
    assert len(mixed.groups) == 1
    assert all(table.title.startswith("NOT COMPARABLE (different") for table in mixed.tables())
    assert mixed.notes()[0].startswith("WARNING: quality is ranked by --allow across different")
    (cost,) = [table for table in mixed.tables() if table.title.endswith("Cost")]
    assert f"{STAR}1.000" in cost.rows[1]
    assert mixed.tables()[0].rows[1][1].startswith(STAR)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hardware": WITH_GPU}, "hardware: Xeon, 8 threads, 16 GB (1: a, b); Xeon, 8 threads, 16"),
        ({"how": "modelled_load"}, "energy provenance: cpu counter (1: a, b); cpu modelled_load"),
        ({"flags": ("contended",)}, "contended: no (1: a, b); yes (2: c)"),
        (
            {"environment": {"hardware": XEON, "machine": {"device": "cuda", "dtype": "bfloat16"}}},
            "device and precision: device cpu, dtype float32 (1: a, b); device cuda, dtype bf",
        ),
    ],
)
def test_cost_is_grouped_apart_while_quality_is_ranked_together(
    changes: dict[str, Any], field: str
) -> None:
    records = [run("a", wh=2.0), run("b", wh=1.5), run("c", drawn(0.3), wh=1.0, **changes)]
    comparison = compare(records)
    assert len(comparison.groups) == 1
    assert [row.label for row in comparison.groups[0].rows] == ["a", "b", "c"]
    assert cells(comparison, "Quality", "token F1\nvs best")["c"] == "best"
    assert cells(comparison, "Cost, group 1", "Wh per\n1,000") == {
        "a": "2.000",
        "b": f"{STAR}1.500",
    }
    assert cells(comparison, "Cost, group 2", "Wh per\n1,000") == {"c": "1.000"}
    assert any(f"Cost is not ranked across groups that differ in {field}" in n
               for n in comparison.notes())  # fmt: skip
    mixed = compare(records, allow=True)
    assert not mixed.tables()[0].title.startswith("NOT COMPARABLE")  # only its costs are mixed
    assert cells(mixed, "NOT COMPARABLE", "Wh per\n1,000")["c"] == f"{STAR}1.000"


def test_grams_never_rank_and_other_places_are_warned_of() -> None:
    green = Carbon(place="SWE", intensity_g_per_kwh=10.0, source="a table")
    comparison = compare([run("a", wh=1.0), run("b", wh=2.0, carbon=green)])
    assert not any(STAR in cell for cell in cells(comparison, "Cost", "gCO₂e").values())
    assert any(
        note.startswith("WARNING: gCO₂e of different places") and "10 g/kWh (SWE" in note
        for note in comparison.notes()
    )


def test_another_decoding_is_another_system_shown_and_ranked() -> None:
    hot = run("hot", drawn(0.2), decoding={"temperature": 0.7})
    comparison = compare([run("cold"), hot])
    assert cells(comparison, "Quality", "system") == {
        "cold": "temperature 0.0", "hot": "temperature 0.7"
    }  # fmt: skip
    assert cells(comparison, "Quality", "token F1\nvs best")["hot"] == "best"
    assert "system" not in compare([run("cold"), run("other")]).tables()[0].headers
    labels = {"temperature": 0.0, "choices": [f"label {n}" for n in range(20)]}
    chosen = compare([run("cold"), run("chosen", decoding=labels)])
    assert cells(chosen, "Quality", "system")["chosen"] == "20 choices"
    classical = run("classical").model_copy(update={"system": {"kind": "classical"}})
    assert "system" not in compare([run("cold"), classical]).tables()[0].headers


def test_seeds_are_one_row_with_their_spread_apart() -> None:
    seeds = [run("lora", drawn(0.1 * s, s), seed=s, wh=1.0 + s) for s in range(3)]
    comparison = compare([*seeds, run("zero", drawn(-0.3, 9))])
    assert [row.label for row in comparison.rows] == ["lora (3 seeds)", "zero"]
    lora = comparison.rows[0]
    means = [record.quality["token_f1"].value for record in seeds]
    score, spread = lora.score("token_f1"), lora.spread("token_f1")
    assert score is not None
    assert score.value == pytest.approx(np.mean(means))
    by_question = np.mean(np.array([record.scores["token_f1"] for record in seeds], float), axis=0)
    assert score == bootstrap_mean(by_question.tolist())
    assert spread is not None
    assert spread.n == 3
    assert spread.sd == pytest.approx(np.std(means, ddof=1))
    assert cells(comparison, "Between seeds", "token F1") == {
        "lora (3 seeds)": f"{spread.sd:.3f} ({min(means):.2f}–{max(means):.2f})"
    }
    assert cells(comparison, "Cost", "Wh per\n1,000")["lora (3 seeds)"] == "2.000"
    assert [row["seed"] for row in plain_rows(comparison)] == [0, 1, 2, 0]
    assert len({row["answer_wh_per_1000"] for row in plain_rows(comparison)[:3]}) == 3


def test_one_seed_makes_no_claim_of_others() -> None:
    comparison = compare([run("a"), run("b", drawn(0.2))])
    assert not any(table.title.startswith("Between seeds") for table in comparison.tables())
    assert any("nothing is said of other seeds" in note for note in comparison.notes())


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"runs": {"a": [{"lora": {"r": 8}}]}}},
        {"recipe": {}},
        {"scores": {}},
        {"seed": 0},
    ],
)
def test_what_is_no_repetition_stays_a_row_of_its_own(changes: dict[str, Any]) -> None:
    other = run("a", **{"seed": 1, **changes}, key="another")
    assert [row.label for row in compare([run("a"), other]).rows] == ["a#a-0", "a#anothe"]


def test_new_costs_are_columns_where_a_record_holds_them() -> None:
    work = {
        "answer": Work(tokens_in=240 * N, tokens_out=6 * N, flops=5e9 * N, flops_method="counted")
    }
    full = run(
        "a",
        phases={"answer": Phase(duration_s=9.0, energy_j=36.0 * N, net_energy_j=18.0 * N)},
        work=work,
        money=Money(currency="EUR", answers_1000=0.25, source="a price list"),
        footprint=Footprint(sci_g=0.002),
    )
    plain = run("b")
    row, bare = plain_rows(compare([full, plain]))
    assert row["answer_net_wh_per_1000"] == pytest.approx(5.0)
    assert row["gflop_per_answer"] == pytest.approx(5.0)
    assert (row["tokens_in_per_answer"], row["tokens_out_per_answer"]) == (240, 6)
    assert (row["money_per_1000_answers"], row["currency"]) == (0.25, "EUR")
    assert row["sci_g_per_answer"] == 0.002
    assert bare["gflop_per_answer"] is None
    assert (
        not {"gflop_per_answer", "currency", "sci_g_per_answer"}
        & plain_rows(compare([plain]))[0].keys()
    )


def test_the_terminal_stays_within_its_width() -> None:
    from wattune.compare.render import fitting

    seeds = [run("lora", drawn(0.1 * s, s), seed=s) for s in range(3)]
    for table in compare([*seeds, run("zero", drawn(-0.3, 9))]).tables():
        for part in fitting(table, 100):
            widths = [
                max(len(line) for cell in column for line in cell.split("\n")) + 3
                for column in zip(part.headers, *part.rows, strict=True)
            ]
            assert sum(widths) <= 100


def test_what_the_task_did_not_ask_for_informs_and_does_not_rank() -> None:
    def with_retrieval(name: str, at: int, recall: float) -> Record:
        record = run(name, drawn(0.1, at))
        more = {f"recall@{at}": Score(value=recall, low=0.0, high=1.0, n=60)}
        return record.model_copy(
            update={
                "quality": {**record.quality, **more},
                "task": {**record.task, "metrics": ["token_f1"]},
            }
        )

    comparison = compare([with_retrieval("few", 1, 0.5), with_retrieval("many", 4, 0.75)])
    assert comparison.judged == ["token_f1"]
    assert cells(comparison, "Refusals and retrieval", "recall") == {
        "few": "0.50 at 1", "many": "0.75 at 4"
    }  # fmt: skip
    quality = next(table for table in comparison.tables() if table.title.startswith("Quality"))
    assert not any("recall" in header for header in quality.headers)


def test_scores_kept_to_six_decimals_are_still_the_figures_own() -> None:
    thirds = (1 / 3, 2 / 3, 0.0) * 40
    record = run("thirds", thirds)
    kept = {"token_f1": tuple(round(score, 6) for score in thirds)}
    rounded = record.model_copy(update={"scores": kept})
    (word, _) = compare([rounded, run("other", drawn(-0.2, 5))]).verdict(0, "token_f1")
    assert word is not None
