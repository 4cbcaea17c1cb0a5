"""What a run costs in money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure.accounts.money import Boundary, Prices, load_prices, money_of
from wattune.measure.accounts.yaml_table import shipped_table
from wattune.measure.record import Bill, Phase, Record

RUN = Record(
    name="rag",
    key="k",
    prepare=Bill(energy_j=3.6e6, duration_s=7200),  # 1 kWh, 2 h
    spent=Bill(energy_j=7.2e6, duration_s=3600),  # 2 kWh, 1 h
    phases={"answer": Phase(energy_j=1.8e6, duration_s=1800)},  # 0.5 kWh, 0.5 h
    answers=100,
)


def test_electricity_of_ones_own_machine() -> None:
    money = money_of(RUN, Prices(currency="EUR", electricity_per_kwh=0.4, source="me", year=2026))
    assert money is not None
    assert (money.currency, money.source) == ("EUR", "me (2026)")
    assert money.prepare == pytest.approx(0.4)
    assert money.spent == pytest.approx(0.8)
    assert money.answers_1000 == pytest.approx(0.5 * 0.4 * 10)


def test_cooling_is_paid_for_too() -> None:
    prices = Prices(currency="EUR", electricity_per_kwh=0.4, machine_per_hour=1.0)
    money = money_of(RUN, prices, pue=1.5)
    assert money is not None
    assert money.spent == pytest.approx(2 * 1.5 * 0.4 + 1.0)  # but an hour's rent has no PUE


def test_a_rented_machine_is_paid_by_the_hour_whatever_it_draws() -> None:
    prices = Prices(currency="USD", machine_per_hour=3.0)
    blind = RUN.model_copy(update={"spent": Bill(energy_j=None, duration_s=3600)})
    for record in (RUN, blind):
        money = money_of(record, prices)
        assert money is not None
        assert money.spent == pytest.approx(3.0)
        assert money.prepare == pytest.approx(6.0)
        assert money.answers_1000 == pytest.approx(15.0)


def test_the_price_of_the_machine_is_spread_over_its_life() -> None:
    # 8,760 over a year of 8,760 hours is 1 an hour.
    prices = Prices(
        currency="EUR",
        electricity_per_kwh=0.4,
        machine_price=8760,
        machine_lifetime_years=1,
    )
    money = money_of(RUN, prices)
    assert money is not None
    assert money.spent == pytest.approx(0.8 + 1.0)
    assert money.prepare == pytest.approx(0.4 + 2.0)


def test_unknown_is_none_and_never_zero() -> None:
    blind = Record(
        name="rag",
        key="k",
        prepare=Bill(energy_j=None, duration_s=5),
        spent=Bill(energy_j=None, duration_s=5),
        phases={"answer": Phase(energy_j=None, duration_s=5)},
        answers=10,
    )
    money = money_of(blind, Prices(currency="EUR", electricity_per_kwh=0.4))
    assert money is not None
    assert (money.prepare, money.answers_1000, money.spent) == (None, None, None)
    assert money_of(RUN, None) is None
    unanswered = money_of(
        RUN.model_copy(update={"answers": 0}), Prices(currency="EUR", electricity_per_kwh=0.4)
    )
    assert unanswered is not None
    assert unanswered.answers_1000 is None


def test_a_repeated_phase_is_of_all_its_repeats() -> None:
    phase = Phase(energy_j=1.8e6, duration_s=1800, repeats=5)
    money = money_of(
        RUN.model_copy(update={"phases": {"answer": phase}}),
        Prices(currency="EUR", electricity_per_kwh=0.4),
    )
    assert money is not None
    assert money.answers_1000 == pytest.approx(0.5 * 0.4 * 10 / 5)


def test_the_shipped_prices_are_of_a_kilowatt_hour_and_have_a_source() -> None:
    rows = shipped_table("prices", Prices)
    assert any(row.machine_per_hour for row in rows.values())
    for name, row in rows.items():
        assert row.year is not None, name
        assert 2022 < row.year < 2030, name
        assert len(row.source) > 20, name
        assert row.currency in ("EUR", "USD"), name
        if row.electricity_per_kwh is not None:  # neither cents nor a MWh
            assert 0.03 < row.electricity_per_kwh < 0.6, name
        if row.machine_per_hour is not None:
            assert 0.1 < row.machine_per_hour < 100, name


def test_a_place_takes_its_household_price_and_a_rented_machine_does_not() -> None:
    prices, reason = load_prices(None, place="deu")
    assert prices is not None
    assert (prices.currency, prices.electricity_per_kwh, reason) == ("EUR", 0.3835, "")
    assert load_prices(None, place="DEU", boundary="owned")[0] == prices
    rented: tuple[Boundary, ...] = ("cloud", "managed")
    for boundary in rented:
        none, reason = load_prices(None, place="DEU", boundary=boundary)
        assert none is None
        assert "accounting.prices" in reason


@pytest.mark.parametrize("place", [None, "ATA", "", "our roof"])
def test_no_price_has_a_reason(place: str | None) -> None:
    prices, reason = load_prices(None, place=place)
    assert prices is None
    assert "accounting.prices" in reason


def test_a_row_by_name() -> None:
    rented, _ = load_prices("aws-g5.xlarge", place="DEU")
    assert rented is not None
    assert (rented.machine_per_hour, rented.electricity_per_kwh) == (1.006, None)
    with pytest.raises(InputError, match='did you mean "DEU-household"'):
        load_prices("DEU-houshold")


def test_ones_own_replaces_the_table_wholly(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("currency: SEK\nelectricity_per_kwh: 1.2\nyear: 2026\n", encoding="utf-8")
    prices, _ = load_prices(str(file), place="DEU", boundary="cloud")
    assert prices == Prices(currency="SEK", electricity_per_kwh=1.2, year=2026, source="mine.yaml")
    same, _ = load_prices({"currency": "SEK", "electricity_per_kwh": 1.2}, place="DEU")
    assert same == Prices(currency="SEK", electricity_per_kwh=1.2)
    assert same is not None
    assert load_prices(same)[0] is same


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a mapping"),
        ("- 1\n- 2\n", "a mapping"),
        ("just text", "a mapping"),
        ("currency: EUR\n", "at least one of"),
        ("currency: EUR\nelectricity_per_kwh: yes\n", "valid number, not True"),
        ("currency: EUR\nelectricity_per_kwh: '0.3'\n", "valid number"),
        ("currency: EUR\nelectricity_per_kwh: -0.3\n", "greater than or equal to 0"),
        ("currency: EUR\nelectricity_per_kwh: .nan\n", "finite|greater"),
        ("currency: EUR\nelectricity_per_kwh: .inf\n", "finite"),
        ("currency: euro\nelectricity_per_kwh: 0.3\n", '"currency"'),
        ("electricity_per_kwh: 0.3\n", '"currency" is missing'),
        ("currency: EUR\nelectricity_per_kWh: 0.3\n", 'did you mean "electricity_per_kwh"'),
        ("currency: EUR\nmachine_price: 900\n", "go together"),
        ("currency: EUR\nelectricity_per_kwh: 0.3\ncurrency: USD\n", ':3: "currency" is given twi'),
        ("currency: EUR\nelectricity_per_kwh: [0.3\n", ":3:1: broken YAML"),
        ("currency: !!python/object/apply:os.getcwd []\n", "broken YAML"),
        ("a: &a [*a, *a]\n", "an alias .* stands inside"),
        ("a: 2026-99-99\n", "broken YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, "broken YAML"),
        ("1: 2\ncurrency: EUR\nelectricity_per_kwh: 0.3\n", 'unknown key "1"'),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        load_prices(str(file))
    assert "prices.yaml" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    binary = tmp_path / "prices.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match="not UTF-8"):
        load_prices(str(binary))
    with pytest.raises(InputError, match="no such file"):
        load_prices(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize("given", [{"currency": "EUR", "electricity_per_kwh": None}, {}])
def test_a_bad_mapping_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^prices: "):
        load_prices(given)
