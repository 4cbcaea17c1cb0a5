"""Embodied carbon: the making of the hardware, shared out over its life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from ...errors import did_you_mean
from ...values import Value
from .yaml_table import Amount, shipped_table

SECONDS_PER_YEAR = 365 * 24 * 3600
"""The year of SCI's own worked example: 365 days of 24 hours."""

LIFETIME_YEARS = 4.0
"""The lifespan in SCI v1.1's worked example, and of Dell's product carbon footprints of servers.
Clouds write their servers off over 4 to 6 years."""


class Hardware(Value):
    """One row of the shipped table: kg CO2e of making it, and who says so."""

    what: str
    kg_co2e: Amount
    year: int
    source: str


class Embodied(Value):
    """The making of the machine: `kg_co2e`, or `hardware`, a row of the shipped table.

    It is spread evenly over `lifetime_years`. `share` is the part of the hardware that this run
    holds, 0 to 1: 0.125 for one GPU of a board of eight, or the run's share of a machine's cores.
    """

    kg_co2e: Amount | None = None
    hardware: str | None = None
    lifetime_years: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = LIFETIME_YEARS
    share: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _one_figure(self) -> Self:
        if (self.kg_co2e is None) == (self.hardware is None):
            raise ValueError('give either "kg_co2e" or "hardware" (a row of the shipped table)')
        rows = hardware_table()
        if self.hardware is not None and self.hardware not in rows:
            raise ValueError(
                f'unknown hardware "{self.hardware}"{did_you_mean(self.hardware, rows)}'
            )
        return self

    @property
    def kg(self) -> float:
        """kg CO2e of making the whole of the hardware."""
        if self.kg_co2e is not None:
            return self.kg_co2e
        assert self.hardware is not None  # the validator saw to it
        return hardware_table()[self.hardware].kg_co2e

    @property
    def source(self) -> str:
        """Who gives the figure."""
        if self.hardware is None:
            return "given by the user"
        return hardware_table()[self.hardware].source

    def grams(self, duration_s: float) -> float:
        """Grams of CO2e that `duration_s` seconds on this hardware bear.

        M = TE x (TiR / EL) x (RR / ToR) of the Green Software Foundation's SCI v1.1 (ISO/IEC
        21031:2024): total embodied emissions x time reserved over expected lifespan x share of the
        resources reserved.
        """
        time_share = duration_s / (self.lifetime_years * SECONDS_PER_YEAR)
        return self.kg * 1000 * time_share * self.share


def hardware_table() -> Mapping[str, Hardware]:
    """The shipped rows by name: published product carbon footprints and estimates from papers."""
    return shipped_table("hardware", Hardware)
