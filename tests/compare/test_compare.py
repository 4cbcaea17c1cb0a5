"""Comparing: the same figures in every format, dashes for the unknown, and no torch."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from typing import Any

import pytest

from wattune.compare import compare
from wattune.compare.baseline import baseline
from wattune.compare.baseline_table import baseline_csv
from wattune.compare.by_model import ByModel
from wattune.compare.render import fitting
from wattune.compare.table import REFERENCE, Table, plain_rows
from wattune.errors import InputError
from wattune.measure.export import to_csv as exported
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, Score, StageRecord

METRICS = ("token_f1", "exact_match", "contained")


def phase(joules: float | None, seconds: float, provenance: Any = "modelled_load") -> Phase:
    energy = {"cpu": Energy(energy_j=joules, provenance=provenance)}
    return Phase(
        duration_s=seconds, energy_j=joules, components=energy, peak_memory_bytes=2_500_000_000
    )


def record(name: str = "lora", **changes: Any) -> Record:
    """A finished record with round figures; `changes` win."""
    bill = Bill(energy_j=7200.0, duration_s=60.0)
    stage = StageRecord(
        strategy="lora", key="s", reused=False, spent=bill, attributed=bill,
        peak_memory_bytes=3_000_000_000, artefact_bytes=12_500_000,
    )  # fmt: skip
    scores = {m: Score(value=0.5, low=0.4, high=0.6, n=20) for m in METRICS}
    half = {m: Score(value=0.5, low=0.4, high=0.6, n=10) for m in METRICS}
    given = {
        "name": name,
        "key": f"key-of-{name}",
        "task": {
            "name": "ferry", "items": "0123456789", "split": "test", "questions": 20,
            "always_refuse": dict.fromkeys(METRICS, 0.25),
        },
        "stages": (stage,),
        "phases": {"load": phase(100.0, 1.0), "answer": phase(360.0, 10.0)},
        "prepare": bill,
        "answers": 20,
        "quality": scores,
        "quality_by": {
            "fact": scores, "fact/covered": half, "fact/new": half,  # two parts of one kind
            "form": scores, "form/long": half, "form/old": scores,  # tags that overlap
        },
        "artefact_bytes": 12_500_000,
        "carbon": Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", year=2023),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def skipped(name: str = "huge", reason: str = "needs 80 GB | has 24") -> Record:
    return record(name, status="skipped", reason=reason, quality={}, quality_by={}, phases={})


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_the_figures_of_the_record_with_their_units() -> None:
    (row,) = rows(compare([record()]).to_csv())
    assert (row["run"], row["status"]) == ("lora", "done")
    assert (row["seed"], row["group"], row["cost_group"]) == ("0", "A", "1")
    assert (row["energy_provenance"], row["place"]) == ("cpu modelled_load", "FRA")
    assert (row["hardware"], row["flags"], row["not_comparable"]) == ("", "", "")
    words = (
        "run", "status", "reason", "seed", "group", "cost_group", "not_comparable",
        "energy_provenance", "place", "hardware", "flags",
    )  # fmt: skip
    figures = {key: float(value) for key, value in row.items() if key not in words}
    # 360 J for 20 answers: 18 J or 0.005 Wh each, 36 J for each of the 10 right ones;
    # (7200 + 100 + 18 * 1000) J at 50 g/kWh.
    assert figures == pytest.approx(
        {
            "token_f1": 0.5, "exact_match": 0.5, "contained": 0.5,
            "token_f1_low": 0.4, "token_f1_high": 0.6, "exact_match_low": 0.4,
            "exact_match_high": 0.6, "contained_low": 0.4, "contained_high": 0.6,
            "prepare_wh": 2.0, "prepare_s": 60.0, "load_j": 100.0,
            "answer_wh_per_1000": 5.0, "joules_per_correct": 36.0,
            "emissions_g_prepare_load_1000_answers": 25_300 / 3.6e6 * 50,
            "peak_memory_prepare_gb": 3.0, "peak_memory_answer_gb": 2.5,
            "artefact_mb": 12.5, "intensity_g_per_kwh": 50.0,
        }
    )  # fmt: skip


def test_json_rows_hold_the_same_figures() -> None:
    comparison = compare([record(), skipped()])
    first, second = plain_rows(comparison)
    by_csv, _ = rows(comparison.to_csv())
    numbers = {key: value for key, value in first.items() if isinstance(value, float)}
    assert len(numbers) == 19  # three metrics with their intervals, nine costs, the grid
    assert numbers == {key: float(by_csv[key]) for key in numbers}
    assert second == {"run": "huge", "status": "skipped", "reason": "needs 80 GB | has 24"}


def test_the_table_shows_quality_cost_and_kinds() -> None:
    quality, cost, kinds = compare([record(), record("rag")]).tables()
    assert quality.title == "Quality, mean with 95 % interval, 20 test questions"
    assert quality.headers == ("run", "token F1", "exact", "contained")
    assert quality.rows[0] == ("lora", *["0.50 [0.40, 0.60]"] * 3)
    assert quality.rows[-1] == (REFERENCE, "0.25", "0.25", "0.25")
    assert cost.rows[0] == (
        "lora", "2.000", "60", "100", "5.000", "36.0", "0.351", "3.00", "2.50", "12.5",
    )  # fmt: skip
    # A kind that its tags divide is shown by them, another as a whole.
    assert kinds.headers == ("run", "covered\n(10)", "new\n(10)", "form\n(20)")
    assert kinds.rows[1] == ("rag", "0.50", "0.50", "0.50")


def test_the_unknown_is_a_dash_or_empty_and_never_0() -> None:
    unknown = record(
        phases={"load": phase(None, 1.0, "failed"), "answer": phase(None, 10.0, "failed")},
        prepare=Bill(energy_j=None, duration_s=60.0),
        carbon=None,
        stages=(),
    )
    comparison = compare([unknown])
    _, cost, _ = comparison.tables()
    assert cost.rows[0] == ("lora", "–", "60", "–", "–", "–", "–", "–", "2.50", "12.5")
    (row,) = rows(comparison.to_csv())
    empty = {key for key, value in row.items() if value == ""}
    assert empty == {
        "reason", "not_comparable", "place", "intensity_g_per_kwh", "hardware", "flags",
        "prepare_wh", "load_j", "answer_wh_per_1000", "joules_per_correct",
        "emissions_g_prepare_load_1000_answers", "peak_memory_prepare_gb",
    }  # fmt: skip
    assert plain_rows(comparison)[0]["load_j"] is None
    notes = " ".join(comparison.notes())
    assert "set `place: FRA`" in notes
    assert "The meter failed for a component" in notes


def test_energy_per_correct_answer_is_unknown_where_none_is_correct() -> None:
    none = {m: Score(value=0.0, low=0.0, high=0.1, n=20) for m in METRICS}
    (row,) = rows(compare([record(quality=none)]).to_csv())
    assert row["joules_per_correct"] == ""
    assert float(row["contained"]) == 0


def test_a_skipped_run_is_a_row_with_its_reason_in_every_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    comparison = compare([record(), skipped()])
    quality, cost, _ = comparison.tables()
    assert quality.rows[1] == ("huge", "skipped: needs 80 GB | has 24")
    assert [row[0] for row in cost.rows] == ["lora"]
    assert rows(comparison.to_csv())[1]["reason"] == "needs 80 GB | has 24"
    assert rows(comparison.to_csv())[1]["token_f1"] == ""
    lines = comparison.to_markdown().splitlines()
    assert "| huge | skipped: needs 80 GB \\| has 24 |  |  |" in lines
    comparison.show()
    assert "huge skipped: needs 80 GB | has 24" in capsys.readouterr().out


def test_markdown_is_a_table_for_each_and_a_list_of_notes() -> None:
    lines = compare([record()]).to_markdown().splitlines()
    assert lines[0].startswith("**Quality")
    assert "| lora | 0.50 [0.40, 0.60] | 0.50 [0.40, 0.60] | 0.50 [0.40, 0.60] |" in lines
    widths = {line.count("|") for line in lines if "2.000" in line or "prepare Wh" in line}
    assert widths == {11}
    assert any(
        line.startswith(
            "- gCO₂e: prepare + load + 1,000 answers at 50 g/kWh (FRA, average, a table, 2023)"
        )
        for line in lines
    )


@pytest.mark.parametrize(
    ("cells", "width", "parts"),
    [
        (("r", "a" * 22, "b" * 22, "c" * 47), 57, [("a", "b"), ("c",)]),  # fits to the character
        (("n" * 120, "1", "2", "3"), 100, [("a",), ("b",), ("c",)]),  # the names alone are wider
        (("many\n" * 9, "1" * 20, "2" * 9, "3" * 9), 40, [("a",), ("b", "c")]),
        (("r", "1" * 90, "2", "3"), 100, [("a",), ("b", "c")]),
    ],
)
def test_a_table_is_cut_where_it_is_wider(
    cells: tuple[str, ...], width: int, parts: list[tuple[str, ...]]
) -> None:
    found = fitting(Table("cost", ("run", "a", "b", "c"), (cells,)), width)
    assert [part.headers[1:] for part in found] == parts


def test_show_prints_names_with_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    compare([record("[bold]a[/bold]")]).show()
    out = capsys.readouterr().out
    assert "[bold]a[/bold]" in out
    assert "0.50 [0.40, 0.60]" in out


@pytest.mark.parametrize(
    ("provenance", "modelled"), [("modelled_load", True), ("counter", False), ("constant", True)]
)
def test_modelled_energy_is_said_to_be_modelled(provenance: str, modelled: bool) -> None:
    found = record(phases={"answer": phase(360.0, 10.0, provenance)})
    notes = compare([found]).notes()
    assert any(f"cpu: {provenance}" in note for note in notes)
    assert any("modelled from rated power" in note for note in notes) is modelled


def test_records_of_one_name_are_told_apart_by_key() -> None:
    quality, *_ = compare([record(key="aaaaaaaa"), record(key="bbbbbbbb"), record("rag")]).tables()
    assert [row[0] for row in quality.rows[:3]] == ["lora#aaaaaa", "lora#bbbbbb", "rag"]


def test_no_records_are_refused_and_unfinished_ones_stand_alone() -> None:
    with pytest.raises(InputError, match="no records to compare"):
        compare([])
    unfinished = skipped().model_copy(update={"task": {"name": "ferry", "items": "abcdefghij"}})
    assert len(compare([record(), unfinished]).groups) == 1
    assert compare([skipped()]).tables()[0].rows == (("huge", "skipped: needs 80 GB | has 24"),)
    assert compare([skipped()]).notes() == []


def test_it_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from wattune.measure.store import load_records\n"
        "from wattune.compare import compare\n"
        "heavy = {'torch', 'transformers', 'faiss', 'codecarbon', 'sentence_transformers'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_name_of_a_record_is_run_by_a_spreadsheet() -> None:
    before, after = (
        record("=1+1", key=f"{day}", created_at=f"2026-01-{day:02}T00:00:00+00:00")
        for day in (1, 20)
    )
    for text in (
        compare([after]).to_csv(),
        ByModel(compare([after]), {}).to_csv(),
        baseline_csv(baseline([before, after], "2026-01-10")),
        exported([after]),
    ):
        found = rows(text)
        assert found
        cells = [cell for row in found for cell in row.values() if "=1+1" in cell]
        assert cells
        assert not [cell for cell in cells if cell.startswith("=")]
