"""Budget: what may be spent, as a person writes it, and the refusal of what would exceed it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..durations import UNITS_S
from ..errors import ConstraintNotMet, InputError
from ..measure.predicted import Expected

if TYPE_CHECKING:
    from .plan import Plan

Quantity = Literal["energy_j", "duration_s", "grams", "money"]
TIMES = ("s", "min", "h", "d")
UNITS: dict[str, tuple[Quantity, float]] = {
    "J": ("energy_j", 1.0),
    "kJ": ("energy_j", 1e3),
    "MJ": ("energy_j", 1e6),
    "Wh": ("energy_j", 3.6e3),
    "kWh": ("energy_j", 3.6e6),
    "g": ("grams", 1.0),
    "kg": ("grams", 1e3),
    **{name: ("duration_s", UNITS_S[name]) for name in TIMES},
}
"""What each unit measures, in joules, grams or seconds."""
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Budget:
    """So much of one quantity; `unit` is what it was written in, of which `scale` is one."""

    amount: float
    unit: str
    quantity: Quantity
    scale: float = 1.0

    def shown(self, figure: float) -> str:
        """A figure of the quantity in the budget's own unit."""
        return f"{figure / self.scale:.3g} {self.unit}"


def budget_of(text: str) -> Budget:
    """A budget such as ``50Wh``, ``0.2 kWh``, ``30min``, ``2h``, ``12g`` or ``0.50EUR``.

    Raises `InputError` for anything else.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found:
        amount, unit = float(found[1]), found[2]
        # Letters of either size, but mJ is no MJ.
        known = {name.lower(): name for name in UNITS if unit[0] != "m" or name[0] == "m"}
        name = unit if unit in UNITS else known.get(unit.lower(), "")
        if name and math.isfinite(amount) and amount > 0:
            quantity, scale = UNITS[name]
            return Budget(amount * scale, name, quantity, scale)
        if _CURRENCY.fullmatch(unit) and amount > 0:
            return Budget(amount, unit, "money")
    raise InputError(
        f"budget {text!r}: a number above 0 and its unit are expected ({', '.join(UNITS)}, or a "
        "currency such as EUR), such as 50Wh, 30min, 12g or 0.50EUR"
    )


def check_budget(plan: Plan, budget: Budget) -> str:
    """Raise `ConstraintNotMet` where the plan is likely to exceed the budget, saying by how much;
    else what can be said of it: that it fits, or that it may not.

    Raises `InputError` where the recipe has no figures of that kind (money without prices, grams
    without a place), and `ConstraintNotMet` where the plan cannot tell: what is not known could be
    anything.
    """
    likely = _of(plan, budget)
    if likely is None:
        raise ConstraintNotMet(
            f"what the {len(plan.runs)} runs of {plan.name} would take is not known in full, so "
            f"the budget of {budget.shown(budget.amount)} cannot be kept: {_unknown(plan)}"
        )
    figure = (
        f"{budget.shown(likely.likely)} (80 % range {budget.shown(likely.low)} to "
        f"{budget.shown(likely.high)})"
    )
    if not likely.likely <= budget.amount:  # nor is what is no number within it
        over = likely.likely - budget.amount
        raise ConstraintNotMet(
            f"{plan.name} would likely take {figure}, {budget.shown(over)} more than the budget of "
            f"{budget.shown(budget.amount)}; nothing was run. Take fewer runs, a smaller slice "
            "(--quick, limit.questions), or a larger budget"
        )
    if likely.high > budget.amount:
        return (
            f"Likely within the budget of {budget.shown(budget.amount)}: {figure}; the upper end "
            "of the range exceeds it."
        )
    return f"Within the budget of {budget.shown(budget.amount)}: {figure}."


def _of(plan: Plan, budget: Budget) -> Expected | None:
    if budget.quantity == "energy_j":
        return plan.energy_j
    if budget.quantity == "duration_s":
        return plan.duration_s
    if budget.quantity == "grams":
        if plan.worth.carbon is None:
            raise InputError(
                "a budget in grams needs a grid: set `place` or `intensity_g_per_kwh` in the recipe"
            )
        return plan.worth.grams(plan.spends)
    if plan.worth.currency != budget.unit:
        has = plan.worth.currency
        raise InputError(
            f"a budget in {budget.unit} needs prices in {budget.unit}: set `accounting.prices`"
            + (f"; the recipe's are in {has}, and nothing is converted" if has else "")
        )
    return plan.worth.money(plan.spends)


def _unknown(plan: Plan) -> str:
    """Which runs are not known."""
    names = [
        run.job.name
        for run in plan.runs
        if run.unknown
        or (not run.skipped and (run.spends.energy_j is None or run.spends.duration_s is None))
    ]
    return f"{', '.join(dict.fromkeys(names)) or 'none'} cannot be reckoned"
