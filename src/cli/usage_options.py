"""The options that say how a System would be used, for the verbs that reckon with it."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..compare.usage import Usage


class Serving(enum.StrEnum):
    """Which measured joules an answer takes."""

    batch = "batch"
    realtime = "realtime"


class RefreshCosts(enum.StrEnum):
    """What a refresh is taken to cost."""

    measured = "measured"
    prepare = "prepare"


class Boundary(enum.StrEnum):
    """Whose machine it was, which decides the scope of its emissions."""

    owned = "owned"
    leased = "leased"
    cloud = "cloud"
    managed = "managed"


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number that anything could reach")
    return value


YEAR = "1y"
"""How long a System is used, where nobody says."""

AnswersPerDay = Annotated[
    float | None,
    typer.Option("--answers-per-day", help="How many answers people get in a day."),
]
Horizon = Annotated[
    str | None, typer.Option("--horizon", help="How long it is used, such as 90d; default: 1y.")
]
Refresh = Annotated[
    str | None,
    typer.Option("--refresh", help="How often a year, or weekly, monthly; default: never."),
]
RefreshAt = Annotated[
    RefreshCosts | None,
    typer.Option("--refresh-costs", help="A refresh as measured (default), or as preparing anew."),
]
ServedAs = Annotated[
    Serving | None,
    typer.Option("--serving", help="All at once (batch, the default), or one at a time."),
]
CachedShare = Annotated[
    float | None, typer.Option("--cached-share", help="Share of answers from a cache, 0 to 1.")
]
IdleHours = Annotated[
    float | None, typer.Option("--idle-hours", help="Hours a day that the machine is kept waiting.")
]
MinQuality = Annotated[
    float | None,
    typer.Option(
        "--min-quality",
        callback=_finite,
        help="What the first metric must reach to be good enough.",
    ),
]


def usage_of(
    answers_per_day: float | None,
    *,
    horizon: str | None = None,
    refresh: str | None = None,
    refresh_costs: RefreshCosts | None = None,
    serving: Serving | None = None,
    cached_share: float | None = None,
    idle_hours: float | None = None,
) -> Usage | None:
    """The usage that was asked for, None without answers a day.

    Raises `InputError` for a figure outside of its bounds, and for another option without answers a
    day: it would change nothing.
    """
    from ..compare.usage import Usage
    from ..durations import DAY_S, seconds_of, times_per_year

    given = {
        "--horizon": horizon,
        "--refresh": refresh,
        "--refresh-costs": refresh_costs,
        "--serving": serving,
        "--cached-share": cached_share,
        "--idle-hours": idle_hours,
    }
    if answers_per_day is None:
        alone = next((option for option, value in given.items() if value is not None), None)
        if alone is not None:
            raise InputError(f"{alone} needs --answers-per-day: how many answers people would ask")
        return None
    return Usage(
        answers_per_day=answers_per_day,
        horizon_days=seconds_of(horizon or YEAR) / DAY_S,
        refreshes_per_year=times_per_year(refresh or "never"),
        serving=(serving or Serving.batch).value,
        cached_share=cached_share or 0.0,
        idle_hours_per_day=idle_hours or 0.0,
        refresh_costs=(refresh_costs or RefreshCosts.measured).value,
    )
