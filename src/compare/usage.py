"""Usage: how a System would be used, which its life cycle and its break-evens depend on."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from ..durations import DAY_S, YEAR_DAYS
from ..errors import InputError
from ..values import Value

HOUR_S = 3600.0


class Usage(Value):
    """How a System would be used.

    `answers_per_day` (0 or more) are those that people get; of them `cached_share` (0 to 1) comes
    from a cache and takes nothing. `serving` says which measured joules the others take: all
    questions at once, or one at a time. `refreshes_per_year` (0 or more) bring it up to date with
    new knowledge; `refresh_costs` "measured" takes what the Record holds of a refresh, "prepare"
    assumes that one costs as much as preparing anew. `idle_hours_per_day` (0 to 24) the machine is
    kept waiting, at the watts of its baseline. All of it lasts `horizon_days` (more than 0).

    Raises `InputError` for a figure outside of its bounds.
    """

    answers_per_day: float
    horizon_days: float = YEAR_DAYS
    refreshes_per_year: float = 0
    serving: Literal["batch", "realtime"] = "batch"
    cached_share: float = 0
    idle_hours_per_day: float = 0
    refresh_costs: Literal["measured", "prepare"] = "measured"

    @model_validator(mode="after")
    def _within_bounds(self) -> Usage:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most or math.isinf(value):
                bound = "0 or more" if math.isinf(most) else f"from 0 to {most:g}"
                raise InputError(f"{name} {value:g}: a number {bound} is expected")
        if self.horizon_days == 0:
            raise InputError("horizon_days 0: a number of days above 0 is expected")
        return self

    @property
    def answers(self) -> float:
        """Answers over the horizon, those from the cache included."""
        return self.answers_per_day * self.horizon_days

    @property
    def worked_out(self) -> float:
        """Answers over the horizon that do not come from the cache."""
        return self.answers * (1 - self.cached_share)

    @property
    def refreshes(self) -> float:
        """Refreshes over the horizon: a rate times time, so not always a whole number."""
        return self.refreshes_per_year * self.horizon_days / YEAR_DAYS

    @property
    def idle_s(self) -> float:
        """Seconds of waiting over the horizon."""
        return self.idle_hours_per_day * HOUR_S * self.horizon_days


_MOST = {
    "answers_per_day": math.inf,
    "horizon_days": math.inf,
    "refreshes_per_year": math.inf,
    "cached_share": 1.0,
    "idle_hours_per_day": DAY_S / HOUR_S,
}
