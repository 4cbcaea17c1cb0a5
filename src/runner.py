"""Runner: folds the strategies of a job, meters its phases, scores it and keeps the Record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .answering.pool import Pool
from .answering.responses import ResponseCache
from .answering.session import Session
from .answering.vectors import VectorCache
from .builder import Builder, bill_of, now
from .errors import ProcessLost, StorageError, WattuneError
from .files import cache_folder, storage
from .forgetting import forgetting
from .holds import Hold, no_hold
from .job import Job, fingerprints
from .machine import machine
from .measure.accounts.books import Books
from .measure.environment import environment
from .measure.ledger import Ledger
from .measure.meter import Meter, add_phases
from .measure.noise import noise_flags
from .measure.predicted import kept_prediction
from .measure.processes import gather_phases
from .measure.record import Bill, Record, ScoredAnswer
from .measure.serving import batch_of
from .measure.store import find_record, write_record
from .measure.work import NO_WORK
from .models.facts import facts_of
from .models.served import plain_counts
from .ranks import Ranks
from .realtime import one_at_a_time
from .refresh import refreshed
from .scoring import reference_scores, score_answers, tools_of
from .slices import spread
from .stages import StageStore
from .strategies import Progress
from .strategies.base import no_progress
from .system import parse_system
from .values import digest

UNANSWERED = "questions_without_answer"
"""Flag of a record in which an endpoint gave no answer to some questions; they count as wrong."""


class Runner:
    """Runs jobs with one meter, one pool of open models and one store of stages.

    Of several `ranks` all run the same jobs in the same order. The main one decides, claims, scores
    and writes; the first of each machine measures it, and keeps a ledger of what it drew.
    """

    def __init__(
        self,
        *,
        meter: Meter,
        books: Books | None = None,
        records: Path | None = None,
        stages: StageStore | None = None,
        progress: Progress = no_progress,
        debug: bool = False,
        baseline_s: float = 0.0,
        responses: ResponseCache | None = None,
        hold: Hold = no_hold,
        ranks: Ranks | None = None,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.ranks = ranks = ranks or Ranks()
        progress = progress if ranks.main else no_progress
        self.meter, self.records, self.progress = meter, records, progress
        self.books = books or Books.of_meter(meter)
        self.ledger = Ledger(records if ranks.measures else None, meter)
        self.debug, self.baseline_s, self.flags = debug, baseline_s, flags
        self.stages = stages or StageStore()
        kept, vectors = (responses if ranks.main else None), None
        if kept is not None:
            vectors = VectorCache(kept.path.with_name(VectorCache.file), kept.say)
        self.pool = Pool(self.stages, meter, responses=kept, vectors=vectors)
        self.builder = Builder(meter, self.pool, self.stages, progress, hold, ranks)

    def run(self, job: Job) -> tuple[Record, bool]:
        """The Record of a job, and whether it was found finished; without its grams and money on
        other processes than the main one."""
        known = self.ranks.same(lambda: self._finished(job))
        if known is None:
            with self._claim(job):
                # Another launch may have been at it.
                known = self.ranks.same(lambda: self._finished(job))
                if known is None:
                    return self._run(job), False
        return self.books.shown(known) if self.ranks.main else known, True

    def _finished(self, job: Job) -> Record | None:
        return find_record(self.records, job.name, job.key) if self.records is not None else None

    @contextmanager
    def _claim(self, job: Job) -> Iterator[None]:
        """Let one launch at a time make this record; the system frees it of one that dies."""
        if self.records is None or not self.ranks.main:
            yield
            return
        name = digest([str(self.records.resolve()), job.name, job.key])
        path = cache_folder() / "locks" / f"{name}.lock"
        with storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.progress(f"{job.name}: another process is at it", 0, 1)
                lock.acquire()
                self.progress(f"{job.name}: another process is at it", 1, 1)
        try:
            yield
        finally:
            lock.release()

    def _run(self, job: Job) -> Record:
        self.ranks.each(self._idle)
        started, began = time.perf_counter(), now()
        self.pool.seed = job.seed
        answers: list[ScoredAnswer] = []
        served = self.pool.served()
        with self.ledger.entry("run", job.name, job.key) as entry:
            try:
                record, answers = self.ranks.each(lambda: self._measure(job))[0]
                if job.revision is not None:
                    record = self._refresh(job, record, answers)
            except (StorageError, ProcessLost):
                raise  # a full disk concerns all runs
            except WattuneError as error:
                record = self._blank(job, status="skipped", reason=str(error))
            except Exception as error:
                if self.debug:
                    raise
                reason = f"{type(error).__name__}: {error} (--debug shows where)"
                record = self._blank(job, status="failed", reason=reason)
            entry.status, entry.reason = record.status, record.reason
            if not self.ranks.main:
                return record
            self.progress(job.name, 1, 1)
            facts: dict[str, Any] = {"wall_s": round(time.perf_counter() - started, 3)}
            if asked := self.pool.served() - served:
                facts["endpoint"] = plain_counts(asked)
            record = record.model_copy(
                update={
                    "started_at": began,
                    "ended_at": now(),
                    "environment": {**record.environment, **facts},
                    "flags": (*record.flags, *self.flags),
                }
            )
            record = self.books.entered(record)
            entry.carbon = record.carbon
            if self.records is not None:
                write_record(self.records, record, answers)
        return record

    def _measure(self, job: Job) -> tuple[Record, list[ScoredAnswer]]:
        examples = job.task.split(job.split)
        opened_before = dict(self.pool.loads)
        system, bills = self.builder.prepare(job)
        session = Session(system, self.pool)
        opening = f"{job.name}: loading the model"
        self.progress(opening, 0, 1)
        self.ranks.each(session.load)
        self.progress(opening, 1, 1)
        mark = self.pool.mark()
        with self.meter.phase("answer") as answering:
            answers = session.answer(
                examples,
                lambda done, of: self.progress(f"{job.name}: answering", done, of),
                ranks=self.ranks,
            )
        gathered = gather_phases({"answer": answering.result})["answer"]
        opened = gather_phases(self.pool.loads)
        loads = [opened[key] for key in self.pool.loads_of(system)]
        new_loads = [
            opened[key]
            for key, phase in self.pool.loads.items()
            if opened_before.get(key) is not phase and self.builder.within.get(key) is not phase
        ]
        measured = self.pool.with_endpoints(gathered, mark)
        recalled = self.pool.recalled_since(mark)
        answered = recalled.added_to(measured)
        work = self.pool.work_of_all(mark, self.ranks) + recalled.work
        if not self.ranks.main:
            return self._blank(job, status="done"), []
        asked = spread(examples, job.realtime_questions)
        single, realtime = one_at_a_time(
            job.name, asked, session.uncached(), self.pool, self.progress
        )
        phases = {"load": add_phases(loads), "answer": answered}
        noise = noise_flags(answered) or (noise_flags(single) if single else ())
        with self.meter.phase("scoring") as scoring:
            tools = tools_of(job.task.metrics, job.scoring_embedder, self.pool, system)
            scored, quality = score_answers(examples, answers, job.task, tools)
        forgot = forgetting(
            system, job.system, count=job.general_questions, pool=self.pool, progress=self.progress
        )
        beside = {"realtime": single, "general": forgot.phase}
        phases |= {name: phase for name, phase in beside.items() if phase is not None}
        now_spent = (measured, single, forgot.phase, *new_loads)
        spent = sum((bill.spent for bill in bills), bill_of([p for p in now_spent if p]))
        blank = self._blank(job, status="done")
        record = blank.model_copy(
            update={
                "system": system.plain(),
                "model": facts_of(system),
                "fingerprints": fingerprints(job, system),
                "stages": tuple(bills),
                "phases": {**phases, "scoring": scoring.result},
                "prepare": sum((bill.attributed for bill in bills), Bill()),
                "spent": spent,
                "answers": len(scored),
                **quality,
                "work": {"prepare": sum((bill.work for bill in bills), NO_WORK), "answer": work},
                "batch": batch_of(len(scored), phases["answer"].duration_s),
                "realtime": realtime,
                "general": forgot.general,
                "environment": {**blank.environment, "cached_replies": recalled.replies},
                "artefact_bytes": sum(bill.artefact_bytes for bill in bills),
                "flags": (
                    *job.flags,
                    *noise,
                    *forgot.flags,
                    *((UNANSWERED,) if any(answer.failed for answer in answers) else ()),
                ),
            }
        )
        return record, scored

    def _refresh(self, job: Job, record: Record, answers: Sequence[ScoredAnswer]) -> Record:
        """The record with what it takes to bring the run up to date with the task's revision."""
        system = parse_system(record.system)
        found = self.ranks.each(
            lambda: refreshed(job, system, answers, builder=self.builder, progress=self.progress)
        )[0]
        phases = {"revision": found.phase} if found.phase else {}
        return record.model_copy(
            update={
                "refresh": found.refresh,
                "phases": {**record.phases, **phases},
                "spent": record.spent + found.spent,
                "flags": (*record.flags, *found.flags),
            }
        )

    def _idle(self) -> None:
        """Measure what the machine draws on its own, once, before anything of ours is in memory."""
        if self.baseline_s and self.meter.baseline is None and self.ranks.measures:
            seconds = f"the idle machine, {self.baseline_s:g} s"
            self.progress(seconds, 0, 1)
            with self.ledger.entry("idle", "baseline"):
                self.meter.measure_baseline(self.baseline_s)
            self.progress(seconds, 1, 1)

    def _blank(self, job: Job, *, status: str, reason: str = "") -> Record:
        examples = job.task.split(job.split)
        return Record.model_validate(
            {
                "name": job.name,
                "key": job.key,
                "status": status,
                "reason": reason,
                "created_at": now(),
                "seed": job.seed,
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
                "baseline": self.meter.baseline,
                "predicted": kept_prediction(job.key),
                "environment": {
                    **environment(),
                    "machine": machine(),
                    "metered": self.meter.describe(),
                },
                "flags": job.flags,
            }
        )

    def close(self) -> None:
        """Free the models; the meter belongs to the caller."""
        self.pool.close()
