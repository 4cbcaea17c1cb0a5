"""Carbon intensity of grids: a small protocol, and the four sources that speak it.

    Grid ─▶ provider_of ─▶ IntensityProvider ─▶ Carbon, or IntensityUnavailable
                             ├── StaticTable       yearly averages, offline
                             ├── Series            a CSV file of the user's
                             ├── ElectricityMaps   hourly, with a token
                             └── GreatBritain      half-hourly, open

All but the table also forecast: `forecaster_of`.
Nothing here touches the network unless an online provider was asked for and is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InputError
from .provider import Grid, IntensityProvider, IntensityUnavailable

if TYPE_CHECKING:
    from .forecast import Forecaster

__all__ = ["Grid", "IntensityProvider", "IntensityUnavailable", "forecaster_of", "provider_of"]


def provider_of(grid: Grid) -> IntensityProvider:
    """The provider that `grid` names, ready to be asked.

    Raises `InputError` for what can be known beforehand: a file that is missing or wrong, a token
    variable that is not set. Asks nobody yet.
    """
    if grid.provider == "static":
        from .static import StaticTable

        return StaticTable()
    return forecaster_of(grid)


def forecaster_of(grid: Grid) -> Forecaster:
    """The provider that `grid` names, if it knows hours to come; all but the static table do.

    Raises `InputError` as `provider_of` does, and for the static table.
    """
    # Imported here: urllib, csv and the tables are for those who use them.
    if grid.provider == "csv":
        from .series import Series

        return Series(grid)
    if grid.provider == "electricity_maps":
        from .electricity_maps import ElectricityMaps

        return ElectricityMaps(grid)
    if grid.provider == "uk":
        from .uk import GreatBritain

        return GreatBritain(grid)
    raise InputError(
        "the static table holds one figure a year, so no hour is better than another; set a grid "
        "with a forecast: `grid: {provider: uk}`, electricity_maps or csv"
    )
