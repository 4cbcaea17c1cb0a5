"""Carbon: from joules to grams of CO2e, by an intensity that was given, never guessed."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

from ..errors import InputError
from .grid import Grid, IntensityProvider, IntensityUnavailable, provider_of
from .grid.static import static_intensity
from .record import Carbon

J_PER_WH = 3600.0
J_PER_KWH = 3.6e6


class CarbonReading(NamedTuple):
    """A carbon intensity, or None and the `reason` why there is none.

    `reason` is also there when a fallback answered: then it is `carbon.fallback`.
    """

    carbon: Carbon | None
    reason: str = ""


class CarbonSource:
    """Where the carbon intensity of a run comes from: made before the run, asked after it.

    `place` and `intensity_g_per_kwh` (g CO2e a kWh, 0 or more) are as in `carbon_of`; `grid` names
    a provider that knows the time of the run. Making one raises `InputError` for all that is wrong
    with what was given, whatever the fallback, and asks nobody. Asking raises nothing: finished
    work is not lost because a server is down.
    """

    def __init__(
        self,
        place: str | None = None,
        intensity_g_per_kwh: float | None = None,
        grid: Grid | None = None,
    ) -> None:
        self._place = place
        self._asked = "" if grid is None or grid.provider == "static" else grid.provider
        self._fixed: Carbon | None = None
        self._provider: IntensityProvider | None = None
        if intensity_g_per_kwh is not None:
            if self._asked:
                raise InputError(
                    f'an intensity in g/kWh and the grid provider "{self._asked}" are both given; '
                    "leave one out"
                )
            self._fixed = _given(place, intensity_g_per_kwh)
        elif grid is None or not self._asked:
            self._fixed = static_intensity(place) if place is not None else None
        else:
            if grid.fallback == "static":
                self._fixed = _fallback(place)
            self._provider = provider_of(grid)

    def over(self, start: datetime | None = None, end: datetime | None = None) -> CarbonReading:
        """The intensity from `start` to `end`, times with a zone; a yearly figure needs neither.

        Where the provider has no figure, the fallback if one was declared, with the reason in
        `Carbon.fallback`; else None and the reason.
        """
        if self._provider is None:
            return CarbonReading(self._fixed)
        try:
            if start is None or end is None:
                raise IntensityUnavailable("the time of the run is not known")
            return CarbonReading(self._provider.intensity(self._place, start, end))
        except IntensityUnavailable as error:
            reason = f"{self._asked}: {error}"
            if self._fixed is None:
                return CarbonReading(None, reason)
            return CarbonReading(self._fixed.model_copy(update={"fallback": reason}), reason)


def carbon_of(
    place: str | None,
    intensity_g_per_kwh: float | None = None,
    *,
    grid: Grid | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Carbon | None:
    """The intensity to multiply energy by, or None when nothing says which.

    `place` is a three-letter country code (``FRA``), a state of the USA (``USA-CA``) or a cloud
    region (``gcp:europe-west1``, ``aws:eu-west-3``, ``azure:francecentral``); the yearly averages
    are those that codecarbon ships. With `intensity_g_per_kwh` (g CO2e a kWh, 0 or more) that
    figure is taken and `place` is only its label. With another `grid` than the static one, its
    provider is asked for the mean over `start` to `end`, and `place` is the label and the place of
    the fallback. Raises `InputError` for an unknown place and a grid that cannot be; a provider
    without a figure gives the declared fallback, or None. `CarbonSource` also says why.
    """
    return CarbonSource(place, intensity_g_per_kwh, grid).over(start, end).carbon


def emissions_g(energy_j: float | None, carbon: Carbon | None) -> float | None:
    """Grams of CO2e of `energy_j` joules of the machine: energy x PUE x intensity.

    1 kWh is 3.6e6 J. None where either is not known.
    """
    if energy_j is None or carbon is None:
        return None
    return energy_j * carbon.pue / J_PER_KWH * carbon.intensity_g_per_kwh


def _given(place: str | None, intensity_g_per_kwh: float) -> Carbon:
    if not isinstance(intensity_g_per_kwh, int | float):
        raise InputError(f"carbon intensity {intensity_g_per_kwh!r}: a number of g/kWh is expected")
    if not math.isfinite(intensity_g_per_kwh) or intensity_g_per_kwh < 0:
        raise InputError(
            f"carbon intensity {intensity_g_per_kwh:g} g/kWh: a finite number of grams of "
            "CO2e a kWh, 0 or more, is expected"
        )
    return Carbon(
        place=place or "unnamed",
        intensity_g_per_kwh=intensity_g_per_kwh,
        source="given by the user",
        provider="given",
    )


def _fallback(place: str | None) -> Carbon:
    try:
        if place is None:
            raise InputError("no place is given")
        return static_intensity(place)
    except InputError as error:
        raise InputError(
            f"{error} (the grid's fallback to the static table needs a place that the table knows; "
            "fallback: none does without)"
        ) from error
