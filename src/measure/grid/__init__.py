"""Carbon intensity of grids: a small protocol, and the four sources that speak it.

    Grid ─▶ provider_of ─▶ IntensityProvider ─▶ Carbon, or IntensityUnavailable
                             ├── StaticTable       yearly averages, offline
                             ├── Series            a CSV file of the user's
                             ├── ElectricityMaps   hourly, with a token
                             └── GreatBritain      half-hourly, open

Nothing here touches the network unless an online provider was asked for and is asked.
"""

from __future__ import annotations

from .provider import Grid, IntensityProvider, IntensityUnavailable

__all__ = ["Grid", "IntensityProvider", "IntensityUnavailable", "provider_of"]


def provider_of(grid: Grid) -> IntensityProvider:
    """The provider that `grid` names, ready to be asked.

    Raises `InputError` for what can be known beforehand: a file that is missing or wrong, a token
    variable that is not set. Asks nobody yet.
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
    from .static import StaticTable

    return StaticTable()
