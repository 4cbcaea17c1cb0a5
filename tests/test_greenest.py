"""When and where: the choice between starts and places, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import ConstraintNotMet, InputError
from wattune.greenest import Expected, expected, greenest, measured, places_of
from wattune.measure.grid import Grid
from wattune.measure.record import Bill, Record, StageRecord
from wattune.recipe import Recipe, parse_recipe

NOW = datetime(2026, 3, 1, 12, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
Grids = Callable[..., Grid]


@pytest.fixture
def grid(tmp_path: Path) -> Grids:
    """A csv grid of hourly figures from noon on."""

    def make(*figures: float, name: str = "hours", kind: str = "average") -> Grid:
        noon = NOW.replace(minute=0)
        rows = [f"{(noon + n * HOUR).isoformat()},{g},{kind}" for n, g in enumerate(figures)]
        path = tmp_path / f"{name}.csv"
        path.write_text("start,g_per_kwh,kind\n" + "\n".join(rows) + "\n", encoding="utf-8")
        return Grid(provider="csv", file=str(path))

    return make


def test_the_saving_in_grams_and_percent(grid: Grids) -> None:
    work = Expected(3600, 7.2e6, "as given")  # an hour, 2 kWh
    found = greenest({"FRA": grid(100, 80, 20, 60)}, work, NOW, NOW + 24 * HOUR, 1.5)
    assert found.best.start == NOW.replace(hour=14, minute=0)
    assert found.now is not None
    assert found.now.g_per_kwh == pytest.approx(0.75 * 100 + 0.25 * 80)
    assert found.saved_percent == pytest.approx(100 * (1 - 20 / 95))
    assert found.saved_g == pytest.approx(2 * 1.5 * (95 - 20))
    plain = found.plain()
    assert (plain["place"], plain["start"]) == ("FRA", "2026-03-01T14:00:00+00:00")
    assert plain["emissions_g"] == pytest.approx(60)
    assert plain["saved_g"] == found.saved_g


def test_without_an_energy_there_are_no_grams_but_a_start(grid: Grids) -> None:
    found = greenest({"FRA": grid(100, 20)}, Expected(600, None, ""), NOW, NOW + HOUR)
    assert found.best.start == NOW.replace(hour=13, minute=0)
    assert found.saved_g is None
    assert found.saved_percent == pytest.approx(80)


def test_between_places_the_least_wins_and_one_without_a_forecast_says_why(grid: Grids) -> None:
    places = {
        "FRA": grid(100, 80, name="fra"),
        "GBR": grid(300, 30, 30, name="gbr"),
        "DEU": grid(400, name="deu").model_copy(update={"file": str(Path("nowhere.csv"))}),
    }
    with pytest.raises(InputError, match=r"DEU: .*nowhere\.csv"):
        greenest(places, Expected(1800, 3.6e6, ""), NOW, NOW + 5 * HOUR)
    places["DEU"] = grid(1, name="deu").model_copy(update={"provider": "uk", "file": None,
        "url": "http://127.0.0.1:9"})  # fmt: skip
    found = greenest(places, Expected(1800, 3.6e6, ""), NOW, NOW + 5 * HOUR)
    assert found.chosen.place == "GBR"
    assert found.best.start == NOW.replace(hour=13, minute=0)
    assert found.saved_g == pytest.approx(100 - 30)  # against now in France, which is here
    silent = found.outlooks[2]
    assert silent.best is None
    assert silent.reason.startswith("uk: the connection failed")


def test_what_cannot_be_chosen_is_a_sentence(grid: Grids) -> None:
    day = Expected(86_400, None, "")
    with pytest.raises(ConstraintNotMet, match=r"whole run of 1440 min \(FRA: hours.csv does not"):
        greenest({"FRA": grid(1, 2)}, day, NOW, NOW + HOUR)
    with pytest.raises(ConstraintNotMet, match="no forecast between"):
        greenest({"FRA": grid(1, 2)}, day, NOW + 48 * HOUR, NOW + 49 * HOUR)
    with pytest.raises(InputError, match="GBR: the static table holds one figure a year"):
        greenest({"FRA": grid(1, 2), "GBR": Grid()}, day, NOW, NOW + HOUR)
    kinds = {"FRA": grid(1, 2, name="a"), "GBR": grid(1, 2, name="b", kind="marginal")}
    with pytest.raises(InputError, match="average and marginal intensities do not compare"):
        greenest(kinds, Expected(60, None, ""), NOW, NOW + HOUR)


def recipe(**keys: Any) -> Recipe:
    content = {"task": "harbour", "model": "smollm2-135m", "place": "FRA"}
    return parse_recipe({**content, "runs": {"plain": [], "tuned": ["lora"]}, **keys}, name="two")


def test_the_places_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "deu.csv").write_text("start,g_per_kwh\n", encoding="utf-8")
    file = tmp_path / "grids.yaml"
    file.write_text("GBR: {provider: uk}\nDEU: {provider: csv, file: deu.csv}\n"
                    "FRA: {provider: csv, file: elsewhere.csv}\n", encoding="utf-8")  # fmt: skip
    settings = recipe().settings
    places = places_of(settings, file)
    assert list(places) == ["FRA", "GBR", "DEU"]  # the recipe's own first
    assert places["DEU"].file == str(tmp_path / "deu.csv")
    assert places["FRA"].file == "elsewhere.csv"
    assert list(places_of(settings, file, ["GBR", "DEU", "GBR"])) == ["GBR", "DEU"]
    assert places_of(settings) == {"FRA": settings.grid}
    with pytest.raises(InputError, match="--places needs --grid"):
        places_of(settings, None, ["FRA", "GBR"])
    with pytest.raises(InputError, match=r'place "GBX" is not in .*; did you mean "GBR"'):
        places_of(settings, file, ["GBX"])
    file.write_text("GBR: {provider: uk, zone: '99'}\nFRA: 56\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"grids.yaml:1: .*\n.*grids.yaml:2: .*takes a mapping"):
        places_of(settings, file)


def stage(key: str, seconds: float, *, reused: bool) -> StageRecord:
    bill = Bill(energy_j=10 * seconds, duration_s=seconds)
    return StageRecord(strategy="lora", key=key, reused=reused, spent=Bill(), attributed=bill)


def record(of: Recipe, name: str, wall_s: float, **keys: Any) -> Record:
    base = {
        "name": name,
        "key": f"{name}{wall_s}",
        "created_at": f"2026-01-01T00:00:{wall_s:02.0f}+00:00",
        "recipe": of.of_run(name, 0),
        "spent": Bill(energy_j=100 * wall_s, duration_s=wall_s - 1),
        "environment": {"wall_s": wall_s},
    }
    return Record.model_validate({**base, **keys})


def test_what_a_recipe_takes_is_what_its_last_records_took(tmp_path: Path) -> None:
    two = recipe()
    old, new = record(two, "plain", 10), record(two, "plain", 20)
    tuned = record(
        two, "tuned", 30,
        stages=(stage("made", 7, reused=False), stage("found", 5, reused=True)),
    )  # fmt: skip
    again = record(two, "tuned", 40, status="failed")
    found = measured(two, [tuned, new, old, again])
    assert found is not None
    assert found.duration_s == 20 + 30 + 5  # a stage that was found is made afresh, once
    assert found.energy_j == pytest.approx(100 * 20 + 100 * 30 + 50)
    assert measured(two, [tuned]) is None
    assert measured(recipe(limit={"questions": 5}), [tuned, new]) is None
    blind = new.model_copy(update={"spent": Bill(energy_j=None, duration_s=20)})
    unknown = measured(two, [tuned, blind])
    assert unknown is not None
    assert unknown.energy_j is None
    with pytest.raises(InputError, match="give --duration 40min"):
        expected(two, tmp_path / "none")
    given = expected(two, tmp_path, 60, 5)
    assert (given.duration_s, given.energy_j, given.source) == (60, 5, "as given")
    planned = expected(two, tmp_path / "none", plan=lambda asked: (90.0, len(asked.runs)))
    assert planned == Expected(90.0, 2, "as planned")
    mixed = expected(two, tmp_path / "none", 60, plan=lambda asked: (90.0, 7.0))
    assert mixed == Expected(60, 7.0, "time as given; energy as planned")
    assert expected(two, tmp_path / "none", 60).energy_j is None
