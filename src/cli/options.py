"""Options that would change nothing are refused, not passed over in silence."""

from __future__ import annotations

import click
from click.core import ParameterSource

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


def refuse(case: str, *names: str) -> None:
    """Raise `InputError` where one of the parameters was given on the command line.

    `case` says when they would change nothing: ``with --frugal``, ``without --baseline``.
    """
    context = click.get_current_context(silent=True)
    if context is None:  # called as a function
        return
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in names and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"{parameter.opts[0]} changes nothing {case}; leave it out")
