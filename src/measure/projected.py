"""Projected: that a record's costs were not measured, but reckoned for another machine or size."""

from __future__ import annotations

from ..values import Value
from .predicted import Expected

MARK = " (projected)"
"""Stands behind the name of a projected record, wherever it is told."""


class Projected(Value):
    """How the costs of a record were carried over from those of a measured one.

    `machine` is the one that was projected onto, and `parameters` the size, "" and None where they
    stayed; `of_model` and `of_machine` are those that were measured. `size` is how many times as
    large the model is. `anchored` says that what was measured is scaled; without a calibration of
    the machine that measured, figures follow from counted work alone. `measured` and `figures` hold
    what was measured and what it comes to, with its 80 % range, by the same names: "answer_j" and
    "answer_s" of an answer when all are given at once, "realtime_j" and "realtime_s" of one given
    alone, "prepare_j" and "prepare_s". Ranges are of standard deviations of the logarithm: `common`
    is what all that was projected to the same place is off by alike, `spreads` what each is off by
    itself, by phase or by the key of a stage.
    """

    machine: str = ""
    parameters: float | None = None
    of_model: str = ""
    of_machine: str = ""
    size: float = 1.0
    anchored: bool = True
    measured: dict[str, float] = {}
    figures: dict[str, Expected] = {}
    common: float = 0.0
    spreads: dict[str, float] = {}
