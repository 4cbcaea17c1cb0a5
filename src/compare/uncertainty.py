"""How sure joules are: draws of what a run's energies might have been, had all been done again.

Three things make a figure other than it is, and each is drawn as far as a Record tells of it:

- **the measurement**: the same work measured again takes other joules (`REPEAT_SD`). What was
  measured once is drawn once: two runs that share a training share its draw, so that it cancels
  between them, as it should.
- **the questions**: other questions take other joules. One at a time, a question's share of the
  phase's joules is taken for its share of the seconds (power hardly changes from one answer to the
  next), and questions are drawn again. A batch has no figure by question in a Record; there the
  questions that were also asked one at a time stand for how unlike they are, drawn as often as the
  batch has answers. Where none were asked so, questions are not drawn. Runs that were asked the
  same number share the draws, so that a hard question is hard for both. (The tokens of each answer
  stand in the answers file beside a Record. Comparing reads Records only, so that whoever has a
  Record has all that a figure is from.)
- **the seed**, where there are several: they are drawn again.

Figures that were projected (`transfer.py`) are drawn wider, by what a projection may be off: once
for what all runs share, and for each by itself.

Not in any draw: what all runs of a machine have in common, such as a model of power that is wrong
by half, and a machine that was busy with other things. The first hardly changes which run takes
less.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..measure.record import Record, StageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws: TypeAlias = NDArray[np.float64]

Serving = Literal["batch", "realtime"]

REPEAT_SD = 0.05
"""Relative standard deviation of the joules of the same work, measured again on the same machine.

Of zero-shot, few-shot and rag (100 questions of the quickstart), measured five times on two virtual
cores with nothing else to do (2026-11): between two runs of one session the ratio of joules varies
by 6.2 and 7.3 %, over the square root of 2 some 5 % for each. From one session to another the level
of a run varies by 2.6 to 9.9 %, more than this says, which cancels between runs of one session. It
leaves out a busy machine, of which no interval tells."""

DRAWS = 1000
"""Enough for the ends of a 95 % interval: Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, section 13.3."""


def answer_draws(records: Sequence[Record], serving: Serving) -> Draws | None:
    """Joules of one answer, (DRAWS,); None where a record does not have them."""

    def one(record: Record) -> Draws | None:
        joules = answer_j(record, serving)
        if joules is None:
            return None
        unsure = _unsure(record, "answer" if serving == "batch" else serving)
        noise = _noise(_once(record, serving), unsure) * _projection(record)
        return joules * noise * _questions(record, serving)

    return _over_seeds(records, one)


def prepare_draws(records: Sequence[Record]) -> Draws | None:
    """Joules of preparing once, (DRAWS,); None where a record does not have them."""

    def one(record: Record) -> Draws | None:
        return _bill(record, record.prepare.energy_j, record.stages, "prepare")

    return _over_seeds(records, one)


def refresh_draws(records: Sequence[Record]) -> Draws | None:
    """Joules of the refresh that was measured, (DRAWS,); None where a record holds none."""

    def one(record: Record) -> Draws | None:
        found = record.refresh
        if found is None:
            return None
        made = [stage for stage in found.stages if stage.how != "kept"]
        return _bill(record, found.attributed.energy_j, made, "refresh")

    return _over_seeds(records, one)


def answer_j(record: Record, serving: Serving) -> float | None:
    """Joules of one answer: of the phase in which all were given at once, over their number; or of
    those that were given one at a time."""
    if serving == "realtime":
        return record.realtime.energy_j_per_answer if record.realtime else None
    phase = record.phases.get("answer")
    if phase is None or phase.energy_j is None or not record.answers:
        return None
    return phase.energy_j / record.answers


def interval(draws: Draws) -> tuple[float, float]:
    """The ends of the middle 95 % of the draws, by rank: some may be infinite, and between a number
    and infinity there is nothing to interpolate."""
    import numpy as np

    ordered = np.sort(draws)
    cut = int(0.025 * len(ordered))
    return float(ordered[cut]), float(ordered[-1 - cut])


def _bill(
    record: Record, joules: float | None, stages: Sequence[StageRecord], what: str
) -> Draws | None:
    """A bill, drawn by its stages: each was measured once, for all runs that share it."""
    import numpy as np

    if joules is None:
        return None
    drawn: Draws = np.zeros(DRAWS)
    rest = joules
    for stage in stages:
        own = stage.attributed.energy_j
        if own:
            drawn += own * _noise(f"{stage.key} {own}", _unsure(record, stage.key))
            rest -= own
    if abs(rest) > 1e-6 * abs(joules):  # a record that does not list its stages
        drawn += rest * _noise(_once(record, what))
    return drawn * _projection(record)


def _over_seeds(records: Sequence[Record], of: Callable[[Record], Draws | None]) -> Draws | None:
    """The mean over the seeds, which are drawn again where there are several."""
    import numpy as np

    ordered = sorted(records, key=lambda record: (record.seed, _once(record, "")))
    known = [draws for record in ordered if (draws := of(record)) is not None]
    if not known or len(known) < len(ordered):
        return None
    if len(known) == 1:
        return known[0]
    generator = _generator(" ".join(_once(record, "") for record in ordered))
    counts = generator.multinomial(len(known), [1 / len(known)] * len(known), size=DRAWS)
    mean: Draws = np.einsum("dk,kd->d", counts, np.stack(known)) / len(known)
    return mean


def _once(record: Record, what: str) -> str:
    """What names one measurement: the run, when it was made, and what of it."""
    return f"{record.name} {record.key} {record.created_at} {what}"


def _generator(name: str) -> np.random.Generator:
    """One for each name, the same on every machine and in every order."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _unsure(record: Record, what: str) -> float:
    """How unsure a projection made the joules of a phase, or of a stage by its key: the standard
    deviation of their logarithm; 0 for what was measured."""
    return record.projected.spreads.get(what, 0.0) if record.projected else 0.0


def _projection(record: Record) -> Draws | float:
    """Factors by which all that was projected to the same place may be off alike, (DRAWS,): they
    cancel between two runs of it. 1 for what was measured."""
    import numpy as np

    found = record.projected
    if found is None or not found.common:
        return 1.0
    drawn: Draws = _generator(f"{found.machine} {found.parameters}").standard_normal(DRAWS)
    return np.exp(found.common * drawn)


@lru_cache(maxsize=512)
def _noise(measurement: str, unsure: float = 0.0) -> Draws:
    """Factors by which a measurement might have come out otherwise, (DRAWS,), and one that was
    projected, by a standard deviation of `unsure` more."""
    import numpy as np

    spread = math.hypot(REPEAT_SD, unsure)
    drawn: Draws = np.exp(spread * _generator(measurement).standard_normal(DRAWS))
    return drawn


def _questions(record: Record, serving: Serving) -> Draws | float:
    """Factors by which other questions would have taken more or less, (DRAWS,); 1 where nothing is
    known of single questions."""
    import numpy as np

    waits = np.asarray(record.realtime.latency_s if record.realtime else (), dtype=np.float64)
    if len(waits) < 2 or not np.isfinite(waits).all() or waits.sum() <= 0:
        return 1.0
    size = len(waits) if serving == "realtime" else record.answers
    factors: Draws = _counts(len(waits), size) @ waits / (size * waits.mean())
    return factors


@lru_cache(maxsize=16)
def _counts(questions: int, size: int) -> Draws:
    """How often each question is drawn when `size` are, (DRAWS, questions)."""
    import numpy as np

    generator = np.random.default_rng(0)
    return generator.multinomial(size, [1 / questions] * questions, size=DRAWS).astype(np.float64)
