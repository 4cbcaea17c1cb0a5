"""Electricity Maps: hourly averages of a zone, by the user's own token."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import AwareDatetime, BaseModel, Field

from ...errors import InputError
from ..record import Carbon
from .http import get
from .intervals import Interval, carbon_over, whole_steps, window
from .provider import Grid, IntensityUnavailable

SERVER = "https://api.electricitymaps.com"
HOUR = timedelta(hours=1)
MOST = timedelta(days=10)
"""The longest range of hourly figures in one request (Electricity Maps, API reference,
carbon-intensity/past-range)."""


class _Hour(BaseModel):
    zone: str | None = None
    datetime: AwareDatetime
    carbonIntensity: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    emissionFactorType: Literal["lifecycle"] | None = None
    isEstimated: bool | None = None


class _Answer(BaseModel):
    zone: str | None = None
    data: list[_Hour]


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
        hours: dict[datetime, Interval] = {}
        for first, last in whole_steps(start, end, HOUR, MOST):
            for hour in self._hours(first, last):
                if hour.carbonIntensity is not None:
                    note = "estimated" if hour.isEstimated else "measured"
                    hours[hour.datetime] = Interval(
                        hour.datetime, hour.datetime + HOUR, hour.carbonIntensity, note
                    )
        return carbon_over(
            hours.values(),
            start,
            end,
            place=place or self.zone,
            provider="electricity_maps",
            source=f"Electricity Maps API v3, past-range, zone {self.zone}, lifecycle factors"
            + ("" if self.server == SERVER else f", asked of {self.server}"),
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
        url = f"{self.server}/v3/carbon-intensity/past-range?{urlencode(query)}"
        answer = get(url, _Answer, headers=self._headers, timeout_s=self.timeout_s)
        if {answer.zone, *(hour.zone for hour in answer.data)} - {None, self.zone}:
            raise IntensityUnavailable("the answer is of another zone than the one asked for")
        return answer.data
