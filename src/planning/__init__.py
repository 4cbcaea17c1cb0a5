"""Planning: what a recipe will take, before anything is spent.

recipe ─▶ runs ─▶ each folded and asked as it would be, by models without weights ─▶ tallies
a few seconds of the real model ─▶ Calibration: seconds and joules of an operation, of a byte
tallies x calibration ─▶ tokens, operations, memory, seconds, joules, grams, money, with ranges
"""

from __future__ import annotations

from ..measure.calibration import Calibration
from .measuring import calibrate
from .plan import Plan, PlannedRun, plan_recipe

__all__ = ["Calibration", "Plan", "PlannedRun", "calibrate", "plan_recipe"]
