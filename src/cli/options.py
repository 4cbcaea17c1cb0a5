"""Options that would change nothing are refused, not passed over in silence."""

from __future__ import annotations

import typer

from ..errors import InputError

USAGE = (
    "answers_per_day", "horizon", "refresh", "refresh_costs", "serving", "cached_share",
    "idle_hours",
)  # fmt: skip
NEEDS = (
    "min_quality", "metric", "max_latency_p95", "max_memory", "max_energy_per_1000", "max_cost",
    "privacy", "licence", "place", "weigh",
)  # fmt: skip
"""Names of parameters, as the verbs have them."""


def refuse(context: typer.Context, case: str, *names: str) -> None:
    """Raise `InputError` where one of the parameters was given on the command line.

    `case` says when they would change nothing: ``with --frugal``, ``without --baseline``.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{parameter.opts[0]} changes nothing {case}; leave it out")
