"""The options that say what is needed of a System, for the verbs that advise."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..advice import Needs
    from ..compare.usage import Usage


class Privacy(enum.StrEnum):
    """Where questions may be sent."""

    any = "any"
    on_premises = "on-premises"


class Licence(enum.StrEnum):
    """Which models may be taken."""

    any = "any"
    open = "open"


class Weigh(enum.StrEnum):
    """What the cheapest has least of."""

    energy = "energy"
    carbon = "carbon"
    money = "money"


MetricName = Annotated[
    str | None,
    typer.Option("--metric", help="Which quality: token_f1; default: the task's first."),
]
MaxLatency = Annotated[
    str | None, typer.Option("--max-latency-p95", help="95 % of answers within: 2s, 500ms.")
]
MaxMemory = Annotated[str | None, typer.Option("--max-memory", help="While answering: 8GB.")]
MaxEnergy = Annotated[
    str | None, typer.Option("--max-energy-per-1000", help="Of 1,000 answers: 0.5Wh.")
]
MaxCost = Annotated[str | None, typer.Option("--max-cost", help="Over the horizon: 20EUR.")]
KeptIn = Annotated[
    Privacy, typer.Option("--privacy", help="on-premises: nothing is sent to a server elsewhere.")
]
FreeToUse = Annotated[
    Licence, typer.Option("--licence", help="open: weights that are free to use and to change.")
]
Place = Annotated[
    str | None,
    typer.Option("--place", help="Whose grid grams are by; default: that of the records."),
]
WeighBy = Annotated[
    Weigh, typer.Option("--weigh", help="What the cheapest has least of, over the horizon.")
]
Together = Annotated[
    bool, typer.Option("--allow", help="Weigh together what was measured differently.")
]


def needs_of(
    usage: Usage,
    *,
    min_quality: float | None,
    metric: str | None,
    max_latency_p95: str | None,
    max_memory: str | None,
    max_energy_per_1000: str | None,
    max_cost: str | None,
    privacy: Privacy,
    licence: Licence,
    place: str | None,
    weigh: Weigh,
) -> Needs:
    """What was written on the command line, in the units of `Needs`.

    Raises `InputError` for what cannot be read, and for an unknown place.
    """
    from ..advice import Needs
    from ..advice.quantities import bytes_of, money_of, watt_hours_of
    from ..durations import seconds_of
    from ..measure.accounts.yaml_table import validated
    from ..measure.carbon import carbon_of

    carbon_of(place)  # an unknown place is told before anything is read
    cost, currency = money_of(max_cost) if max_cost else (None, None)
    content = {
        "usage": usage,
        "metric": metric,
        "min_quality": min_quality,
        "max_latency_p95_s": seconds_of(max_latency_p95) if max_latency_p95 else None,
        "max_memory_bytes": bytes_of(max_memory) if max_memory else None,
        "max_energy_wh_per_1000": (
            watt_hours_of(max_energy_per_1000) if max_energy_per_1000 else None
        ),
        "max_cost": cost,
        "currency": currency,
        "privacy": privacy.value,
        "licence": licence.value,
        "place": place,
        "weigh": weigh.value,
    }
    return validated(Needs, content, "what you need")
