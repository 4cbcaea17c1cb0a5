"""Great Britain's half-hourly service, of the National Energy System Operator: open, no token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from ..record import Carbon
from .forecast import Forecast, forecast_over
from .http import get
from .intervals import Interval, carbon_over, whole_steps, window
from .provider import Grid, IntensityUnavailable

SERVER = "https://api.carbonintensity.org.uk"
HALF_HOUR = timedelta(minutes=30)
MOST = timedelta(days=14)
"""The longest range of one request (carbon-intensity.github.io/api-definitions)."""

Grams = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Intensity(BaseModel):
    forecast: Grams | None = None
    actual: Grams | None = None


class _HalfHour(BaseModel):
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    intensity: _Intensity


class _Nation(BaseModel):
    data: list[_HalfHour]


class _RegionData(_Nation):
    regionid: int


class _Region(BaseModel):
    data: _RegionData


class GreatBritain:
    """The `IntensityProvider` of api.carbonintensity.org.uk: operation only, imports and losses
    included. What was estimated afterwards ("actual") is taken where there is such a figure, and
    the forecast elsewhere; regions have forecasts only. `source` counts both."""

    def __init__(self, grid: Grid) -> None:
        self.region = int(grid.zone) if grid.zone else None
        self.server = (grid.url or SERVER).rstrip("/")
        self.timeout_s = grid.timeout_s

    def intensity(self, place: str | None, start: datetime, end: datetime) -> Carbon:
        """The mean of the half-hours over the run; those without a figure are gaps."""
        start, end = window(start, end)
        found: dict[datetime, Interval] = {}
        for first, last in whole_steps(start, end, HALF_HOUR, MOST):
            for each in self._half_hours(first, last):
                actual, forecast = each.intensity.actual, each.intensity.forecast
                grams, note = (forecast, "forecast") if actual is None else (actual, "actual")
                if grams is not None:
                    found[each.start] = Interval(each.start, each.end, grams, note)
        return carbon_over(
            found.values(),
            start,
            end,
            place=place or "GBR",
            provider="uk",
            source=self._source(),
        )

    def forecast(self, start: datetime, end: datetime) -> Forecast:
        """The half-hours of 24 or 48 hours from that of `start` on; there are no more.

        One request of /intensity/{from}/fw24h or fw48h, of a region under /regional and with its
        number behind (carbon-intensity.github.io/api-definitions, "Get Carbon Intensity data 24hrs
        (48hrs) forwards from specific datetime").
        """
        start, end = window(start, end)
        first, last = next(whole_steps(start, end, HALF_HOUR, MOST))
        ahead = "fw24h" if last - first <= timedelta(hours=24) else "fw48h"
        found = [
            Interval(each.start, each.end, each.intensity.forecast, "forecast")
            for each in self._asked(f"intensity/{first:%Y-%m-%dT%H:%MZ}/{ahead}")
            if each.intensity.forecast is not None
        ]
        return forecast_over(found, start, end, provider="uk", source=f"{self._source()}, {ahead}")

    def _source(self) -> str:
        region = "Great Britain" if self.region is None else f"region {self.region}"
        elsewhere = "" if self.server == SERVER else f", asked of {self.server}"
        return f"NESO Carbon Intensity API (CC BY 4.0), {region}{elsewhere}"

    def _half_hours(self, first: datetime, last: datetime) -> list[_HalfHour]:
        return self._asked(f"intensity/{first:%Y-%m-%dT%H:%MZ}/{last:%Y-%m-%dT%H:%MZ}")

    def _asked(self, times: str) -> list[_HalfHour]:
        if self.region is None:
            url = f"{self.server}/{times}"
            return get(url, _Nation, headers={}, timeout_s=self.timeout_s).data
        url = f"{self.server}/regional/{times}/regionid/{self.region}"
        answer = get(url, _Region, headers={}, timeout_s=self.timeout_s).data
        if answer.regionid != self.region:
            raise IntensityUnavailable("the answer is of another region than the one asked for")
        return answer.data
