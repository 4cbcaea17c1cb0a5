"""The command line on what was measured before: the ledger, exports, what does not compare."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import wattune as wt

Wattune = Callable[..., Any]


def test_the_ledger_counts_runs_questions_and_what_failed(wattune: Wattune, recipe: Path) -> None:
    assert wattune("compare", recipe, "baseline_s=0.2", "--no-progress").code == 0
    runs = "runs={many: [{prompt: {shots: 60}}]}"
    assert wattune("run", recipe, runs, "--no-progress").code == 2
    assert wattune("ask", "runs/duo", "Who sails after ten?").code == 0
    ran = wattune("ledger", "runs", "--format", "json")
    rows = {(row["activity"], row["status"]): row for row in json.loads(ran.out)}
    assert {key: row["count"] for key, row in rows.items()} == {
        ("idle", "done"): 1, ("run", "done"): 2, ("run", "skipped"): 1, ("ask", "done"): 1,
        ("all", ""): 5,
    }  # fmt: skip
    every = json.loads(wattune("ledger", "runs", "--entries", "--format", "json").out)
    spent = sum(entry["bill"]["energy_j"] for entry in every)
    assert rows["all", ""]["bill"]["energy_j"] == pytest.approx(spent)
    assert rows["all", ""]["emissions_g"] is None  # `ask` was given no place
    few = next(entry for entry in every if entry["name"] == "few-shot")
    assert {"prepare", "answer", "realtime", "scoring"} <= set(few["parts"])
    shown = wattune("ledger", "runs")
    assert "skipped" in shown.out
    assert "scoring" in shown.out
    assert "zero-shot" in wattune("ledger", "runs", "--entries").out


def test_a_ledger_of_nothing_is_a_sentence(wattune: Wattune, tmp_path: Path) -> None:
    assert "is no folder" in wattune("ledger", "nowhere").err
    (tmp_path / "empty").mkdir()
    ran = wattune("ledger", "empty")
    assert ran.code == 2
    assert "nothing was metered there" in ran.err


def test_records_go_to_other_tools(wattune: Wattune, recipe: Path, tmp_path: Path) -> None:
    import pandas  # type: ignore[import-untyped]

    assert wattune("compare", recipe, "--no-progress").code == 0
    for name in ("all.csv", "all.parquet", "all.json"):
        assert wattune("export", "runs", "-o", name).code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text(encoding="utf-8"))))
    frame = pandas.read_parquet(tmp_path / "all.parquet")
    assert sorted(row["name"] for row in rows) == sorted(frame["name"]) == ["few-shot", "zero-shot"]
    content = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [wt.Record.model_validate(row) for row in content] == wt.load_records(tmp_path / "runs")
    (few,) = (tmp_path / "runs" / "duo").glob("few-shot-*.json")
    assert wattune("export", few, "-o", "card.md").code == 0
    front = (tmp_path / "card.md").read_text(encoding="utf-8").split("---")[1]
    card = yaml.safe_load(front)["co2_eq_emissions"]
    assert card["geographical_location"] == "FRA"
    assert card["emissions"] > 0
    for wrong in (("runs", "-o", "card.md"), ("runs", "-o", "all.xml"), ("nowhere", "-o", "x.csv")):
        ran = wattune("export", *wrong)
        assert ran.code == 2
        assert ran.err.startswith("error: ")


def test_other_questions_form_a_group_of_their_own_unless_allowed(
    wattune: Wattune, recipe: Path
) -> None:
    assert wattune("compare", recipe, "--no-progress").code == 0
    fewer = ("limit.questions=5", "name=fewer", "--no-progress")
    assert wattune("compare", recipe, *fewer).code == 0
    apart = wattune("compare", "runs/duo", "runs/fewer")
    assert apart.code == 0
    assert "group" in apart.out
    assert "NOT COMPARABLE" not in apart.out
    assert "NOT COMPARABLE" in wattune("compare", "runs/duo", "runs/fewer", "--allow").out


def test_several_seeds_are_one_row_where_chance_decides(
    wattune: Wattune, recipe: Path, tmp_path: Path
) -> None:
    ran = wattune("compare", recipe, "seeds=[0,1,2]", "--no-progress")
    assert ran.code == 0, ran.err
    assert "few-shot (3 seeds)" in ran.out
    assert "Between seeds" in ran.out
    records = wt.load_records(tmp_path / "runs")
    assert sorted((record.name, record.seed) for record in records) == [
        ("few-shot", 0), ("few-shot", 1), ("few-shot", 2), ("zero-shot", 0),
    ]  # fmt: skip
    for wrong in ("seeds=[0,0]", "seeds=[yes]"):
        assert wattune("compare", recipe, wrong).code == 2


def test_what_is_declared_changes_grams_and_measures_nothing_again(
    wattune: Wattune, recipe: Path, tmp_path: Path
) -> None:
    assert wattune("compare", recipe, "--no-progress").code == 0
    before = [path.read_bytes() for path in sorted((tmp_path / "runs").rglob("*.json"))]
    declared = ("place=USA-CA", "accounting={pue: 1.3, boundary: owned}")
    ran = wattune("compare", recipe, *declared)
    assert "2 of 2 runs were finished before" in " ".join(ran.err.split())
    assert "PUE 1.3" in ran.out
    assert "179" in ran.out
    assert [path.read_bytes() for path in sorted((tmp_path / "runs").rglob("*.json"))] == before


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("grid=csv", '"grid" takes a mapping of its keys, not'),
        ("seeds=3", '"seeds" takes a list, not 3'),
        ("grid={provider: uk, zone: 9}", "in quotes, where it is a number"),
        (
            "accounting={prices: {currency: EUR, electricty_per_kwh: 1}}",
            'unknown key "accounting.prices.electricty_per_kwh"',
        ),
        ("place=Paris", "`intensity_g_per_kwh`"),
        ("place=Germny", 'did you mean "DEU"?'),
    ],
)
def test_a_wrong_key_of_measuring_is_a_sentence_and_leaves_no_folder(
    wattune: Wattune, recipe: Path, tmp_path: Path, override: str, sentence: str
) -> None:
    ran = wattune("compare", recipe, override)
    assert ran.code == 2
    assert sentence in ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    assert not (tmp_path / "runs").exists()


def test_a_pasted_token_is_not_shown(wattune: Wattune, recipe: Path) -> None:
    grid = "{provider: electricity_maps, zone: FR, token_env: abcd1234efgh5678}"
    ran = wattune("compare", recipe, f"grid={grid}")
    assert ran.code == 2
    assert "name of an environment variable" in ran.err
    assert "abcd1234" not in ran.err


def test_a_damaged_record_does_not_hide_what_was_spent(
    wattune: Wattune, recipe: Path, tmp_path: Path
) -> None:
    assert wattune("compare", recipe, "--no-progress").code == 0
    (few,) = (tmp_path / "runs" / "duo").glob("few-shot-*.json")
    few.write_text("{")
    ran = wattune("ledger", "runs")
    assert ran.code == 0
    assert "few-shot" in ran.err
    assert "the rest" in ran.out
