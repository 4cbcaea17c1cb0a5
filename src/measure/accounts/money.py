"""Money: what a run cost, by a price of electricity, of a machine's hour, or of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ...errors import InputError, did_you_mean
from ...values import Value
from ...yaml_lines import read_mapping
from ..carbon import J_PER_KWH
from ..record import Money, Record
from .yaml_table import Amount, shipped_table, validated

HOURS_PER_YEAR = 365 * 24
S_PER_HOUR = 3600

Boundary = Literal["owned", "leased", "cloud", "managed"]


class Prices(Value):
    """What is paid for a machine, in `currency` (three letters, such as EUR).

    Of one's own machine: `electricity_per_kwh` and, if it is to count, its `machine_price`, spread
    evenly over `machine_lifetime_years`. Of a rented one: `machine_per_hour`, which as a rule holds
    the electricity. What is not given is not in the cost. `year` and `source` say where the prices
    are from.
    """

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    electricity_per_kwh: Amount | None = None
    machine_per_hour: Amount | None = None
    machine_price: Amount | None = None
    machine_lifetime_years: (
        Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None
    ) = None
    year: int | None = None
    source: str = "given by the user"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        prices = (self.electricity_per_kwh, self.machine_per_hour, self.machine_price)
        if all(price is None for price in prices):
            raise ValueError(
                'give at least one of "electricity_per_kwh", "machine_per_hour", "machine_price"'
            )
        if (self.machine_price is None) != (self.machine_lifetime_years is None):
            raise ValueError('"machine_price" and "machine_lifetime_years" go together')
        return self


def load_prices(
    chosen: str | Prices | Mapping[str, Any] | None,
    *,
    place: str | None = None,
    boundary: Boundary | None = None,
) -> tuple[Prices | None, str]:
    """The prices of a machine, or None and the reason why there are none.

    `chosen` is a row of the shipped table (``aws-g5.xlarge``, ``DEU-industrial``), or the prices
    themselves, as a mapping or as the path of a YAML file with the fields of `Prices`; these
    replace the table wholly. Without it the machine is taken for one's own and the price for that
    of households at `place`, unless `boundary` says that it is rented. Nothing is converted.

    Raises `InputError` for prices that cannot be used, `StorageError` for a file that cannot be
    read.
    """
    if isinstance(chosen, Prices):
        return chosen, ""
    if isinstance(chosen, Mapping):
        return validated(Prices, chosen, "prices"), ""
    rows = shipped_table("prices", Prices)
    if chosen is not None:
        if chosen in rows:
            return rows[chosen], ""
        path = Path(chosen)
        if not path.is_file():
            raise InputError(
                f'prices "{chosen}": no such row of the shipped table and no such file'
                + did_you_mean(chosen, rows)
            )
        content = {"source": path.name, **read_mapping(path, InputError)[0]}
        return validated(Prices, content, str(path)), ""
    if boundary in ("cloud", "managed"):
        return None, f"no price of a {boundary} machine is known: set `accounting.prices`"
    if place is None:
        return None, "no price is known: set `place` or `accounting.prices`"
    row = rows.get(f"{place.strip().upper()}-household")
    if row is None:
        return None, f"no price of electricity in {place} is known: set `accounting.prices`"
    return row, ""


def money_of(record: Record, prices: Prices | None, pue: float = 1.0) -> Money | None:
    """What a run costs: its preparing, 1,000 answers, and all that it spent; None without prices.

    ``cost = energy (kWh) x PUE x electricity + hours x machine hour
    + hours x machine price / (lifetime in years x 365 x 24)``,
    of those terms whose prices are given. `prepare` is by the attributed bill, so a stage that was
    found prepared costs what making it cost. A figure is None where its energy is not known but
    electricity is paid for, and where there is no answer phase.
    """
    if prices is None:
        return None

    def cost(energy_j: float | None, duration_s: float) -> float | None:
        hours = duration_s / S_PER_HOUR
        total = hours * (prices.machine_per_hour or 0.0)
        if prices.machine_price is not None and prices.machine_lifetime_years is not None:
            total += hours * prices.machine_price / (prices.machine_lifetime_years * HOURS_PER_YEAR)
        if prices.electricity_per_kwh is not None:
            if energy_j is None:
                return None
            total += energy_j / J_PER_KWH * pue * prices.electricity_per_kwh
        return total

    answering = record.phases.get("answer")
    answers = cost(answering.energy_j, answering.duration_s) if answering else None
    if answers is not None and answering is not None:
        given = record.answers * answering.repeats  # a phase's figures are of all its repeats
        answers = answers / given * 1000 if given else None
    year = f" ({prices.year})" if prices.year is not None else ""
    return Money(
        currency=prices.currency,
        prepare=cost(record.prepare.energy_j, record.prepare.duration_s),
        answers_1000=answers,
        spent=cost(record.spent.energy_j, record.spent.duration_s),
        source=prices.source + year,
    )
