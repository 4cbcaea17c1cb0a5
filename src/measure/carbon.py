"""Carbon: from joules to grams of CO2e, by an intensity that was given, never guessed."""

from __future__ import annotations

import functools
import json
import math
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InputError, did_you_mean
from .record import Carbon

J_PER_KWH = 3.6e6
G_PER_KWH_OF_LB_PER_MWH = 0.45359237
"""The international pound is 453.59237 g; a MWh is 1,000 kWh."""

COUNTRIES = "data/private_infra/global_energy_mix.json"
STATES = "data/private_infra/2023/usa_emissions.json"


def carbon_of(place: str | None, intensity_g_per_kwh: float | None = None) -> Carbon | None:
    """The intensity to multiply energy by, or None when neither argument is given.

    `place` is a three-letter country code (``FRA``) or a state of the USA (``USA-CA``); the yearly
    averages are those that codecarbon ships. With `intensity_g_per_kwh` (g CO2e a kWh, 0 or more)
    that figure is taken and `place` is only its label. Raises `InputError` for an unknown place.
    """
    if intensity_g_per_kwh is not None:
        if not math.isfinite(intensity_g_per_kwh) or intensity_g_per_kwh < 0:
            raise InputError(
                f"carbon intensity {intensity_g_per_kwh:g} g/kWh: a finite number of grams of "
                "CO2e a kWh, 0 or more, is expected"
            )
        return Carbon(
            place=place or "unnamed",
            intensity_g_per_kwh=intensity_g_per_kwh,
            source="given by the user",
        )
    if place is None:
        return None
    code = place.strip().upper()
    if code.startswith("USA-"):
        return _state(place, code.removeprefix("USA-"))
    return _country(place, code)


def emissions_g(energy_j: float | None, carbon: Carbon | None) -> float | None:
    """Grams of CO2e of `energy_j` joules (1 kWh = 3.6e6 J); None where either is not known."""
    if energy_j is None or carbon is None:
        return None
    return energy_j / J_PER_KWH * carbon.intensity_g_per_kwh


def _country(place: str, code: str) -> Carbon:
    table = _table(COUNTRIES)
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
        source=_source(COUNTRIES, "yearly average of the country"),
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
    origin = _table(STATES).get("_source", {})
    return Carbon(
        place=f"USA-{code}",
        intensity_g_per_kwh=pounds_per_mwh * G_PER_KWH_OF_LB_PER_MWH,
        source=_source(STATES, f"{origin.get('name', 'yearly average')}, {name.title()}"),
        year=origin.get("year"),
    )


def _states() -> dict[str, tuple[str, float]]:
    """State code -> name, pounds of CO2e a MWh."""
    return {
        row["regionCode"]: (name, float(row["emissions"]))
        for name, row in _table(STATES).items()
        if not name.startswith("_") and name != "usa"
    }


def _hint(code: str) -> str:
    """What would be right: the three-letter code of a two-letter one or of a country's name."""
    table = _table(COUNTRIES)
    by_name = {row["country_name"].upper(): iso for iso, row in table.items()}
    right = by_name.get(code) or (_three_letters(code) if len(code) == 2 else None)
    if right in table:
        return f'; did you mean "{right}"?'
    states = {name.upper(): short for short, (name, _) in _states().items()}
    state = states.get(code) or (code if len(code) == 2 and code in _states() else None)
    if state:
        return f'; did you mean "USA-{state}"?'
    return (
        did_you_mean(code, table).partition("; known:")[0]
        + "; a three-letter country code such as FRA, a state such as USA-CA, or a number of g/kWh"
        " is expected"
    )


def _three_letters(code: str) -> str | None:
    try:
        import pycountry  # codecarbon depends on it

        country = pycountry.countries.get(alpha_2=code)
    except ImportError:
        return None
    return str(country.alpha_3) if country is not None else None


@functools.cache
def _table(path: str) -> dict[str, Any]:
    """One of codecarbon's tables, read from its folder: importing codecarbon starts programs."""
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "codecarbon is not installed, so its table of places is missing; install it, or give "
            "the intensity in g/kWh"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    content: dict[str, Any] = json.loads((folder / path).read_text(encoding="utf-8"))
    return content


def _source(path: str, what: str) -> str:
    return f"codecarbon {version('codecarbon')}, {path.rpartition('/')[2]}: {what}"
