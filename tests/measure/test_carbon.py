"""Grams of CO2e from joules, and where the intensity comes from."""

from __future__ import annotations

import math
import sys

import pytest

from wattune.errors import InputError
from wattune.measure.carbon import carbon_of, emissions_g
from wattune.measure.record import Carbon


@pytest.mark.parametrize(
    ("place", "country", "region"),
    [
        ("FRA", "FRA", None),
        ("USA", "USA", None),
        ("POL", "POL", None),
        ("IND", "IND", None),
        ("NOR", "NOR", None),
        ("USA-CA", "USA", "california"),
        ("USA-DC", "USA", "district of columbia"),
        ("USA-WV", "USA", "west virginia"),
    ],
)
def test_agrees_with_codecarbon(place: str, country: str, region: str | None) -> None:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    geo = GeoMetadata(country_iso_code=country, country_name=country, region=region)
    source = DataSource()  # type: ignore[no-untyped-call]
    kilograms = Emissions(source).get_private_infra_emissions(Energy.from_energy(kWh=2.5), geo)
    grams = emissions_g(2.5 * 3.6e6, carbon_of(place))
    assert grams == pytest.approx(1000 * kilograms, rel=1e-6)
    assert grams is not None
    assert grams > 0


def test_a_place_says_its_table_and_year() -> None:
    france, california = carbon_of("fra"), carbon_of("USA-CA")
    assert france is not None
    assert california is not None
    assert (france.place, california.place) == ("FRA", "USA-CA")
    assert 10 < france.intensity_g_per_kwh < 150
    assert "global_energy_mix" in france.source
    assert "eGRID" in california.source
    assert france.year is not None
    assert france.year >= 2021
    assert california.year == 2023
    assert france.kind == "average"


@pytest.mark.parametrize(
    ("place", "suggestion"),
    [
        ("FR", "FRA"),
        ("de", "DEU"),
        ("GB", "GBR"),
        ("TX", "USA-TX"),
        ("France", "FRA"),
        ("california", "USA-CA"),
        ("FRX", "FR"),
        ("USA-XX", "USA-"),
        ("USA-Texas", "USA-TX"),
        ("nowhere at all", "three-letter country code"),
        ("", "three-letter country code"),
    ],
)
def test_an_unknown_place_is_refused_with_what_would_be_right(place: str, suggestion: str) -> None:
    with pytest.raises(InputError) as caught:
        carbon_of(place)
    assert suggestion in str(caught.value)
    assert f'"{place}"' in str(caught.value)


def test_a_table_row_without_a_figure_is_not_zero() -> None:
    with pytest.raises(InputError, match="no usable carbon intensity"):
        carbon_of("CAF")


def test_nothing_is_inferred() -> None:
    assert carbon_of(None, None) is None


def test_a_given_intensity_and_its_label() -> None:
    given = carbon_of("our roof", 41.0)
    assert given == Carbon(
        place="our roof",
        intensity_g_per_kwh=41.0,
        source="given by the user",
        provider="given",
        year=None,
    )
    free = carbon_of(None, 0.0)
    assert free is not None
    assert free.intensity_g_per_kwh == 0.0


@pytest.mark.parametrize("intensity", [-1.0, math.nan, math.inf])
def test_an_impossible_intensity_is_refused(intensity: float) -> None:
    with pytest.raises(InputError, match="g/kWh"):
        carbon_of(None, intensity)


def test_grams_of_a_kilowatt_hour() -> None:
    carbon = Carbon(place="x", intensity_g_per_kwh=56.0, source="x")
    assert emissions_g(3.6e6, carbon) == pytest.approx(56.0)
    assert emissions_g(36.0, carbon) == pytest.approx(56.0e-5)
    assert emissions_g(None, carbon) is None
    assert emissions_g(1.0, None) is None


def test_the_data_centre_s_overhead_counts() -> None:
    carbon = Carbon(place="x", intensity_g_per_kwh=56.0, source="x", pue=1.25)
    assert emissions_g(3.6e6, carbon) == pytest.approx(70.0)


def test_reading_a_place_does_not_import_codecarbon() -> None:
    import subprocess

    script = (
        "import sys; from wattune.measure.carbon import carbon_of; carbon_of('FRA');"
        "sys.exit('codecarbon' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
