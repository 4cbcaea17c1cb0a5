"""What a plan says: of each run of a recipe, and of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import CannotRun
from ..job import Job
from ..measure.calibration import Calibration
from ..measure.predicted import NOTHING, Expected, Predicted, PredictedPhase, total
from ..measure.record import Record
from .worth import Worth


class NotPlanned(CannotRun):
    """What can run, but is not planned: what it takes could be anything."""


NOT_KNOWN, NOT_SPENT = Predicted(), PredictedPhase(duration_s=NOTHING, energy_j=NOTHING)


@dataclass(frozen=True)
class PlannedRun:
    """A run of a recipe: `predicted` is what all of it takes, its stages at what making them costs
    or has cost. `spends` is what it would add now, in seconds and joules; `done` the record that
    makes that nothing. `shared` and `found` name its stages that another run pays, or that are
    there. `skipped` is why it cannot run or be planned, else ""; `unknown` says that it will spend
    what the plan does not know."""

    job: Job
    predicted: Predicted = NOT_KNOWN
    spends: PredictedPhase = NOT_SPENT
    done: Record | None = None
    shared: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    skipped: str = ""
    unknown: bool = False


@dataclass(frozen=True)
class Plan:
    """The runs of a recipe, by a calibration; `worth` makes grams and money of joules. What all of
    them take is None where it is not known of one that will run."""

    name: str
    runs: tuple[PlannedRun, ...]
    calibration: Calibration
    worth: Worth
    made_at: str = ""

    @property
    def spends(self) -> PredictedPhase:
        """Seconds and joules that all runs would spend now, what they share once."""
        return PredictedPhase(duration_s=self.duration_s, energy_j=self.energy_j)

    @property
    def duration_s(self) -> Expected | None:
        """Seconds of it."""
        return self._all(run.spends.duration_s for run in self.runs if not run.skipped)

    @property
    def energy_j(self) -> Expected | None:
        """Joules of it."""
        return self._all(run.spends.energy_j for run in self.runs if not run.skipped)

    def _all(self, parts: Iterable[Expected | None]) -> Expected | None:
        return None if any(run.unknown for run in self.runs) else total(parts)
