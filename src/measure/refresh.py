"""Refresh: what it costs to bring a prepared System up to date, and how good it is then."""

from __future__ import annotations

from typing import Literal

from ..values import Value
from .bill import Bill, StageRecord
from .score import Score

How = Literal["kept", "updated", "rebuilt"]
"""What became of a stage when the task was revised. kept: nothing that it reads changed; updated:
made from the older one; rebuilt: made anew."""


class RefreshedStage(StageRecord):
    """A stage of the revised task. One that was kept costs nothing, whatever it once cost."""

    how: How


class Refresh(Value):
    """A run's System brought up to date with its task's revision, and asked again.

    `attributed` is what the stages that are not kept cost when they were made, `spent` what this
    run paid for them. `changed` and `unchanged` are scores of the refreshed System by metric, on
    the questions that the revision brings or touches and on the rest. `stale` and `before` are
    those of the System as it was: on the changed questions, which shows why to refresh, and on
    those of the rest that it was asked.
    """

    version: str
    fingerprint: str
    questions_changed: int
    questions_unchanged: int
    stages: tuple[RefreshedStage, ...] = ()
    attributed: Bill = Bill()
    spent: Bill = Bill()
    changed: dict[str, Score] = {}
    unchanged: dict[str, Score] = {}
    stale: dict[str, Score] = {}
    before: dict[str, Score] = {}
