"""Places of the static table: countries, states, cloud regions; and the grid of a recipe."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from pydantic import ValidationError

from wattune.errors import InputError
from wattune.measure.carbon import CarbonSource, carbon_of, emissions_g
from wattune.measure.grid import Grid
from wattune.measure.grid.bundled import CLOUDS, bundled_file
from wattune.measure.grid.cloud import AWS, AZURE, GCP_YEAR, gcp_factors, gcp_year, region_places
from wattune.measure.grid.static import static_intensity
from wattune.measure.record import Carbon


def found(place: str) -> Carbon:
    carbon = carbon_of(place)
    assert carbon is not None
    return carbon


def test_google_s_regions_agree_with_codecarbon() -> None:
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import CloudMetadata
    from codecarbon.input import DataSource

    emissions = Emissions(DataSource())  # type: ignore[no-untyped-call]
    with bundled_file(CLOUDS).open(encoding="utf-8-sig", newline="") as stream:
        regions = [row["region"] for row in csv.DictReader(stream)]
    assert len(regions) == len(gcp_factors())
    for region in regions[::8]:
        cloud = CloudMetadata(provider="gcp", region=region)
        kilograms = emissions.get_cloud_emissions(Energy.from_energy(kWh=2.5), cloud)
        name = region.replace("cenrtal", "central")
        grams = emissions_g(2.5 * 3.6e6, carbon_of(f"gcp:{name}"))
        assert grams == pytest.approx(1000 * kilograms)


def test_google_s_factors_have_their_year() -> None:
    # Google's own files: 34 g/kWh for Paris in 2023, 71 in 2022.
    paris = found("gcp:europe-west9")
    assert (paris.intensity_g_per_kwh, paris.year) == (34, GCP_YEAR)
    assert gcp_year() == GCP_YEAR  # else codecarbon's table changed: find out which year it is of
    assert "Google" in paris.source
    assert found(" GCP:Me-Central1 ").place == "gcp:me-central1"


def test_the_year_of_another_table_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattune.measure.grid.cloud.GCP_DIGEST", "0" * 64)
    assert found("gcp:europe-west9").year is None


@pytest.mark.parametrize(
    ("region", "there"),
    [
        ("aws:eu-west-3", "FRA"),
        ("azure:francecentral", "FRA"),
        ("aws:us-west-1", "USA-CA"),
        ("azure:eastus2", "USA-VA"),
        ("AWS:eu-north-1", "SWE"),
    ],
)
def test_other_regions_take_the_place_where_they_lie_and_say_so(region: str, there: str) -> None:
    carbon, place = found(region), found(there)
    assert carbon.place == region.lower()
    assert (carbon.intensity_g_per_kwh, carbon.year) == (place.intensity_g_per_kwh, place.year)
    assert carbon.source.startswith(place.source)
    assert f"not published, so this is the one of {there}" in carbon.source


def test_every_region_has_a_figure_and_stands_once() -> None:
    for cloud, regions in region_places().items():
        for region in regions:
            carbon = static_intensity(f"{cloud}:{region}")
            assert carbon.intensity_g_per_kwh > 0
            assert carbon.year is not None
    for table in (AWS, AZURE):
        names = " ".join(table.values()).split()
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("place", "suggestion"),
    [
        ("gcp:europe-west99", '"europe-west9"'),
        ("aws:eu-west-9", '"eu-west-'),
        ("azure:france-central", '"francecentral"'),
        ("gpc:europe-west1", '"gcp"'),
        ("oracle:eu-paris-1", "known: aws, azure, gcp"),
        ("europe-west1", '"gcp:europe-west1"'),
        ("eu-west-3", '"aws:eu-west-3"'),
        ("Paris", "cloud region such as"),
    ],
)
def test_an_unknown_region_is_refused_with_what_would_be_right(place: str, suggestion: str) -> None:
    with pytest.raises(InputError) as caught:
        carbon_of(place)
    assert f'"{place}"' in str(caught.value)
    assert suggestion in str(caught.value)


def test_the_static_grid_is_what_a_place_alone_is() -> None:
    assert carbon_of("FRA", grid=Grid()) == carbon_of("FRA")
    assert carbon_of("roof", 41.0, grid=Grid()) == carbon_of("roof", 41.0)
    assert carbon_of(None, grid=Grid()) is None


EM = {"provider": "electricity_maps", "zone": "FR", "token_env": "TOKEN"}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"provider": "csv"}, "needs file"),
        ({"provider": "csv", "file": "x.csv", "zone": "FR"}, "zone is not for"),
        ({"file": "x.csv"}, 'file is not for the provider "static"'),
        ({"provider": "electricity_maps", "zone": "FR"}, "needs token_env"),
        ({"provider": "electricity_maps", "token_env": "TOKEN"}, "needs zone"),
        (EM | {"zone": "FRA"}, 'did you mean "FR"'),
        (EM | {"zone": "fr"}, 'did you mean "FR"'),
        (EM | {"zone": "QQ-NORTH"}, "none of Electricity Maps"),
        (EM | {"zone": "FR&zone=DE"}, "none of Electricity Maps"),
        (EM | {"token_env": "s3cr3t-t0ken"}, "name of an environment variable"),
        (EM | {"url": "http://example.org"}, "url must read"),
        (EM | {"url": "https://me:s3cr3t-t0ken@example.org"}, "url must read"),
        (EM | {"url": "https://example.org/?key=s3cr3t-t0ken"}, "url must read"),
        (EM | {"url": "file:///etc/passwd"}, "url must read"),
        (EM | {"token": "s3cr3t-t0ken"}, "Extra inputs"),
        ({"provider": "uk", "zone": "18"}, '"1" to "17"'),
        ({"provider": "uk", "zone": "London"}, '"1" to "17"'),
        ({"provider": "uk", "timeout_s": 0}, "greater than 0"),
        ({"provider": "watttime"}, "'electricity_maps'"),
    ],
)
def test_a_grid_that_cannot_be(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Grid.model_validate(keys)
    assert sentence in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("zone", ["US-CAL-CISO", "DK-DK1", "XK", "IT-NO"])
def test_zones_of_electricity_maps(zone: str) -> None:
    assert Grid.model_validate(EM | {"zone": zone}).zone == zone


@pytest.mark.parametrize("place", [None, "our roof"])
def test_a_fallback_needs_a_place_that_the_table_knows(place: str | None) -> None:
    with pytest.raises(InputError, match="fallback: none"):
        CarbonSource(place, grid=Grid(provider="uk"))
    CarbonSource(place, grid=Grid(provider="uk", fallback="none"))


def test_a_number_and_a_provider_exclude_each_other() -> None:
    with pytest.raises(InputError, match="leave one out"):
        carbon_of("GBR", 30.0, grid=Grid(provider="uk"))


@pytest.mark.parametrize("value", [None, "  ", "s3cr3t t0ken", "s3cr3t\nX-Other: 1", "s3cr3té"])
def test_a_token_that_is_not_there_is_known_before(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("TOKEN", value)
    with pytest.raises(InputError, match="environment variable TOKEN") as caught:
        carbon_of("FRA", grid=Grid.model_validate(EM))
    assert "s3cr3t" not in str(caught.value)


def test_nobody_is_asked_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TOKEN", "t0ken")
    for grid in (Grid.model_validate(EM), Grid(provider="uk"), Grid()):
        carbon = carbon_of("GBR", grid=grid)
        assert carbon is not None
        assert carbon.provider == "static"
