"""What a recipe says of the grid, and what answers it: one protocol for all sources."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, model_validator

from ...errors import WattuneError
from ...values import Value
from ..record import Carbon

OWN_KEYS = {
    "static": (),
    "csv": ("file",),
    "electricity_maps": ("zone", "token_env", "url"),
    "uk": ("zone", "url"),
}
NEEDED_KEYS = {"csv": ("file",), "electricity_maps": ("zone", "token_env")}

UK_REGIONS = tuple(str(number) for number in range(1, 18))
"""1-14 are the areas of the distribution networks, 15-17 England, Scotland and Wales (Carbon
Intensity API, table "Regions", carbon-intensity.github.io/api-definitions)."""

NOT_IN_ISO_3166 = "XK"
"""Kosovo: a zone of Electricity Maps under a code that ISO 3166 leaves to its users."""


class IntensityUnavailable(WattuneError):
    """The source has no figure for this time. The message is the reason and holds no secret."""


class IntensityProvider(Protocol):
    """Something that knows the carbon intensity of electricity at a place over a time.

    Its constructor raises `InputError` for all that is wrong before anybody is asked.
    """

    def intensity(self, place: str | None, start: datetime, end: datetime) -> Carbon:
        """The mean over `start` to `end` (both with a time zone), in g CO2e a kWh; `place` is the
        label. Raises `IntensityUnavailable`."""


class Grid(Value):
    """Where the figure of the carbon intensity comes from.

    `provider`: `static`, the yearly tables that codecarbon ships (offline); `csv`, a time series
    in `file`; `electricity_maps`, the zone `zone` (such as ``FR``) by a token that stands in the
    environment variable named `token_env`; `uk`, Great Britain's half-hourly service, `zone` a
    region from 1 to 17 or none for the nation. `url` is another server with the same interface.
    `timeout_s` bounds each request as a whole, and a request is tried twice at most. `fallback` is
    what is taken, and stated, when the provider has no figure: the `static` one of the place, or
    `none`.
    """

    # A token pasted into the wrong key must not come back in a message.
    model_config = ConfigDict(hide_input_in_errors=True)

    provider: Literal["static", "csv", "electricity_maps", "uk"] = "static"
    file: str | None = None
    zone: str | None = None
    token_env: str | None = None
    url: str | None = None
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    fallback: Literal["static", "none"] = "static"

    @model_validator(mode="after")
    def _fits_its_provider(self) -> Grid:
        for key in ("file", "zone", "token_env", "url"):
            if getattr(self, key) is not None and key not in OWN_KEYS[self.provider]:
                raise ValueError(f'{key} is not for the provider "{self.provider}"')
        for key in NEEDED_KEYS.get(self.provider, ()):
            if not getattr(self, key):
                raise ValueError(f'the provider "{self.provider}" needs {key}')
        if self.provider == "electricity_maps" and self.zone:
            _check_zone(self.zone)
        if self.provider == "uk" and self.zone is not None and self.zone not in UK_REGIONS:
            raise ValueError(f'zone "{self.zone}": a region of Great Britain is "1" to "17"')
        if self.token_env and not re.fullmatch("[A-Z_][A-Z0-9_]*", self.token_env):
            raise ValueError(
                "token_env is the name of an environment variable, in capitals, such as "
                "ELECTRICITY_MAPS_TOKEN; the token itself never stands in a recipe"
            )
        if self.url is not None:
            _check_url(self.url)
        return self


def _check_zone(zone: str) -> None:
    """Zones are a two-letter country code and, in some, parts after a hyphen: FR, US-CAL-CISO."""
    import pycountry

    countries = pycountry.countries
    if re.fullmatch("[A-Z]{2}(-[A-Z0-9]+)*", zone) and (
        zone[:2] == NOT_IN_ISO_3166 or countries.get(alpha_2=zone[:2])
    ):
        return
    meant = countries.get(alpha_3=zone.upper()) or countries.get(alpha_2=zone.upper())
    near = f'; did you mean "{meant.alpha_2}"?' if meant else ""
    raise ValueError(
        f'zone "{zone}" is none of Electricity Maps, whose zones read FR or US-CAL-CISO{near}'
    )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if (
        not (parts.scheme == "https" or (parts.scheme == "http" and loopback))
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise ValueError(
            "url must read https://host or https://host/path, without a name, a password or a "
            "query (http only to this machine)"
        )
