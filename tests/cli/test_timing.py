"""The verbs about time: `when` over a forecast, `forecast` over records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner, Result

from wattune.cli.timing import forecast, when
from wattune.errors import InputError
from wattune.measure.predicted import Expected as ExpectedRange
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, Score
from wattune.measure.store import load_records, write_record

Verb = Callable[..., Result]


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verb:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    app = typer.Typer()
    app.command("when")(when)
    app.command("forecast")(forecast)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def grids(tmp_path: Path) -> Path:
    """The coming hours of two places: 200 g/kWh, and from the third hour on 50 and 20."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name, later in (("fra", 50), ("gbr", 20)):
        rows = [f"{(hour + timedelta(hours=n)).isoformat()},{200 if n < 3 else later}"
                for n in range(12)]  # fmt: skip
        text = "start,g_per_kwh\n" + "\n".join(rows) + "\n"
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    path = tmp_path / "grids.yaml"
    path.write_text(
        "FRA: {provider: csv, file: fra.csv}\nGBR: {provider: csv, file: gbr.csv}\n",
        encoding="utf-8",
    )
    return path


WORK = ("--duration", "30min", "--energy-wh", "500", "--within", "6h")


def test_when_says_what_to_do_and_what_it_saves(verb: Verb, recipe: Path, grids: Path) -> None:
    ran = verb("when", recipe, f"grid={{provider: csv, file: {grids.parent / 'fra.csv'}}}", *WORK)
    assert ran.exit_code == 0
    assert "saves 75 g, 75 % against now." in ran.stdout
    assert "★FRA" in ran.stdout
    assert "Expected: 30 min and 500 Wh, as given" in ran.stdout
    assert "FRA: by fra.csv." in ran.stdout


def test_when_between_places_as_json(verb: Verb, recipe: Path, grids: Path) -> None:
    asked = ("when", recipe, "--grid", grids, *WORK, "--format", "json")
    found = json.loads(verb(*asked).stdout)
    assert found["place"] == "GBR"
    assert found["saved_g"] == pytest.approx(0.5 * (200 - 20))
    assert [each["place"] for each in found["places"]] == ["FRA", "GBR"]
    assert found["places"][0]["best"]["g_per_kwh"] == 50
    only = json.loads(verb(*asked, "--places", "FRA").stdout)
    assert (only["place"], len(only["places"])) == ("FRA", 1)
    now = verb(*asked[:-2], "--within", "1h", "--places", "FRA").stdout
    assert now.startswith("Start now: no later start emits less.")
    now = verb(*asked[:-2], "--within", "1h").stdout
    assert now.startswith("Start now in FRA: no later start and no other place emits less.")
    shown = verb(*asked[:-2]).stdout
    assert "in GBR: saves 90 g, 90 % against now in FRA." in shown


def test_when_claims_nothing_of_hours_and_places_it_does_not_know(
    verb: Verb, recipe: Path, tmp_path: Path
) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for name, start in (("rising", hour), ("past", hour - timedelta(days=3))):
        rows = [f"{(start + timedelta(hours=n)).isoformat()},{50 + n}" for n in range(12)]
        text = "start,g_per_kwh\n" + "\n".join(rows) + "\n"
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    (tmp_path / "grids.yaml").write_text(
        "FRA: {provider: csv, file: rising.csv}\nDEU: {provider: csv, file: past.csv}\n",
        encoding="utf-8",
    )
    asked = ("when", recipe, "--grid", tmp_path / "grids.yaml", *WORK[:4], "--within", "2d")
    short = verb(*asked).stdout
    assert "where the forecast ends, and no other place that has a forecast emits less" in short


def plans(monkeypatch: pytest.MonkeyPatch, seconds: float | None, joules: float | None) -> None:
    """Let plans say so much of any recipe."""
    took = [None if each is None else ExpectedRange.exactly(each) for each in (seconds, joules)]
    made = SimpleNamespace(duration_s=took[0], energy_j=took[1])
    monkeypatch.setattr("wattune.cli.planning.planned", lambda *arguments: made)


def test_when_nothing_ran_yet_a_plan_says_how_long_it_takes(
    verb: Verb, recipe: Path, grids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, 1800.0, 3.6e5)
    grid = f"grid={{provider: csv, file: {grids.parent / 'fra.csv'}}}"
    ran = verb("when", recipe, grid, "--within", "6h")
    assert "Expected: 30 min and 100 Wh, as planned" in ran.stdout


def test_when_without_what_it_needs_is_a_sentence(
    verb: Verb, recipe: Path, grids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, None, 5.0)  # of an endpoint nobody knows how long it takes
    for arguments, sentence in [
        ((), "how long duo takes is not known"),
        (("--duration", "30min"), "FRA: the static table holds one figure a year"),
        ((*WORK, "--within", "soon"), "no span of time"),
        ((*WORK, "--grid", grids, "--places", "FRX"), 'did you mean "FRA"'),
    ]:
        ran = verb("when", recipe, *arguments)
        assert isinstance(ran.exception, InputError)
        assert sentence in str(ran.exception)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, joules in (("lora", 7200.0), ("rag", 36.0)):
        record = Record(
            name=name,
            key=f"{name}-0123456789",
            task={"name": "ferry", "items": "0123", "questions": 20},
            fingerprints={"scorer": "s"},
            prepare=Bill(energy_j=joules, duration_s=100.0),
            phases={
                "answer": Phase(
                    duration_s=5.0,
                    energy_j=360.0,
                    components={"cpu": Energy(energy_j=360.0, provenance="counter")},
                )
            },
            answers=20,
            quality={"token_f1": Score(value=0.5, low=0.5, high=0.5, n=20)},
            recipe={"runs": {name: []}},
            carbon=Carbon(place="FRA", intensity_g_per_kwh=50, source="a test"),
        )
        write_record(tmp_path / "runs" / "duo", record, [])
    return tmp_path / "runs" / "duo"


def test_forecast_prints_and_writes_a_year(verb: Verb, runs: Path, tmp_path: Path) -> None:
    asked = ("forecast", runs, "--answers-per-day", "1000", "--growth", "5%/month")
    shown = verb(*asked)
    assert shown.exit_code == 0
    assert "12 months together" in shown.stdout
    assert "grow by 5 % a month" in shown.stdout
    rows = json.loads(verb(*asked, "--run", "lora", "--months", "3", "--format", "json").stdout)
    assert [row["month"] for row in rows] == [1, 2, 3]
    assert rows[2]["answers"] == pytest.approx(1000 * 365 / 12 * 1.05**2)
    assert verb(*asked, "-o", "year.csv").stdout == "wrote year.csv\n"
    lines = list(csv.DictReader(io.StringIO((tmp_path / "year.csv").read_text(encoding="utf-8"))))
    assert len(lines) == 24
    assert float(lines[0]["training_wh"]) == 2.0
    odd = load_records(runs)[0].model_copy(update={"name": "=1+1", "key": "odd"})
    write_record(runs, odd, [])
    rows = list(csv.DictReader(io.StringIO(verb(*asked, "--format", "csv").stdout)))
    assert "'=1+1" in {row["run"] for row in rows}
    pytest.importorskip("matplotlib")
    assert verb(*asked, "-o", "year.svg").exit_code == 0
    assert "training" in (tmp_path / "year.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("-o", "year.xls"), "the ending says the format"),
        (("--run", "rags"), 'no record of a run "rags"; there are: lora, rag'),
        (("--refresh", "wekly"), 'did you mean "weekly"'),
        (("--cached-share", "2"), "a number from 0 to 1"),
        (("--growth", "5"), "5%/month or 30%/year"),
    ],
)
def test_forecast_says_what_would_be_right(
    verb: Verb, runs: Path, wrong: tuple[str, ...], sentence: str
) -> None:
    ran = verb("forecast", runs, "--answers-per-day", "10", *wrong)
    assert isinstance(ran.exception, InputError)
    assert sentence in str(ran.exception)


def test_forecast_knows_whose_machine_it_may_be(verb: Verb, runs: Path) -> None:
    asked = ("forecast", runs, "--answers-per-day", "10", "--boundary")
    assert verb(*asked, "cloud").exit_code == 0
    wrong = verb(*asked, "mine")
    assert wrong.exit_code == 2
    assert "'owned', 'leased', 'cloud', 'managed'" in wrong.output
