"""A time of use for other tools: the winner, what would change it, and the pairs, as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .break_even import BreakEven
from .export import plain_rows
from .lifecycle import Estimate, LifeCycle
from .sensitivity import Sensitivity
from .use_notes import sentences

if TYPE_CHECKING:
    from .table import Comparison


def plain_comparison(comparison: Comparison) -> list[dict[str, Any]] | dict[str, Any]:
    """A comparison as JSON: its rows; with a usage an object that holds them as `runs`, the
    `usage`, and by cost group the winner, what would change it, and the break-evens.

    What is not known is null, and so is an end of an interval that is infinite (never).
    """
    rows = plain_rows(comparison)
    if comparison.usage is None:
        return rows
    groups = [
        {
            "group": use.name,
            **_winner(use.sensitivity),
            "sentences": sentences(use.sensitivity, use.name),
            "break_even": [_pair(pair) for pair in use.break_evens],
        }
        for use in comparison.uses
    ]
    return {
        "usage": comparison.usage.plain(),
        "min_quality": comparison.min_quality,
        "runs": rows,
        "groups": groups,
    }


def _winner(found: Sensitivity) -> dict[str, Any]:
    return {
        "metric": found.metric,
        "winner": _label(found.winner) if found.winner else None,
        "not_distinguishable": [_label(cycle) for cycle in found.close],
        "good_enough": [_label(cycle) for cycle in found.good_enough],
        "changes": [
            {
                "input": change.input,
                "value": change.value,
                "direction": "above" if change.above else "below",
                "winner": _label(change.winner),
            }
            for change in found.changes
        ],
        "steady": list(found.steady),
        "unclear": {name: [_label(c) for c in of] for name, of in (found.unclear or {}).items()},
    }


def _pair(pair: BreakEven) -> dict[str, Any]:
    return {
        "dearer_to_prepare": pair.dearer_to_prepare.label,
        "cheaper_to_prepare": pair.cheaper_to_prepare.label,
        "word": pair.word,
        "answers": _plain(pair.answers),
        "saving_j_per_answer": _plain(pair.saving_j_per_answer),
    }


def _plain(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: end if math.isfinite(end) else None for name, end in ends.items()}


def _label(cycle: LifeCycle) -> str:
    return cycle.costs.row.label
