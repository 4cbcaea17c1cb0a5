"""Fold: one pass of a job's strategies over its system, and what each step made in it.

    fold of the task       rag ─▶ a stage    lora ─▶ a stage
                            │                 │
    fold of its revision   rag ─▶ kept, updated or rebuilt

The second pass pairs each step with the same step of the first, the n-th of its kind with the n-th.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from .job import Job
from .measure.bill import StageRecord
from .measure.refresh import How
from .stages import StageRef, StageStore
from .strategies import Stage, Strategy
from .strategies.base import Previous
from .system import System
from .tasks.task import Task


class Made(NamedTuple):
    """A step's stage: the System that came in, the bill, and what became of an older one."""

    strategy: Strategy
    incoming: System
    record: StageRecord
    how: How


@dataclass
class Fold:
    """What the steps of a job made so far; `older` is the fold of the task before its revision.

    `phase` is what their making is metered as.
    """

    job: Job
    older: Fold | None = None
    phase: Literal["prepare", "refresh"] = "prepare"
    made: list[Made] = field(default_factory=list)

    @property
    def task(self) -> Task:
        """What the steps may see."""
        return self.job.task.without_test()

    def revised(self) -> Fold:
        """The fold to be of the job's revised task."""
        assert self.job.revision is not None
        job = replace(self.job, task=self.job.revision, revision=None)
        return Fold(job, older=self, phase="refresh")

    def bills(self) -> list[Made]:
        """What was made, each stage once: two steps may share one."""
        first: dict[str, Made] = {}
        for made in self.made:
            first.setdefault(made.record.key, made)
        return list(first.values())

    def previous(self, strategy: Strategy, stages: StageStore) -> Previous | None:
        """What the step, which is about to be made, had made in the older fold."""
        if self.older is None:
            return None
        count = sum(made.strategy == strategy for made in self.made)
        same = [made for made in self.older.made if made.strategy == strategy]
        if len(same) <= count:
            return None
        made = same[count]
        manifest = stages.manifest(made.record.key)
        if manifest is None:
            return None
        ref = StageRef(key=made.record.key)
        stage = Stage(ref, stages.folder(ref))
        return Previous(
            system=strategy.attach(made.incoming, stage),
            folder=stage.folder,
            task=self.older.task,
            inputs=manifest.inputs,
        )
