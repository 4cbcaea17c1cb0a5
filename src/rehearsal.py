"""Rehearsal: the steps of a run folded without building anything, to find what is sure to fail.

    run         prepare = attach(system, the stage that build made)
    rehearsal   check, then prepare with stages that are only promised

A run begins with it, and `wattune validate` shows what it says: one place, one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .context_sources import ShotsSource
from .effort import Effort
from .errors import WattuneError
from .holds import no_hold
from .job import Job
from .ranks import Ranks
from .stages import StageRef
from .strategies import Context, Prompt, Stage, Strategy
from .strategies.base import no_progress
from .system import ClassicalSystem, System

NOWHERE = Path(os.devnull, "rehearsal")
"""Where promised stages would lie; nothing is ever there."""


def rehearse(job: Job) -> None:
    """Raise what the run is sure to raise, as far as that is known from its steps, their settings
    and the task. Nothing is opened, built or written."""
    task = job.task.without_test()
    before: list[Strategy] = []

    def fold(system: System, strategies: Sequence[Strategy]) -> System:
        for strategy in strategies:
            strategy.check(system, task, tuple(before))
            try:
                system = strategy.prepare(system, ctx)
            except OSError:  # what a search or a choice finds is read from its stage
                if isinstance(strategy, Prompt):
                    system = strategy.applied(system).with_source(ShotsSource(shots=()))
            before.append(strategy)
        return system

    def promised(strategy: Strategy, system: System) -> Stage:
        return Stage(StageRef(key=f"{strategy.type}-{len(before)}"), NOWHERE)

    def closed(asked: Any) -> Any:
        raise RuntimeError(f"{asked} is opened by `build` only")

    ctx = Context(
        task=task,
        seed=job.seed,
        workdir=NOWHERE,
        open=closed,
        embedder=closed,
        store=closed,
        stage=promised,
        fold=fold,
        progress=no_progress,
        details={},
        effort=Effort(NOWHERE, writes=False),
        hold=no_hold,
        ranks=Ranks(),
    )
    made = fold(job.system, job.strategies)
    if isinstance(made, ClassicalSystem):
        made.check_alone()


def refusal(job: Job) -> str:
    """Why a run will be skipped, or "" where nothing is known that speaks against it."""
    try:
        rehearse(job)
    except WattuneError as error:
        return str(error)
    return ""
