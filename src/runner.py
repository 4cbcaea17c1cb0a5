"""Runner: folds the strategies of a job, meters its phases, scores it and keeps the Record."""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .errors import StorageError, WattuneError
from .job import Job, machine, software, spread
from .measure.environment import environment
from .measure.memory import release_memory
from .measure.meter import Meter, add_phases
from .measure.record import Bill, Phase, Record, ScoredAnswer, StageRecord, Work
from .measure.store import find_record, write_record
from .scoring import quality_of, reference_scores, score_example
from .session import Pool
from .stages import StageManifest, StageStore
from .strategies import Context, Progress, Stage, Strategy
from .strategies.base import no_progress
from .system import StageRef, System
from .values import digest


class Runner:
    """Runs jobs with one meter, one pool of open models and one store of stages."""

    def __init__(
        self,
        *,
        meter: Meter,
        records: Path | None = None,
        stages: StageStore | None = None,
        progress: Progress = no_progress,
        debug: bool = False,
    ) -> None:
        self.meter, self.records, self.progress = meter, records, progress
        self.debug = debug
        self.stages = stages or StageStore()
        self.pool = Pool(self.stages, meter)

    def run(self, job: Job) -> tuple[Record, bool]:
        """The Record of a job, and whether it was found finished."""
        if self.records is not None:
            known = find_record(self.records, job.name, job.key)
            if known is not None:
                return known.model_copy(update={"carbon": self.meter.carbon}), True
        started = time.perf_counter()
        self.pool.seed = job.seed
        try:
            record, answers = self._measure(job)
        except StorageError:
            raise  # a full disk concerns all runs
        except WattuneError as error:
            record, answers = self._blank(job, status="skipped", reason=str(error)), []
        except Exception as error:
            if self.debug:
                raise
            reason = f"{type(error).__name__}: {error} (--debug shows where)"
            record, answers = self._blank(job, status="failed", reason=reason), []
        self.progress(job.name, 1, 1)
        wall = {"wall_s": round(time.perf_counter() - started, 3)}
        record = record.model_copy(update={"environment": {**record.environment, **wall}})
        if self.records is not None:
            write_record(self.records, record, answers)
        return record, False

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
            open=self.pool.open,
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
        manifest = self.stages.manifest(key)
        reused = manifest is not None
        if manifest is None:
            with self.stages.building(key) as partial:
                if partial is not None:
                    manifest = self._build(strategy, system, ctx, key, inputs, partial)
            if manifest is None:  # another process finished it while this one waited
                manifest, reused = self.stages.manifest(key), True
            assert manifest is not None
        bills.append(
            StageRecord(
                strategy=strategy.type,
                key=key,
                reused=reused,
                spent=Bill() if reused else manifest.bill,
                attributed=manifest.bill,
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
    ) -> StageManifest:
        details: dict[str, Any] = {}
        strategy.warm_up(ctx)
        release_memory()
        with self.meter.phase("prepare") as phase:
            strategy.build(system, replace(ctx, workdir=partial, details=details))
        return self.stages.finish(
            partial,
            StageManifest(
                key=key,
                strategy=strategy.type,
                inputs=inputs,
                bill=_bill([phase.result]),
                peak_memory_bytes=phase.result.peak_memory_bytes,
                details=details,
                created_at=_now(),
            ),
        )

    def _measure(self, job: Job) -> tuple[Record, list[ScoredAnswer]]:
        examples = job.task.split(job.split)
        opened_before = dict(self.pool.loads)
        system, bills = self.prepare(job)
        session = self.pool.open(system)
        session.load()
        loads = self.pool.loads_of(system)
        new_loads = [p for k, p in self.pool.loads.items() if opened_before.get(k) is not p]
        with self.meter.phase("answer") as answering:
            answers = session.answer(
                examples, lambda done, of: self.progress(f"{job.name}: answering", done, of)
            )
        waits: list[float] = []
        with self.meter.phase("latency") as single:
            for example in spread(examples, job.latency_questions):
                before = time.perf_counter()
                session.answer([example])
                waits.append(time.perf_counter() - before)
        phases = {"load": add_phases(loads), "answer": answering.result}
        if waits:
            phases["latency"] = single.result
        scored = [
            score_example(e, a, job.task.metrics) for e, a in zip(examples, answers, strict=True)
        ]
        prepare = sum((bill.attributed for bill in bills), Bill())
        spent = sum((bill.spent for bill in bills), _bill(new_loads))
        spent = spent + _bill([answering.result, *([single.result] if waits else [])])
        record = self._blank(job, status="done").model_copy(
            update={
                "system": system.plain(),
                "stages": tuple(bills),
                "phases": phases,
                "prepare": prepare,
                "spent": spent,
                "answers": len(scored),
                **quality_of(scored, job.task.metrics),
                "work": {
                    "answer": Work(
                        tokens_in=sum(answer.tokens_in for answer in scored),
                        tokens_out=sum(answer.tokens_out for answer in scored),
                    )
                },
                "latency_s": statistics.median(waits) if waits else None,
                "artefact_bytes": sum(bill.artefact_bytes for bill in bills),
            }
        )
        return record, scored

    def _blank(self, job: Job, *, status: str, reason: str = "") -> Record:
        examples = job.task.split(job.split)
        return Record.model_validate(
            {
                "name": job.name,
                "key": job.key,
                "status": status,
                "reason": reason,
                "created_at": _now(),
                "recipe": job.recipe or {},
                "system": job.system.plain(),
                "task": {
                    "name": job.task.name,
                    "version": job.task.version,
                    "fingerprint": job.task.fingerprint,
                    "split": job.split,
                    "questions": len(examples),
                    "items": job.task.part_digest(job.split),
                    "metrics": list(job.task.metrics),
                    "refusal": job.task.refusal,
                    "always_refuse": reference_scores(job.task, job.split),
                },
                "carbon": self.meter.carbon,
                "environment": {**environment(), "machine": machine(), "seed": job.seed},
                "flags": job.flags,
            }
        )

    def close(self) -> None:
        """Free the models; the meter belongs to the caller."""
        self.pool.close()


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
    for part in sorted(strategy.reads):
        if part == "system":  # how answers are written changes nothing that is built
            inputs["system"] = {k: v for k, v in system.identity().items() if k != "decoding"}
        elif part == "seed":
            inputs["seed"] = job.seed
        elif part == "machine":
            inputs["machine"] = machine()
        else:
            inputs[part] = job.task.part_digest(part)
    return inputs


def _bill(phases: Sequence[Phase]) -> Bill:
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
