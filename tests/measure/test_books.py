"""Books: carbon, footprint and money entered into a record, and entered anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattune.errors import WattuneError
from wattune.measure.accounts.books import Books
from wattune.measure.accounts.footprint import Accounting
from wattune.measure.grid import Grid
from wattune.measure.meter import Meter
from wattune.measure.record import Bill, Carbon, Phase, Record

KWH = 3.6e6
RECORD = Record(
    name="lora",
    key="k",
    started_at="2026-03-01T10:00:00+00:00",
    ended_at="2026-03-01T11:00:00+00:00",
    answers=10,
    prepare=Bill(energy_j=KWH, duration_s=1800),
    spent=Bill(energy_j=2 * KWH, duration_s=3600),
    phases={"answer": Phase(duration_s=1800, energy_j=KWH)},
)
SERIES = "start,g_per_kwh\n2026-03-01T09:30:00Z,100\n2026-03-01T10:30:00Z,300\n"


def test_a_place_gives_grams_and_a_price_gives_money() -> None:
    books = Books(
        None, 50.0, None, Accounting.model_validate(
            {"boundary": "owned", "pue": 1.5, "prices": {"currency": "EUR",
             "electricity_per_kwh": 0.2}}
        ),
    )  # fmt: skip
    record = books.entered(RECORD)
    assert record.carbon is not None
    assert (record.carbon.intensity_g_per_kwh, record.carbon.pue) == (50.0, 1.5)
    assert record.footprint is not None
    assert record.footprint.operational_g == pytest.approx(2 * 50 * 1.5)
    assert record.footprint.scope2_location_g == record.footprint.operational_g
    assert record.footprint.scope2_market_g is None
    assert record.money is not None
    assert record.money.spent == pytest.approx(2 * 1.5 * 0.2)
    assert record.money.answers_1000 == pytest.approx(1.5 * 0.2 * 100)


def test_a_series_is_asked_for_the_hours_of_the_run_and_not_again(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text(SERIES)
    grid = Grid(provider="csv", file=str(tmp_path / "grid.csv"), fallback="none")
    record = Books("here", None, grid).entered(RECORD)
    assert record.carbon is not None
    assert record.carbon.intensity_g_per_kwh == pytest.approx(200.0)  # half an hour of each
    (tmp_path / "grid.csv").write_text(SERIES.replace("300", "900"))
    again = Books("here", None, grid).shown(record)
    assert again.carbon == record.carbon
    assert Books(None, 10.0).shown(record).carbon != record.carbon  # another figure was declared


def test_hours_without_a_figure_lose_no_work(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text(SERIES.replace("2026-03", "2025-03"))
    grid = Grid(provider="csv", file=str(tmp_path / "grid.csv"), fallback="none")
    record = Books("here", None, grid).entered(RECORD)
    assert record.carbon is None
    assert record.footprint is not None
    assert record.footprint.operational_g is None
    assert record.footprint.notes[0].startswith("csv: ")
    fallen_back = Books("FRA", None, grid.model_copy(update={"fallback": "static"})).entered(RECORD)
    assert fallen_back.carbon is not None
    assert fallen_back.carbon.place == "FRA"
    assert fallen_back.carbon.fallback.startswith("csv: ")


@pytest.mark.parametrize(
    ("place", "grid", "accounting", "message"),
    [
        ("Atlantis", None, {}, "Atlantis"),
        (None, {"provider": "csv", "file": "nowhere.csv", "fallback": "none"}, {}, "nowhere"),
        ("FRA", None, {"prices": "aws-g5.xlrage"}, "aws-g5.xlarge"),
        ("FRA", None, {"report": "nowhere.csv"}, "nowhere"),
        (
            "FRA",
            {"provider": "electricity_maps", "zone": "FR", "token_env": "NOT_SET_HERE"},
            {},
            "NOT_SET_HERE",
        ),
    ],
)
def test_what_is_wrong_is_told_before_any_work(
    place: str | None, grid: dict[str, str] | None, accounting: dict[str, str], message: str
) -> None:
    settings = Grid.model_validate(grid) if grid else None
    with pytest.raises(WattuneError, match=message):
        Books(place, None, settings, Accounting.model_validate(accounting))


def test_the_books_of_a_meter_are_by_its_place_or_its_number() -> None:
    for meter in (Meter(place="FRA"), Meter(place="our roof", intensity_g_per_kwh=41.0), Meter()):
        carbon = Books.of_meter(meter).entered(RECORD).carbon
        assert carbon == meter.carbon
    assert isinstance(Meter(place="FRA").carbon, Carbon)


def test_what_was_entered_survives_json() -> None:
    record = Books("FRA").entered(RECORD)
    assert Record.model_validate(json.loads(json.dumps(record.plain()))) == record
