"""Grams, the SCI rate and the scopes of a run."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from wattune.measure.accounts.embodied import Embodied
from wattune.measure.accounts.footprint import Accounting, footprint_of
from wattune.measure.accounts.provider_report import ProviderReport, ReportRow
from wattune.measure.record import Bill, Carbon, Phase, Record

RUN = Record(
    name="rag",
    key="k",
    started_at="2026-03-10T00:00:00+00:00",
    ended_at="2026-03-11T00:00:00+00:00",
    spent=Bill(energy_j=7.2e6, duration_s=3600),  # 2 kWh, 1 h
    phases={"answer": Phase(energy_j=3.6e6, duration_s=1800)},  # 1 kWh, 0.5 h
    answers=50,
)
GRID = Carbon(place="XYZ", intensity_g_per_kwh=100, source="a table")
# 35,040 hours are four years: an hour of 35,040 kg is 1 kg, half of it 500 g.
MAKING = Embodied(kg_co2e=35_040, share=0.5)
ALL = Accounting(boundary="owned", pue=1.5, market_g_per_kwh=20, embodied=MAKING)
BLIND = RUN.model_copy(
    update={
        "spent": Bill(energy_j=None, duration_s=3600),
        "phases": {"answer": Phase(energy_j=None, duration_s=1800)},
    }
)


def notes(footprint: Any) -> str:
    return "\n".join(footprint.notes)


def test_the_formulas_by_hand() -> None:
    owned = footprint_of(RUN, ALL, GRID)
    assert owned.method == "intensity"
    assert owned.operational_g == pytest.approx(2 * 100 * 1.5)
    assert owned.embodied_g == pytest.approx(500)
    # (E x I x PUE + M) / R of answering: half an hour of the hardware is 250 g.
    assert owned.sci_g == pytest.approx((1 * 100 * 1.5 + 250) / 50)
    assert owned.scope2_location_g == pytest.approx(300)
    assert owned.scope2_market_g == pytest.approx(2 * 20 * 1.5)
    assert owned.scope3_g == pytest.approx(500)
    assert "35040 kg over 4 years, share 0.5" in notes(owned)


def test_leased_is_scope_2_by_operational_control() -> None:
    leased = footprint_of(RUN, ALL.model_copy(update={"boundary": "leased"}), GRID)
    assert leased.scope2_location_g == pytest.approx(300)
    assert leased.scope3_g == pytest.approx(500)
    assert "operational control" in notes(leased)


@pytest.mark.parametrize("boundary", ["cloud", "managed"])
def test_what_others_run_is_scope_3(boundary: str) -> None:
    footprint = footprint_of(RUN, ALL.model_copy(update={"boundary": boundary}), GRID)
    assert (footprint.scope2_location_g, footprint.scope2_market_g) == (None, None)
    assert footprint.scope3_g == pytest.approx(300 + 500)


def test_without_the_hardware_there_is_no_sci_and_it_says_so() -> None:
    for boundary, scope3 in (("owned", None), ("cloud", 200.0)):
        footprint = footprint_of(RUN, Accounting.model_validate({"boundary": boundary}), GRID)
        assert (footprint.embodied_g, footprint.sci_g) == (None, None)
        assert footprint.operational_g == pytest.approx(200)
        assert footprint.scope3_g == scope3
        assert "accounting.embodied" in notes(footprint)
        assert ("scope 3 is the operation alone" in notes(footprint)) == (boundary == "cloud")


def test_without_a_boundary_there_are_no_scopes() -> None:
    footprint = footprint_of(RUN, ALL.model_copy(update={"boundary": None}), GRID)
    assert footprint.operational_g == pytest.approx(300)
    assert footprint.sci_g == pytest.approx(8)
    assert footprint.scope2_location_g is None
    assert footprint.scope2_market_g is None
    assert footprint.scope3_g is None
    assert "accounting.boundary" in notes(footprint)


@pytest.mark.parametrize("boundary", ["owned", "leased", "cloud", "managed", None])
def test_marginal_factors_stand_in_no_inventory(boundary: Any) -> None:
    marginal = GRID.model_copy(update={"kind": "marginal"})
    footprint = footprint_of(RUN, ALL.model_copy(update={"boundary": boundary}), marginal)
    assert footprint.scope2_location_g is None
    assert footprint.scope2_market_g is None
    assert footprint.scope3_g is None
    assert footprint.operational_g == pytest.approx(300)
    assert footprint.sci_g == pytest.approx(8)  # SCI v1.1 takes marginal factors too
    assert "marginal" in notes(footprint)


def test_no_contract_no_market_based_figure() -> None:
    footprint = footprint_of(RUN, Accounting(boundary="owned"), GRID)
    assert footprint.scope2_location_g == pytest.approx(200)
    assert footprint.scope2_market_g is None
    assert "accounting.market_g_per_kwh" in notes(footprint)
    green = footprint_of(RUN, Accounting(boundary="owned", market_g_per_kwh=0.0), GRID)
    assert green.scope2_market_g == 0
    assert green.scope2_location_g == pytest.approx(200)


def test_the_place_brings_its_pue_and_contract_and_the_recipe_wins() -> None:
    place = GRID.model_copy(update={"pue": 1.2, "market_g_per_kwh": 50.0})
    plain = footprint_of(RUN, Accounting(boundary="owned"), place)
    assert plain.operational_g == pytest.approx(2 * 100 * 1.2)
    assert plain.scope2_market_g == pytest.approx(2 * 50 * 1.2)
    assert footprint_of(RUN, ALL, place).operational_g == pytest.approx(300)
    settled = ALL.settled(place)
    assert settled is not None
    assert (settled.pue, settled.pue_source) == (1.5, "given by the user")
    assert settled.market_g_per_kwh == 20
    assert settled.intensity_g_per_kwh == 100
    assert Accounting().settled(place) == place
    assert ALL.settled(None) is None


def test_without_a_place_only_the_contract_speaks() -> None:
    footprint = footprint_of(RUN, ALL, None)
    assert (footprint.operational_g, footprint.sci_g) == (None, None)
    assert footprint.scope2_location_g is None
    assert footprint.scope2_market_g == pytest.approx(60)
    assert footprint.embodied_g == pytest.approx(500)
    assert "`place`" in notes(footprint)


@pytest.mark.parametrize("boundary", ["owned", "cloud"])
def test_unknown_energy_is_none_and_never_zero(boundary: str) -> None:
    footprint = footprint_of(BLIND, ALL.model_copy(update={"boundary": boundary}), GRID)
    assert footprint.operational_g is None
    assert footprint.sci_g is None
    assert footprint.scope2_location_g is None
    assert footprint.scope2_market_g is None
    assert footprint.scope3_g == (pytest.approx(500) if boundary == "owned" else None)
    assert "energy is not known" in notes(footprint)


def test_nothing_answered_has_no_rate() -> None:
    unanswered: list[dict[str, Any]] = [{"answers": 0}, {"phases": {}}]
    for changes in unanswered:
        footprint = footprint_of(RUN.model_copy(update=changes), ALL, GRID)
        assert footprint.sci_g is None
        assert "nothing was answered" in notes(footprint)


def test_a_repeated_phase_is_of_all_its_repeats() -> None:
    phase = Phase(energy_j=3.6e6, duration_s=1800, repeats=4)
    footprint = footprint_of(RUN.model_copy(update={"phases": {"answer": phase}}), ALL, GRID)
    assert footprint.sci_g == pytest.approx(8 / 4)


def day(kg: float | None, market: float | None = None) -> ProviderReport:
    """A report of the very day of the run."""
    start = datetime.datetime(2026, 3, 10, tzinfo=datetime.UTC)
    row = ReportRow(
        line=2,
        start=start,
        end=start + datetime.timedelta(days=1),
        kg_co2e=kg,
        market_kg_co2e=market,
    )
    return ProviderReport(source="march.csv", layout="plain", rows=(row,))


def test_a_provider_replaces_the_model() -> None:
    cloud = ALL.model_copy(update={"boundary": "cloud"})
    footprint = footprint_of(RUN, cloud, GRID, day(0.7, 0.1))
    assert footprint.method == "provider_reported"
    assert footprint.operational_g == pytest.approx(700)  # kilograms become grams
    assert footprint.scope3_g == pytest.approx(700)  # it counts its hardware itself
    assert footprint.embodied_g == pytest.approx(500)
    assert "not added" in notes(footprint)
    assert footprint.sci_g == pytest.approx(8)  # never of a provider's contract
    shared = footprint_of(RUN, cloud.model_copy(update={"report_share": 0.25}), GRID, day(0.7))
    assert shared.operational_g == pytest.approx(175)


def test_a_provider_of_ones_own_machines_place_reports_scope_2() -> None:
    footprint = footprint_of(RUN, ALL, None, day(0.7, 0.1))
    assert footprint.scope2_location_g == pytest.approx(700)
    assert footprint.scope2_market_g == pytest.approx(100)
    assert footprint.scope3_g == pytest.approx(500)


def test_a_marginal_place_does_not_spoil_a_providers_figure() -> None:
    marginal = GRID.model_copy(update={"kind": "marginal"})
    footprint = footprint_of(RUN, ALL, marginal, day(0.7))
    assert footprint.scope2_location_g == pytest.approx(700)


def test_a_market_based_figure_alone_is_marked() -> None:
    cloud = ALL.model_copy(update={"boundary": "cloud"})
    footprint = footprint_of(RUN, cloud, GRID, day(None, 0.1))
    assert footprint.operational_g == pytest.approx(100)
    assert "market-based" in notes(footprint)


def test_a_report_of_another_time_gives_no_figure_and_no_model_steps_in() -> None:
    later = RUN.model_copy(update={"ended_at": "2026-03-11T06:00:00+00:00"})
    footprint = footprint_of(later, ALL, GRID, day(0.7))
    assert footprint.method == "provider_reported"
    assert footprint.operational_g is None
    assert footprint.scope2_location_g is None
    assert "march.csv does not cover the run" in notes(footprint)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"boundary": "rented"}, "'owned', 'leased', 'cloud' or 'managed'"),
        ({"pue": 0.9}, "greater than or equal to 1"),
        ({"pue": float("nan")}, "finite"),
        ({"pue": float("inf")}, "finite"),
        ({"pue": True}, "valid number"),
        ({"market_g_per_kwh": -1}, "greater than or equal to 0"),
        ({"report_share": 0}, "greater than 0"),
        ({"embodied": {}}, "give either"),
        ({"prices": {"currency": "EUR"}}, "at least one of"),
        ({"boundry": "owned"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Accounting.model_validate(settings)


def test_the_settings_survive_a_record() -> None:
    settings = {
        "boundary": "cloud",
        "pue": 1.1,
        "market_g_per_kwh": 0,
        "embodied": {"hardware": "nvidia-hgx-h100", "share": 0.125},
        "prices": {"currency": "EUR", "machine_per_hour": 2},
    }
    accounting = Accounting.model_validate(settings)
    assert Accounting.model_validate(accounting.plain()) == accounting
    assert accounting.digest() == Accounting.model_validate(settings).digest()
