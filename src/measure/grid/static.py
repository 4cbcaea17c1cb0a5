"""The static table: yearly averages of countries, of states of the USA and of cloud regions."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches

from ...errors import InputError, did_you_mean
from ..record import Carbon
from .bundled import CLOUDS, COUNTRIES, STATES, bundled_json, bundled_source
from .cloud import gcp_factors, gcp_year, region_places

G_PER_KWH_OF_LB_PER_MWH = 0.45359237
"""The international pound is 453.59237 g; a MWh is 1,000 kWh."""

EXPECTED = (
    "a three-letter country code such as FRA, a state such as USA-CA, a cloud region such as "
    "gcp:europe-west1 is expected; for anywhere else give `intensity_g_per_kwh`, a number"
)


class StaticTable:
    """The `IntensityProvider` that needs no network: the same figure at all times."""

    def intensity(
        self, place: str | None, start: datetime | None = None, end: datetime | None = None
    ) -> Carbon:
        """The yearly average of `place`; raises `InputError` for an unknown one."""
        if place is None:
            raise InputError(f"the static table needs a place: {EXPECTED}")
        return static_intensity(place)


def static_intensity(place: str) -> Carbon:
    """The yearly average intensity of `place`, in g CO2e a kWh, with its year and source.

    Places are three-letter countries (``FRA``), states of the USA (``USA-CA``) and cloud regions
    (``gcp:europe-west1``, ``aws:eu-west-3``, ``azure:francecentral``). Google publishes a factor
    a region; a region of AWS or Azure gets that of its country, or of its state in the USA, and
    its `source` says so. Raises `InputError` for anything else.
    """
    code = place.strip().upper()
    if ":" in code:
        return _region(place, *code.lower().split(":", 1))
    if code.startswith("USA-"):
        return _state(place, code.removeprefix("USA-"))
    return _country(place, code)


def _country(place: str, code: str) -> Carbon:
    table = bundled_json(COUNTRIES)
    if code not in table:
        raise InputError(f'place "{place}" is not known{_hint(code)}')
    row = table[code]
    intensity = row.get("carbon_intensity")
    if not intensity:  # one country's row says 0 g/kWh beside a mix that is not carbon-free
        raise InputError(
            f'place "{place}": the table has no usable carbon intensity for '
            f"{row['country_name']}; give the intensity in g/kWh yourself"
        )
    return Carbon(
        place=code,
        intensity_g_per_kwh=float(intensity),
        source=bundled_source(COUNTRIES, "yearly average of the country"),
        year=row.get("year"),
    )


def _state(place: str, code: str) -> Carbon:
    rows = _states()
    if code not in rows:
        named = {name.upper(): short for short, (name, _) in rows.items()}
        near = (
            f'; did you mean "USA-{named[code]}"?'
            if code in named
            else did_you_mean(f"USA-{code}", [f"USA-{short}" for short in rows])
        )
        raise InputError(f'place "{place}": no such state of the USA{near}')
    name, pounds_per_mwh = rows[code]
    origin = bundled_json(STATES).get("_source", {})
    return Carbon(
        place=f"USA-{code}",
        intensity_g_per_kwh=pounds_per_mwh * G_PER_KWH_OF_LB_PER_MWH,
        source=bundled_source(STATES, f"{origin.get('name', 'yearly average')}, {name.title()}"),
        year=origin.get("year"),
    )


def _region(place: str, cloud: str, region: str) -> Carbon:
    clouds = region_places()
    if cloud not in clouds:
        raise InputError(f'place "{place}": no such cloud{did_you_mean(cloud, clouds)}')
    if region not in clouds[cloud]:
        raise InputError(
            f'place "{place}": no such region in the table of {cloud}'
            f"{did_you_mean(region, clouds[cloud])}"
        )
    if cloud == "gcp":
        return Carbon(
            place=f"gcp:{region}",
            intensity_g_per_kwh=gcp_factors()[region],
            source=bundled_source(
                CLOUDS,
                "Google's yearly average of the region's grid "
                "(cloud.google.com/sustainability/region-carbon)",
            ),
            year=gcp_year(),
        )
    there = static_intensity(clouds[cloud][region])
    return there.model_copy(
        update={
            "place": f"{cloud}:{region}",
            "source": f"{there.source}; the region's own factor is not published, so this is the "
            f"one of {there.place}, where it lies",
        }
    )


def _states() -> dict[str, tuple[str, float]]:
    """State code -> name, pounds of CO2e a MWh."""
    return {
        row["regionCode"]: (name, float(row["emissions"]))
        for name, row in bundled_json(STATES).items()
        if not name.startswith("_") and name != "usa"
    }


def _hint(code: str) -> str:
    """What would be right: the code of a two-letter one, of a name, or the cloud of a region."""
    table = bundled_json(COUNTRIES)
    by_name = {row["country_name"].upper(): iso for iso, row in table.items()}
    right = by_name.get(code) or (_three_letters(code) if len(code) == 2 else None)
    if right in table:
        return f'; did you mean "{right}"?'
    states = {name.upper(): short for short, (name, _) in _states().items()}
    state = states.get(code) or (code if len(code) == 2 and code in _states() else None)
    if state:
        return f'; did you mean "USA-{state}"?'
    for cloud, regions in region_places().items():
        if code.lower() in regions:
            return f'; did you mean "{cloud}:{code.lower()}"?'
    near = get_close_matches(code, by_name, n=1, cutoff=0.8)
    if near:
        return f'; did you mean "{by_name[near[0]]}"?'
    # Of a city or a region, some three letters are near to nearly every name.
    letters = did_you_mean(code, table).partition("; known:")[0] if len(code) == 3 else ""
    return f"{letters}; {EXPECTED}"


def _three_letters(code: str) -> str | None:
    import pycountry

    country = pycountry.countries.get(alpha_2=code)
    return str(country.alpha_3) if country is not None else None
