"""Builder: folds the strategies of a job over its system, building the stages that are missing."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .answering.pool import Pool
from .answering.session import Session
from .effort import Effort
from .files import folder_bytes, storage
from .fold import Fold, Made
from .holds import Hold, no_hold
from .job import Job
from .machine import machine, software
from .measure.memory import release_memory
from .measure.meter import Meter, PhaseHandle
from .measure.processes import gather_phases, launch
from .measure.record import Bill, Phase, StageRecord
from .measure.refresh import How, RefreshedStage
from .measure.work import Mark
from .ranks import Ranks
from .rehearsal import rehearse
from .stages import StageManifest, StageRef, StageStore
from .strategies import Context, Progress, Stage, Strategy
from .strategies.base import Previous
from .system import System
from .values import digest


class Builder:
    """Builds each stage once, metered as "prepare" or "refresh", for all jobs that need it.

    Of several processes the main one alone looks into the store, holds a stage's lock and writes;
    the others wait for its word. A distributed strategy is built by all together, any other by the
    main one as if it were alone.
    """

    def __init__(
        self,
        meter: Meter,
        pool: Pool,
        stages: StageStore,
        progress: Progress,
        hold: Hold = no_hold,
        ranks: Ranks | None = None,
    ) -> None:
        self.meter, self.pool, self.stages, self.progress = meter, pool, stages, progress
        self.hold, self.ranks = hold, ranks or Ranks()
        self.within: dict[str, Phase] = {}  # openings that are in the bill of a stage
        self._made: Fold | None = None

    def prepare(self, job: Job) -> tuple[System, list[StageRecord]]:
        """Fold the job's strategies over its system, building the stages that are missing.

        What is sure to fail is refused before anything is built; see `rehearse`.
        """
        rehearse(job)
        self._made = fold = Fold(job)
        system = self._context(fold).fold(job.system, job.strategies)
        return system, [made.record for made in fold.bills()]

    def refresh(self) -> tuple[System, list[RefreshedStage]]:
        """The same for the revised task of the job that was prepared last, each step given what it
        had made then. Metered as "refresh"."""
        assert self._made is not None
        fold = self._made.revised()
        system = self._context(fold).fold(fold.job.system, fold.job.strategies)
        return system, [RefreshedStage(**dict(made.record), how=made.how) for made in fold.bills()]

    def _context(self, fold: Fold) -> Context:
        def over(system: System, strategies: Sequence[Strategy]) -> System:
            for strategy in strategies:
                system = strategy.prepare(system, ctx)
            return system

        def stage(strategy: Strategy, system: System) -> Stage:
            return self._stage(strategy, system, ctx, fold)

        ctx = Context(
            task=fold.task,
            seed=fold.job.seed,
            workdir=self.stages.root,
            open=lambda system: Session(system, self.pool),
            embedder=self.pool.embedder,
            store=self.pool.store,
            stage=stage,
            fold=over,
            progress=self.progress,
            details={},
            effort=Effort(self.stages.root, writes=False),
            hold=self.hold,
            ranks=self.ranks,
        )
        return ctx

    def _stage(self, strategy: Strategy, system: System, ctx: Context, fold: Fold) -> Stage:
        if strategy.distributed:
            made = self._make(strategy, system, ctx, fold)
        else:
            made = ctx.ranks.same(lambda: self._make(strategy, system, ctx, fold))
        fold.made.append(made)
        ref = StageRef(key=made.record.key)
        return Stage(ref, self.stages.folder(ref))

    def _make(self, strategy: Strategy, system: System, ctx: Context, fold: Fold) -> Made:
        """A step's stage with its bill; it is built unless it is there."""
        ranks = ctx.ranks
        inputs, how, previous = ranks.same(lambda: self._inputs(strategy, system, fold))
        key = digest(inputs)
        manifest, spent = ranks.same(lambda: self.stages.manifest(key)), Bill()
        reused = manifest is not None
        if manifest is None:
            ctx = replace(ctx, previous=previous)
            with contextlib.ExitStack() as lock:
                partial = ranks.same(lambda: lock.enter_context(self.stages.building(key)))
                if partial is not None:
                    manifest, spent = self._build(
                        strategy, system, ctx, inputs, partial, fold.phase
                    )
            if manifest is None:  # another launch finished it while this one waited
                manifest, reused = ranks.same(lambda: self.stages.manifest(key)), True
            assert manifest is not None
        record = StageRecord(
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
        return Made(strategy, system, record, how)

    def _inputs(
        self, strategy: Strategy, system: System, fold: Fold
    ) -> tuple[dict[str, Any], How, Previous | None]:
        """All that determines a stage, what becomes of the one that the step made for the older
        task, and that one where it is updated: it is an input then."""
        inputs = _inputs(strategy, system, fold.job)
        previous = fold.previous(strategy, self.stages)
        if previous is None or digest(inputs) == previous.key:
            return inputs, "kept" if previous else "rebuilt", None
        how = strategy.refreshes(system, fold.task, previous)
        if how == "kept":
            return previous.inputs, how, None
        if how == "updated":
            return {**inputs, "previous": previous.key}, how, previous
        return inputs, how, None

    def _build(
        self,
        strategy: Strategy,
        system: System,
        ctx: Context,
        inputs: dict[str, Any],
        partial: Path,
        phase_name: str,
    ) -> tuple[StageManifest, Bill]:
        """The finished stage, and what making it took now. Its bill is what leads to it: what was
        carried over from killed attempts, this one, and what replies from the cache first cost."""
        ranks, key = ctx.ranks, digest(inputs)
        details: dict[str, Any] = {}
        self.progress(f"{strategy.type}: loading what it needs", 0, 1)
        strategy.warm_up(system, ctx)
        self.progress(f"{strategy.type}: loading what it needs", 1, 1)
        release_memory()
        mark = self.pool.mark()
        opened = dict(self.pool.loads)
        with self.meter.phase(phase_name) as phase:
            effort = self._effort(key, phase, mark, ranks)
            given = replace(ctx, workdir=partial, details=details, effort=effort)

            def build() -> None:
                with storage(partial):  # here, that all are told of a full disk
                    strategy.build(system, given)

            ranks.together(build)
        self.within |= {k: p for k, p in self.pool.loads.items() if opened.get(k) is not p}
        result = phase.result
        if ranks.size > 1:
            result = gather_phases({phase_name: result})[phase_name]
        measured = self.pool.with_endpoints(result, mark)
        recalled = self.pool.recalled_since(mark)
        if recalled.replies:
            details["cached_replies"] = recalled.replies
        if recalled.vectors:
            details["cached_vectors"] = recalled.vectors
        if effort.attempts > 1:
            details |= {"attempts": effort.attempts, "lost": effort.lost().plain()}
        spent = bill_of([measured])
        # What was carried holds what replies first cost, and those that earlier attempts asked for.
        whole = bill_of([recalled.added_to(measured)])
        bill = whole if effort.carried is None else effort.carried + spent
        work = self.pool.work_of_all(mark, ranks) + recalled.work
        manifest = ranks.same(
            lambda: self.stages.finish(
                partial,
                StageManifest(
                    key=key,
                    strategy=strategy.type,
                    inputs=inputs,
                    bill=bill,
                    work=work.model_copy(update={"bytes_stored": folder_bytes(partial)}),
                    peak_memory_bytes=result.peak_memory_bytes,
                    details=details,
                    created_at=now(),
                ),
            )
        )
        return manifest, spent

    def _effort(self, key: str, phase: PhaseHandle, mark: Mark, ranks: Ranks) -> Effort:
        """This attempt at the stage. On several machines its energy is known at the end only."""
        started = launch()
        elsewhere = ranks.size > 1 and started.world_size > started.local_world_size

        def so_far() -> Bill:
            bill = bill_of([self.pool.with_endpoints(phase.so_far(), mark)])
            unknown = {"energy_j": None, "net_energy_j": None} if elsewhere else {}
            return bill.model_copy(update=unknown)

        return Effort(
            self.stages.unfinished_folder(key),
            so_far,
            lambda: bill_of(self.pool.recalled_since(mark).phases),
            writes=ranks.main,
        )


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
