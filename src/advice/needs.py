"""Needs: how a System will be used, and what it must hold to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..compare.usage import Usage
from ..compare.wording import number, span
from ..values import Value
from .wording import at_least, energy, often

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weigh = Literal["energy", "carbon", "money"]


class Needs(Value):
    """What is asked of the System that is to be chosen; None asks nothing.

    `usage` says how many answers, for how long, how often refreshed and how served.
    `min_quality` is the floor of `metric` (the task's first where none is named), a ceiling where
    lower is better. `max_latency_p95_s` bounds what 95 % of people wait, one at a time.
    `max_memory_bytes` bounds the peak while answering, `max_energy_wh_per_1000` the watt-hours of
    1,000 answers, served as `usage` says. `max_cost` bounds the money over the horizon, in the
    records' currency, or in `currency` where it is named. `privacy` "on-premises" refuses what is
    sent to a server elsewhere, `licence` "open" models that are not free to use. `place` is whose
    grid grams are by, that of the records where None. `weigh` is what is cheap: energy, carbon
    or money over the horizon.
    """

    usage: Usage
    metric: str | None = None
    min_quality: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max_latency_p95_s: Positive | None = None
    max_memory_bytes: Positive | None = None
    max_energy_wh_per_1000: Limit | None = None
    max_cost: Limit | None = None
    currency: str | None = None
    privacy: Literal["any", "on-premises"] = "any"
    licence: Literal["any", "open"] = "any"
    place: str | None = None
    weigh: Weigh = "energy"

    def sentence(self, metric: str) -> str:
        """What is asked, for a person; `metric` is the metric's name as tables show it."""
        usage = self.usage
        parts = [f"{number(usage.answers_per_day)} answers a day for {span(usage.horizon_days)}"]
        parts.append(
            f"updated {often(usage.refreshes_per_year)}"
            if usage.refreshes_per_year
            else "never updated"
        )
        if usage.serving == "realtime":
            parts.append("answered one at a time")
        if usage.cached_share:
            parts.append(f"{number(100 * usage.cached_share)} % of them from a cache")
        if usage.idle_hours_per_day:
            parts.append(f"{number(usage.idle_hours_per_day)} hours a day waiting")
        if self.min_quality is not None:
            way = at_least(self.metric) if self.metric else "at least"
            parts.append(f"{metric} {way} {self.min_quality:g}")
        if self.max_latency_p95_s is not None:
            parts.append(f"95 % of answers within {number(self.max_latency_p95_s)} s")
        if self.max_memory_bytes is not None:
            parts.append(f"at most {number(self.max_memory_bytes / 1e9)} GB of memory")
        if self.max_energy_wh_per_1000 is not None:
            parts.append(f"at most {energy(self.max_energy_wh_per_1000)} for 1,000 answers")
        if self.max_cost is not None:
            parts.append(f"at most {number(self.max_cost)} {self.currency or 'in money'}".rstrip())
        if self.privacy == "on-premises":
            parts.append("on premises")
        if self.licence == "open":
            parts.append("an open licence")
        if self.place is not None:
            parts.append(f"on the grid of {self.place.upper()}")
        return f"Asked: {'; '.join(parts)}. Cheapest means the least {self.weigh}."
