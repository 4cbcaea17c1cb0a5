"""Calibration: what an operation and a byte cost on one machine, in seconds and joules.

    seconds = operations x s_per_flop + attention's operations x s_per_attention_flop
            + bytes x s_per_byte
    joules  = seconds x watts

The coefficients are fitted, none below 0, to timed pieces of work of the real model (by
`wattune calibrate`); `spread` is how far the formula was off, by its residual standard error.
Linear, as a bound on time by operations and by bytes is (the roofline of Williams et al. 2009, doi
10.1145/1498765.1498785, with a sum in place of the larger one, which no real kernel reaches). What
a pass costs by itself is in the bytes, which grow with the layers as it does.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import InputError
from ..files import read_text, write_json
from ..values import Value
from .predicted import Expected
from .work import Costs, Tally, Work

SCHEMA_VERSION = 1
Z80 = 1.2816
"""Standard deviations on each side of 80 % of a normal distribution."""
FORMULA_SPREAD = 0.2
"""Standard deviation of the logarithm of measured over planned seconds, answer lengths given, of
the runs of benchmarks/plan.py on two virtual cores: what the pieces do not show, such as a
trainer's own doings and what a machine does otherwise in minutes than in seconds."""
WIDTH_SPREAD = 0.4
"""The same of a model with other widths than the one that was measured (from_scratch there)."""
PARTS = ("s_per_flop", "s_per_attention_flop", "s_per_byte")


def features(costs: Costs, tally: Tally) -> tuple[float, ...] | None:
    """The amounts that `PARTS` are prices of; None where operations or bytes are not known."""
    linear = _sum((tally.positions, costs.flops_per_position), (tally.heads, costs.flops_per_head))
    attention = _sum((tally.pairs, costs.flops_per_pair))
    moved = _sum(
        (tally.passes, costs.bytes_per_pass),
        (tally.positions, costs.bytes_per_position),
        (tally.cached, costs.bytes_per_cached),
        (tally.steps, costs.bytes_per_step),
    )
    if linear is None or attention is None or moved is None:
        return None
    return linear, attention, moved


def _sum(*parts: tuple[int, float | None]) -> float | None:
    whole = 0.0
    for amount, each in parts:
        if amount and each is None:
            return None
        whole += amount * (each or 0.0)
    return whole


class Rates(Value, allow_inf_nan=False):
    """What one kind of work costs here; `spread` is the standard error of the logarithm of measured
    over fitted seconds of `pieces` timed pieces, and no less than that of all kinds together.
    `watts` are None where no energy could be measured."""

    s_per_flop: float = 0.0
    s_per_attention_flop: float = 0.0
    s_per_byte: float = 0.0
    spread: float = 0.0
    pieces: int = 0
    watts: float | None = None

    @property
    def j_per_flop(self) -> float | None:
        """Joules of an operation outside of attention; None where no energy was measured."""
        return None if self.watts is None else self.watts * self.s_per_flop

    @property
    def j_per_byte(self) -> float | None:
        """Joules of a byte of weights or cache that is read; None likewise."""
        return None if self.watts is None else self.watts * self.s_per_byte

    def slowed(self, flop: float, byte: float) -> Rates:
        """The rates where an operation outside of attention and a byte take so many times as
        long."""
        update = {"s_per_flop": self.s_per_flop * flop, "s_per_byte": self.s_per_byte * byte}
        return self.model_copy(update=update)

    def seconds_of_work(self, work: Work) -> float | None:
        """Seconds of work that only its totals are known of, as a record has it: attention's
        operations count as the others. None where operations or bytes are not known."""
        if work.flops is None or work.bytes_moved is None:
            return None
        return work.flops * self.s_per_flop + work.bytes_moved * self.s_per_byte

    def seconds_of(self, costs: Costs, tally: Tally) -> float | None:
        """Seconds of some work; None where its operations are not known."""
        amounts = features(costs, tally)
        if amounts is None:
            return None
        return sum(
            amount * float(getattr(self, part)) for part, amount in zip(PARTS, amounts, strict=True)
        )

    def seconds(
        self, costs: Costs, ways: Sequence[Tally], *, other_width: bool = False
    ) -> Expected | None:
        """Seconds of some work and their 80 % range: of how it may go, the likely way first, of the
        fit, and of what no fit shows; of a model with other widths that is more."""
        found = [self.seconds_of(costs, tally) for tally in ways]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        between = Expected(likely=known[0], low=min(known), high=max(known))
        own = math.hypot(FORMULA_SPREAD, WIDTH_SPREAD) if other_width else FORMULA_SPREAD
        return between.widened(math.hypot(self.spread, own), Z80)


class Opening(Value):
    """What opening a model took: seconds of so many `weights_bytes`, and bytes of resident memory
    beside them. For each of them `held_per_byte` were held meanwhile: a file in another precision
    is read too."""

    duration_s: float
    weights_bytes: int = 0
    process_bytes: int | None = None
    held_per_byte: float = 1.0


class Habit(Value):
    """How a model answered `questions` questions: the share that ran on to the limit, and the
    median of written over gold tokens among the others."""

    questions: int
    runs_on: float
    ratio: float

    @classmethod
    def of(cls, gold: Sequence[int], written: Sequence[int], limit: int) -> Habit:
        """From the tokens of gold answers and of what was written, at most `limit`."""
        ended = [w / max(1, g) for g, w in zip(gold, written, strict=True) if w < limit]
        return cls(
            questions=len(written),
            runs_on=1 - len(ended) / len(written),
            ratio=statistics.median(ended) if ended else 1.0,
        )


class Calibration(Value):
    """What a machine was found to do, and how that is known.

    `rates` are by kind of work (answering, embedding, training_adapter, training_all), in the
    precision of `machine`; a kind that could not be tried is missing. `flops_per_s` and
    `bytes_per_s` are the machine's own, of one matrix product at a batch and at a single row.
    `s_per_saved_byte` is of a checkpoint that is written and digested. `training_process_bytes` are
    resident bytes that a training takes beside its tensors: threads, compiled kernels.
    `idle_w` is what it draws with nothing to do. `known` says by component how joules are known.
    `model` and `model_revision` are those that it was measured with, `width` the size of the
    model's hidden states; `embedder` likewise.
    """

    schema_version: int = SCHEMA_VERSION
    created_at: str = ""
    duration_s: float = 0.0
    model: str = ""
    model_revision: str = ""
    width: int = 0
    embedder: str = ""
    machine: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    flops_per_s: float | None = None
    bytes_per_s: float | None = None
    s_per_saved_byte: float = 0.0
    idle_w: float | None = None
    load_w: float | None = None
    known: dict[str, str] = {}
    rates: dict[str, Rates] = {}
    habits: dict[str, Habit] = {}
    opening: Opening | None = None
    training_process_bytes: int = 0
    contended_percent: float | None = None

    def rates_of(self, name: str) -> Rates | None:
        """The rates of a kind of work."""
        return self.rates.get(name)

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises `StorageError`."""
        write_json(path, self.plain())


def load_calibration(path: Path) -> Calibration:
    """A calibration that was written by `wattune calibrate`. Raises `InputError` for a file that is
    none, or of another schema; `StorageError` where it cannot be read."""
    try:
        content = json.loads(read_text(path))
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: a calibration of schema {SCHEMA_VERSION} is expected and this has "
                f"{version!r}; make it anew with `wattune calibrate -o {path.name}`"
            )
        return Calibration.model_validate(content)
    except (json.JSONDecodeError, ValidationError) as error:
        raise InputError(
            f"{path} is no calibration; make one with `wattune calibrate -o machine.json`"
        ) from error
