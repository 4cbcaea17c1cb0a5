"""Electricity Maps: hourly averages of a zone, by the user's own token."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import AliasChoices, AwareDatetime, BaseModel, Field

from ...errors import InputError
from ..record import Carbon
from .forecast import Forecast, forecast_over
from .http import get
from .intervals import Interval, carbon_over, whole_steps, window
from .provider import Grid, IntensityUnavailable

SERVER = "https://api.electricitymaps.com"
HOUR = timedelta(hours=1)
MOST = timedelta(days=10)
"""The longest range of hourly figures in one request (Electricity Maps, API reference,
carbon-intensity/past-range)."""
HORIZONS_H = (6, 24, 48, 72)
"""How many hours ahead may be asked for (Electricity Maps, API reference,
carbon-intensity/forecast, app.electricitymaps.com/developer-hub/api/reference)."""


class _Hour(BaseModel):
    zone: str | None = None
    datetime: AwareDatetime
    carbonIntensity: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    emissionFactorType: Literal["lifecycle"] | None = None
    isEstimated: bool | None = None


class _Answer(BaseModel):
    zone: str | None = None
    # Past ranges are "data", forecasts are "forecast" in version 3 and "data" in some answers.
    data: list[_Hour] = Field(validation_alias=AliasChoices("data", "forecast"))


class ElectricityMaps:
    """The `IntensityProvider` of app.electricitymaps.com, version 3 of its API.

    Flow-traced averages of the electricity used in the zone, with lifecycle emission factors. The
    token is read from the environment when the object is made; `InputError` where it is not set.
    """

    def __init__(self, grid: Grid) -> None:
        name = str(grid.token_env)
        token = os.environ.get(name, "").strip()
        if not token:
            raise InputError(f"the environment variable {name} is not set; it holds the token")
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise InputError(f"the environment variable {name} holds no token: odd characters")
        self._headers = {"auth-token": token}
        self.zone = str(grid.zone)
        self.server = (grid.url or SERVER).rstrip("/")
        self.timeout_s = grid.timeout_s

    def intensity(self, place: str | None, start: datetime, end: datetime) -> Carbon:
        """The mean of the hours over the run; hours without a figure are gaps."""
        start, end = window(start, end)
        hours = [
            hour
            for first, last in whole_steps(start, end, HOUR, MOST)
            for hour in self._hours(first, last)
        ]
        return carbon_over(
            _intervals(hours),
            start,
            end,
            place=place or self.zone,
            provider="electricity_maps",
            source=self._source("past-range"),
        )

    def forecast(self, start: datetime, end: datetime) -> Forecast:
        """The hours from now on, 72 at the most, by default with lifecycle factors.

        One request of carbon-intensity/forecast (API reference, see `HORIZONS_H`), whose hours are
        counted from the present one.
        """
        start, end = window(start, end)
        present = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        ahead_h = (end - present) / HOUR
        query = {
            "zone": self.zone,
            "horizonHours": str(next((h for h in HORIZONS_H if h >= ahead_h), HORIZONS_H[-1])),
            "temporalGranularity": "hourly",
            "disableCallerLookup": "true",
        }
        return forecast_over(
            _intervals(self._asked("forecast", query), "forecast"),
            start,
            end,
            provider="electricity_maps",
            source=self._source("forecast"),
        )

    def _source(self, endpoint: str) -> str:
        elsewhere = "" if self.server == SERVER else f", asked of {self.server}"
        return (
            f"Electricity Maps API v3, {endpoint}, zone {self.zone}, lifecycle factors{elsewhere}"
        )

    def _hours(self, first: datetime, last: datetime) -> list[_Hour]:
        query = {
            "zone": self.zone,
            "start": first.strftime("%Y-%m-%dT%H:%MZ"),
            "end": last.strftime("%Y-%m-%dT%H:%MZ"),
            "temporalGranularity": "hourly",
            "emissionFactorType": "lifecycle",
            # Else an unknown zone is answered with that of the caller's address.
            "disableCallerLookup": "true",
        }
        return self._asked("past-range", query)

    def _asked(self, endpoint: str, query: dict[str, str]) -> list[_Hour]:
        url = f"{self.server}/v3/carbon-intensity/{endpoint}?{urlencode(query)}"
        answer = get(url, _Answer, headers=self._headers, timeout_s=self.timeout_s)
        if {answer.zone, *(hour.zone for hour in answer.data)} - {None, self.zone}:
            raise IntensityUnavailable("the answer is of another zone than the one asked for")
        return answer.data


def _intervals(hours: Iterable[_Hour], note: str = "") -> list[Interval]:
    """The hours that have a figure, each once; without a `note` it says how that is known."""
    found = {
        hour.datetime: Interval(
            hour.datetime,
            hour.datetime + HOUR,
            hour.carbonIntensity,
            note or ("estimated" if hour.isEstimated else "measured"),
        )
        for hour in hours
        if hour.carbonIntensity is not None
    }
    return list(found.values())
