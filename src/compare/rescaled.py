"""Rescaled: seconds and joules of some work, carried over to another machine or size of model.

    rescaled = measured x formula(there) / formula(here)        both machines are calibrated
    rescaled = formula(there)                                   only the other one is
    formula  = operations x s_per_flop + bytes x s_per_byte     seconds; x watts for joules

The prices are those of a calibration for that kind of work (`measure/calibration.py`). For a model
of k times as many parameters operations and bytes are k times as many: a dense transformer does 2N
operations a token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1) and reads its weights once a
pass. Embedders stay as they are. Bytes follow the precision of the other machine. Where a record
tells nothing of the work, it lies between what operations and what bytes take there for what they
take here, by the machines' own products of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..errors import CannotRun
from ..measure.calibration import FORMULA_SPREAD, Z80, Calibration, Rates
from ..measure.predicted import Expected
from ..measure.record import Bill, Record
from ..measure.work import Work

Kind = Literal["answering", "embedding", "training_adapter", "training_all"]

SIZE_SD = 0.25
"""Standard deviation of the logarithm of what scaling by parameters is off by for all runs alike,
for each time that a model is e times as large."""
SIZE_RUN_SD = 0.3
"""The same of what each run is off by itself at any other size: another model writes answers of
other lengths. Both are from benchmarks/transfer.py, four runs at 0.68 times the size, all at once
and one at a time, so they are rough: the mean of the logarithms of measured over projected was -0.1
where that of the size is -0.38, and their standard deviation around it 0.3."""
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Rescaled(NamedTuple):
    """Seconds and joules as they would be, with 80 % ranges; joules None where nothing tells them.
    `spread` is the standard deviation of the logarithm of both that is its own, not all runs'."""

    seconds: Expected
    joules: Expected | None
    spread: float

    def bill(self) -> Bill:
        """What is likely, as a bill; net of idle is not known."""
        joules = None if self.joules is None else self.joules.likely
        return Bill(energy_j=joules, duration_s=self.seconds.likely, net_energy_j=None)


class Scale:
    """From where a record was measured to a machine (None: the same one) and `size` times as large
    a model. `source` is the calibration of where it was measured, None where there is none."""

    def __init__(
        self,
        onto: Calibration | None,
        source: Calibration | None,
        size: float,
        here: dict[str, Any],
    ) -> None:
        self.onto, self.source, self.size = onto, source, size
        there = ITEM_BYTES.get(str(onto.machine.get("dtype"))) if onto else None
        own = ITEM_BYTES.get(str(here.get("dtype")))
        # As many bytes where either precision is not known.
        self._bytes = there / own if there and own else 1.0

    def work(self, work: Work, kind: Kind = "answering") -> Work:
        """The work as it would be."""
        size = self._size(kind)
        flops, moved = work.flops, work.bytes_moved
        changes: dict[str, Any] = {
            "flops": None if flops is None else flops * size,
            "bytes_moved": None if moved is None else moved * size * self._bytes,
        }
        if flops and size != 1:
            changes["flops_method"] = "expected"
        return work.model_copy(update=changes)

    def bill(
        self, was: Bill, work: Work | None, kind: Kind, *, of_weights: bool = False
    ) -> Rescaled:
        """What some work would take; `of_weights` says that it rewrites them, and so takes longer
        the more there are. Raises `CannotRun` where nothing tells it."""
        size, onto = self._size(kind), self.onto
        common, off = SIZE_SD * abs(math.log(size)), SIZE_RUN_SD if size != 1 else 0.0
        if work is not None and work.flops == 0 and not work.bytes_moved:
            if not of_weights:
                return as_it_was(was)  # the processor's own work, not a model's
            onto = None
        if onto is None:
            joules = None if was.energy_j is None else was.energy_j * size
            return _ranged(was.duration_s * size, joules, off, common)
        there = onto.rates_of(kind)
        if there is None:
            raise CannotRun(f"the calibration has no rates of {kind.replace('_', ' ')}")
        here = self.source.rates_of(kind) if self.source else None
        seconds, own = self._seconds(was.duration_s, work, kind, there, here)
        joules = None
        if there.watts is not None:
            joules = seconds * there.watts
            if was.energy_j is not None and here is not None and here.watts and was.duration_s:
                watts = was.energy_j / was.duration_s
                joules = seconds * watts * there.watts / here.watts
        return _ranged(seconds, joules, math.hypot(off, own), common)

    def _seconds(
        self, was_s: float, work: Work | None, kind: Kind, there: Rates, here: Rates | None
    ) -> tuple[float, float]:
        """Seconds there, and how unsure the two calibrations make them."""
        now = None if work is None else there.seconds_of_work(self.work(work, kind))
        before = None if work is None or here is None else here.seconds_of_work(work)
        if now and before and here is not None:
            own = 0.0 if self.onto is self.source else math.hypot(there.spread, here.spread)
            return was_s * now / before, own
        if now:
            return now, math.hypot(there.spread, FORMULA_SPREAD)
        low, high = self._bounds(kind)
        return was_s * math.sqrt(low * high), math.log(high / low) / (2 * Z80)

    def _bounds(self, kind: Kind) -> tuple[float, float]:
        """How many times as long: were it all operations, and were it all bytes."""
        onto, source, size = self.onto, self.source, self._size(kind)
        if onto is source:
            return size, size
        if onto is None or source is None:
            raise CannotRun(
                "its operations and bytes are not recorded; a calibration of the machine that "
                "measured it would bound them (--from)"
            )
        flops, moved = onto.flops_per_s, onto.bytes_per_s
        if not flops or not moved or not source.flops_per_s or not source.bytes_per_s:
            raise CannotRun("its operations are not recorded, and neither are the machines' rates")
        ends = source.flops_per_s / flops, self._bytes * source.bytes_per_s / moved
        return size * min(ends), size * max(ends)

    def _size(self, kind: Kind) -> float:
        return 1.0 if kind == "embedding" else self.size


def source_of(record: Record, candidates: Sequence[Calibration]) -> Calibration | None:
    """The calibration of the machine that measured a record: with its model before others, then
    the last one given; None where there is none of it."""
    here = _machine(record.environment, record.environment.get("machine") or {})
    model = (record.system.get("model") or {}).get("revision")
    alike = [one for one in candidates if _machine(one.environment, one.machine) == here]
    own = [one for one in alike if one.model_revision == model]
    return next(reversed(own or alike), None) if here[0] else None


def _machine(environment: Mapping[str, Any], machine: Mapping[str, Any]) -> list[Any]:
    """What of a machine decides its speed; its memory is told a little otherwise at each start."""
    facts = environment.get("hardware") or {}
    return [facts.get("cpu"), facts.get("cores_logical"), list(facts.get("gpus") or ()),
            machine.get("device"), machine.get("dtype")]  # fmt: skip


def as_it_was(bill: Bill) -> Rescaled:
    """What is taken over unchanged."""
    joules = None if bill.energy_j is None else Expected.exactly(bill.energy_j)
    return Rescaled(Expected.exactly(bill.duration_s), joules, 0.0)


def _ranged(seconds: float, joules: float | None, spread: float, common: float) -> Rescaled:
    whole = math.hypot(spread, common)
    found = None if joules is None else Expected.exactly(joules).widened(whole, Z80)
    return Rescaled(Expected.exactly(seconds).widened(whole, Z80), found, spread)
