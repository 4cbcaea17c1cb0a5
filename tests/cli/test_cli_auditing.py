"""The command line on packing, and on what was saved since a baseline."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from wattune.cli.auditing import pack, shown_savings, unpack
from wattune.cli.comparing import Format
from wattune.errors import InputError
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record
from wattune.measure.store import write_record


def run(day: int, joules: float) -> Record:
    when = f"2026-11-{day:02}T00:00:00+00:00"
    cpu = {"cpu": Energy(energy_j=joules, provenance="counter")}
    return Record(
        name="rag",
        key=f"{day:016}",
        created_at=when,
        ended_at=when,
        answers=10,
        prepare=Bill(energy_j=0.0),
        phases={"answer": Phase(duration_s=1.0, energy_j=joules, components=cpu)},
        carbon=Carbon(place="FRA", intensity_g_per_kwh=36.0, source="a table"),
        task={"name": "ferry", "items": "0123"},
    )


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The two verbs, in a folder of the test's own."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command("pack")(pack)
    app.command("unpack")(unpack)
    monkeypatch.chdir(tmp_path)
    return lambda *said: CliRunner().invoke(app, list(map(str, said)))


def test_a_recipe_goes_and_records_come_back(tmp_path: Path, verbs: Callable[..., Any]) -> None:
    said = verbs("pack", "rag", "rag.k=4", "-o", "there.zip")
    assert said.exit_code == 0, said.output
    assert "packed there.zip: recipe of rag" in said.output
    assert "left out, for it is of this machine: place" in said.output
    assert "named, not packed: smollm2-135m" in said.output
    said = verbs("unpack", "there.zip", "there")
    assert "next: wattune compare there/recipe.yaml place=..." in said.output
    assert "k: 4" in (tmp_path / "there" / "recipe.yaml").read_text(encoding="utf-8")

    write_record(tmp_path / "away", run(1, 600.0), [])
    assert verbs("pack", "away", "-o", "back.zip").exit_code == 0
    said = verbs("unpack", "back.zip", "runs/away")
    assert "1 record(s) measured at FRA on unknown hardware, 2026-11-01 to" in said.output
    assert isinstance(verbs("unpack", "back.zip", "runs/away").exception, InputError)


def test_savings_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [run(1, 600.0), run(11, 300.0)]
    shown_savings(records, "2026-11-05", 100.0, Format.table, None, False)
    printed = capsys.readouterr().out
    assert "Since 2026-11-05: 1,000 answers then and now" in printed
    assert "Saved in all, at 100 answers a day" in printed
    shown_savings(records, "2026-11-05", None, Format.json, None, False)
    (plain,) = json.loads(capsys.readouterr().out)
    assert plain["joules_saved"] == pytest.approx(30)
    shown_savings(records, "2026-11-05", None, Format.csv, tmp_path / "it.csv", False)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "it.csv").read_text(encoding="utf-8")))
    assert float(row["joules_saved"]) == plain["joules_saved"]
    shown_savings(records, "2026-11-05", None, Format.table, tmp_path / "it.md", False)
    assert "| rag | 2026-11-01 | 2026-11-11 |" in (tmp_path / "it.md").read_text(encoding="utf-8")
