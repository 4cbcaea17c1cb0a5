"""Builder: folds the strategies of a job over its system, building the stages that are missing."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .answering.pool import Pool
from .answering.session import Session
from .files import folder_bytes
from .job import Job
from .machine import machine, software
from .measure.memory import release_memory
from .measure.meter import Meter
from .measure.record import Bill, Phase, StageRecord
from .stages import StageManifest, StageRef, StageStore
from .strategies import Context, Progress, Stage, Strategy
from .system import System
from .values import digest


class Builder:
    """Builds each stage once, metered as "prepare", for all jobs that need it."""

    def __init__(self, meter: Meter, pool: Pool, stages: StageStore, progress: Progress) -> None:
        self.meter, self.pool, self.stages, self.progress = meter, pool, stages, progress

    def prepare(self, job: Job) -> tuple[System, list[StageRecord]]:
        """Fold the job's strategies over its system, building the stages that are missing."""
        bills: list[StageRecord] = []
        ctx = self._context(job, bills)
        return ctx.fold(job.system, job.strategies), bills

    def _context(self, job: Job, bills: list[StageRecord]) -> Context:
        def fold(system: System, strategies: Sequence[Strategy]) -> System:
            for strategy in strategies:
                system = strategy.prepare(system, ctx)
            return system

        def stage(strategy: Strategy, system: System) -> Stage:
            return self._stage(strategy, system, job, ctx, bills)

        ctx = Context(
            task=job.task.without_test(),
            seed=job.seed,
            workdir=self.stages.root,
            open=lambda system: Session(system, self.pool),
            embedder=self.pool.embedder,
            stage=stage,
            fold=fold,
            progress=self.progress,
            details={},
        )
        return ctx

    def _stage(
        self,
        strategy: Strategy,
        system: System,
        job: Job,
        ctx: Context,
        bills: list[StageRecord],
    ) -> Stage:
        inputs = _inputs(strategy, system, job)
        key = digest(inputs)
        manifest, spent = self.stages.manifest(key), Bill()
        reused = manifest is not None
        if manifest is None:
            with self.stages.building(key) as partial:
                if partial is not None:
                    manifest, spent = self._build(strategy, system, ctx, key, inputs, partial)
            if manifest is None:  # another process finished it while this one waited
                manifest, reused = self.stages.manifest(key), True
            assert manifest is not None
        if all(bill.key != key for bill in bills):  # two steps may share a stage: one bill
            bills.append(
                StageRecord(
                    strategy=strategy.type,
                    key=key,
                    reused=reused,
                    spent=spent,
                    attributed=manifest.bill,
                    work=manifest.work,
                    peak_memory_bytes=manifest.peak_memory_bytes,
                    artefact_bytes=manifest.artefact_bytes,
                    details=manifest.details,
                )
            )
        ref = StageRef(key=key)
        return Stage(ref, self.stages.folder(ref))

    def _build(
        self,
        strategy: Strategy,
        system: System,
        ctx: Context,
        key: str,
        inputs: dict[str, Any],
        partial: Path,
    ) -> tuple[StageManifest, Bill]:
        """The finished stage, and what making it took now: its bill is that, and what replies from
        the cache first cost."""
        details: dict[str, Any] = {}
        strategy.warm_up(system, ctx)
        release_memory()
        mark = self.pool.mark()
        with self.meter.phase("prepare") as phase:
            strategy.build(system, replace(ctx, workdir=partial, details=details))
        measured = self.pool.with_endpoints(phase.result, mark)
        recalled = self.pool.recalled_since(mark)
        if recalled.replies:
            details["cached_replies"] = recalled.replies
        work = self.pool.work_since(mark) + recalled.work
        manifest = self.stages.finish(
            partial,
            StageManifest(
                key=key,
                strategy=strategy.type,
                inputs=inputs,
                bill=bill_of([recalled.added_to(measured)]),
                work=work.model_copy(update={"bytes_stored": folder_bytes(partial)}),
                peak_memory_bytes=phase.result.peak_memory_bytes,
                details=details,
                created_at=now(),
            ),
        )
        return manifest, bill_of([measured])


def _inputs(strategy: Strategy, system: System, job: Job) -> dict[str, Any]:
    """All that determines a stage, by what the strategy says it reads."""
    settings = strategy.identity()
    if strategy.settings_that_build is not None:
        settings = {k: v for k, v in settings.items() if k in strategy.settings_that_build}
    inputs: dict[str, Any] = {
        "strategy": strategy.type,
        "version": strategy.version,
        "settings": settings,
        "software": software(),
    }
    for part in sorted(strategy.depends_on()):
        if part == "system":  # how answers are written changes nothing that is built
            inputs["system"] = {k: v for k, v in system.identity().items() if k != "decoding"}
            if (bound := system.decoding.context_tokens) is not None:  # but what is read does
                inputs["context_tokens"] = bound
        elif part == "decoding":
            inputs["decoding"] = system.decoding.plain()
        elif part == "seed":
            inputs["seed"] = job.seed
        elif part == "scoring":
            inputs["scoring"] = [job.scorer, *job.task.metrics]
        elif part == "machine":
            inputs["machine"] = machine()
        else:
            inputs[part] = job.task.part_digest(part)
    return inputs


def bill_of(phases: Sequence[Phase]) -> Bill:
    """What several stretches of work cost together."""
    return sum(
        (
            Bill(
                energy_j=phase.energy_j,
                duration_s=phase.duration_s,
                net_energy_j=phase.net_energy_j,
            )
            for phase in phases
        ),
        Bill(),
    )


def now() -> str:
    """The time, as records hold it: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
