"""A calibration on paper."""

from __future__ import annotations

from ..compare.layout import Table
from ..measure.calibration import Calibration, Rates

NAMES = {
    "answering": "reading and writing",
    "embedding": "embedding",
    "training_adapter": "training an adapter",
    "training_all": "training all weights",
}


def calibration_tables(made: Calibration) -> list[Table]:
    """What each kind of work costs: a thousand million operations and bytes."""
    rows = tuple(
        (
            NAMES.get(name, name),
            f"{rates.s_per_flop * 1e12:.3g}",
            _joules(rates, rates.s_per_flop * 1e12),
            f"{rates.s_per_byte * 1e9:.3g}",
            _joules(rates, rates.s_per_byte * 1e9),
            "–" if rates.watts is None else f"{rates.watts:.1f}",
            f"{rates.spread:.0%}",
            str(rates.pieces),
        )
        for name, rates in made.rates.items()
    )
    heads = (
        "work",
        "s per\nTFLOP",
        "J per\nTFLOP",
        "s per\nGB",
        "J per\nGB",
        "W",
        "spread",
        "pieces",
    )
    return [Table("What an operation and a byte cost here", heads, rows)]


def calibration_notes(made: Calibration) -> list[str]:
    """The machine's own rates, its watts and how they are known, and the model's habits."""
    notes = []
    if made.flops_per_s is not None and made.bytes_per_s is not None:
        notes.append(
            f"Matrix products: {made.flops_per_s / 1e9:,.0f} GFLOP/s at a batch, "
            f"{made.bytes_per_s / 1e9:.1f} GB/s of weights at a single row."
        )
    idle = "unknown" if made.idle_w is None else f"{made.idle_w:.1f} W"
    load = "unknown" if made.load_w is None else f"{made.load_w:.1f} W"
    known = ", ".join(f"{name} {how}" for name, how in sorted(made.known.items())) or "unknown"
    notes.append(f"Idle {idle}, under load {load} ({known}).")
    for name, habit in made.habits.items():
        asked = "with worked examples" if name == "shots" else "asked plainly"
        notes.append(
            f"{made.model} {asked}: of {habit.questions} answers {habit.runs_on:.0%} ran on to the "
            f"limit, the others were {habit.ratio:.2g} times as long as the gold answers."
        )
    if (made.contended_percent or 0) > 10:
        notes.append(
            f"The machine was {made.contended_percent:.0f} % busy before: measure again when it is "
            "idle (--fresh)."
        )
    return notes


def _joules(rates: Rates, seconds: float) -> str:
    return "–" if rates.watts is None else f"{rates.watts * seconds:.3g}"
