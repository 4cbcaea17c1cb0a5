"""A plan: what each run of a recipe would take, and what all of them would spend.

for each run:  folded with weightless models ─▶ its stages, each planned once
               all questions asked, some one at a time ─▶ tallies
               x calibration ─▶ Predicted
Stages and records that exist are found, and cost nothing any more.
"""

from __future__ import annotations

import datetime
import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..answering.session import Session
from ..errors import WattuneError
from ..forgetting import DECODING, NEUTRAL
from ..job import Job, jobs_of
from ..machine import hardware, machine
from ..measure.calibration import Calibration, Habit
from ..measure.general import general_questions
from ..measure.predicted import (
    Predicted,
    PredictedPhase,
    keep_prediction,
    total,
)
from ..measure.record import Record
from ..measure.store import find_record
from ..recipe import Recipe
from ..slices import spread
from ..stages import StageStore
from ..strategies import Prune
from ..strategies.tuning import Tuning
from ..system import EndpointSystem, LocalSystem, System
from .builder import PlannedBuilder, PlannedStage
from .lengths import Lengths, Taught, Written
from .planned import NOT_SPENT, NotPlanned, Plan, PlannedRun
from .pool import PlannedPool
from .pricing import Priced, Pricing
from .worth import Worth
from .written import written_before

Known = Mapping[str, Written]
"""Question -> what was written to answer it."""


def plan_recipe(
    recipe: Recipe,
    calibration: Calibration,
    *,
    folder: Path | None = None,
    known: Mapping[str, Known] | None = None,
    allow_overlap: bool = False,
    keep: bool = True,
    say: Callable[[str], None] = lambda line: None,
    stages: StageStore | None = None,
) -> Plan:
    """What the runs of a recipe would take by a calibration, without running anything.

    Records that lie in `folder` are found. `known` holds answer lengths by run and question, by
    default those of the records in `folder` (see `written_before`). With `keep` what is predicted
    is kept for the records of these runs, if the calibration is of this machine. Raises as the run
    would for a task or a model that cannot be had; what concerns one run alone makes it skipped.
    """
    worth = Worth(recipe.settings)
    jobs = jobs_of(recipe, allow_overlap=allow_overlap)
    if known is None and folder is not None:
        known = written_before(folder, jobs)
    made_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="wattune-plan-") as scratch:
        store = StageStore(Path(scratch))
        pool = PlannedPool(store)
        planner = _Planner(
            pool,
            PlannedBuilder(pool, store, stages or StageStore()),
            Pricing(calibration),
            calibration,
            made_at,
        )
        runs = []
        for number, job in enumerate(jobs):
            say(f"{job.name} ({number + 1} of {len(jobs)})")
            lengths = (known or {}).get(job.name)
            found = find_record(folder, job.name, job.key) if folder is not None else None
            runs.append(planner.run(job, lengths or {}, found))
        pool.close()
    if keep and _of_here(calibration):
        for run in runs:
            if not run.skipped and run.done is None:
                keep_prediction(run.job.key, run.predicted)
    return Plan(recipe.name, tuple(runs), calibration, worth, made_at)


def _of_here(calibration: Calibration) -> bool:
    """Whether a calibration is of this machine, as far as it tells: another one's figures are not
    to be held against what is measured here."""
    facts = calibration.environment.get("hardware") or {}
    return calibration.machine == machine() and all(
        facts.get(name, fact) == fact for name, fact in hardware().items()
    )


class _Planner:
    """Plans one run after another; what one has prepared or opened the next one finds."""

    def __init__(
        self,
        pool: PlannedPool,
        builder: PlannedBuilder,
        pricing: Pricing,
        calibration: Calibration,
        made_at: str,
    ) -> None:
        self._pool, self._builder, self._pricing = pool, builder, pricing
        self._calibration, self._made_at = calibration, made_at
        self._paid: set[str] = set()

    def run(self, job: Job, known: Known, done: Record | None) -> PlannedRun:
        """One run; a fault of its own makes it skipped."""
        try:
            return self._run(job, known, done)
        except NotPlanned as error:
            return PlannedRun(job, skipped=str(error), unknown=True)
        except WattuneError as error:
            return PlannedRun(job, skipped=str(error))

    def _run(self, job: Job, known: Known, done: Record | None) -> PlannedRun:
        pool, price = self._pool, self._pricing
        gold = {
            example.question: example.answers[0] if example.answers else job.system.refusal
            for example in (*job.task.train, *job.task.validation, *job.task.split(job.split))
        }
        pool.seed = job.seed
        pool.lengths = Lengths(gold, self._habits(job), known)
        pool.taught = "plain"
        system, bills = self._builder.prepare(job)
        pool.taught = taught = _taught(job, system)
        made = [self._builder.planned[bill.key] for bill in bills]
        session = Session(system, pool)
        examples = job.task.split(job.split)
        answering = self._asked(lambda: session.answer(examples))
        opening = price.opening(pool.weightless(system))
        phases = {"load": opening, "answer": answering.phase}
        asked = spread(examples, job.realtime_questions)
        if asked:
            phases["realtime"] = self._asked(lambda: [session.answer([one]) for one in asked]).phase
        general = self._general(job, system)
        if general is not None:
            phases["general"] = general
        stages = [price.stage(stage) for stage in made]
        if stages:
            phases["prepare"] = PredictedPhase(
                duration_s=total(each.phase.duration_s for each in stages),
                energy_j=total(each.phase.energy_j for each in stages),
            )
        predicted = Predicted(
            made_at=self._made_at,
            calibration=self._calibration.digest(),
            phases=phases,
            tokens_in=answering.tokens_in,
            tokens_out=answering.tokens_out,
            flops_prepare=total(each.flops for each in stages),
            flops_answer=answering.flops,
            peak_memory_bytes=price.memory(system, pool, made),
            stages_j={
                stage.key: each.phase.energy_j.likely if each.phase.energy_j else None
                for stage, each in zip(made, stages, strict=True)
            },
            basis=self._basis(job, taught, made),
        )
        paid_by_others = tuple(s.strategy for s in made if s.key in self._paid)
        found = tuple(s.strategy for s in made if s.found is not None)
        spends = NOT_SPENT
        if done is None:
            parts = [phase for name, phase in phases.items() if name != "prepare"]
            parts += [
                each.phase
                for stage, each in zip(made, stages, strict=True)
                if stage.found is None and stage.key not in self._paid
            ]
            self._paid |= {stage.key for stage in made}
            spends = PredictedPhase(
                duration_s=total(part.duration_s for part in parts),
                energy_j=total(part.energy_j for part in parts),
            )
        refreshes = job.revision is not None and done is None
        return PlannedRun(job, predicted, spends, done, paid_by_others, found, unknown=refreshes)

    def _habits(self, job: Job) -> Mapping[str, Habit]:
        """The model's habits, where it was this one that was calibrated with. One that lost layers
        and was not healed has lost them, too."""
        same = job.system.revision == self._calibration.model_revision
        broken = any(isinstance(step, Prune) and step.heal is None for step in job.strategies)
        return self._calibration.habits if same and not broken else {}

    def _basis(self, job: Job, taught: Taught, made: Sequence[PlannedStage]) -> tuple[str, ...]:
        """What the figures rest on."""
        said = [self._pool.lengths.basis(taught)]
        if isinstance(job.system, EndpointSystem):
            said.append(
                "an endpoint's tokens are reckoned by letters, its joules by a published estimate "
                "of tokens; how long it takes, and what this machine draws meanwhile, is unknown"
            )
        elif job.system.revision != self._calibration.model_revision:
            said.append(
                f"projected: this model's operations and bytes, at what those of "
                f"{self._calibration.model} cost in the calibration"
            )
        if self._calibration.machine != machine():
            said.append("projected: the calibration is of another device or precision")
        return (*said, *(note for stage in made for note in stage.notes))

    def _asked(self, ask: Callable[[], object]) -> Priced:
        """What asking takes: the models' work, and the rest as it took just now."""
        pool = self._pool
        mark, dry_s, began = pool.marks(), pool.dry_s, time.perf_counter()
        ask()
        other_s = time.perf_counter() - began - (pool.dry_s - dry_s)
        return self._pricing.work(pool.since(mark), other_s)

    def _general(self, job: Job, system: System) -> PredictedPhase | None:
        """The general questions, asked of the changed weights and, once for all runs, of those
        before."""
        chosen = general_questions(job.general_questions)
        if (
            not chosen
            or not isinstance(system, LocalSystem)
            or not isinstance(job.system, LocalSystem)
        ):
            return None
        if system.weights_key() == job.system.weights_key():
            return None
        update = {"prompt": NEUTRAL, "sources": (), "decoding": DECODING}
        questions = [question.question for question in chosen]
        phases = []
        for one in (system, job.system):
            key = f"general/{'/'.join(one.weights_key())}"
            if key in self._paid:
                continue
            self._paid.add(key)
            neutral = Session(one.model_copy(update=update), self._pool)
            phases.append(self._asked(functools.partial(neutral.answer, questions)).phase)
        if not phases:
            return None
        return PredictedPhase(
            duration_s=total(phase.duration_s for phase in phases),
            energy_j=total(phase.energy_j for phase in phases),
        )


def _taught(job: Job, system: System) -> Taught:
    """How the answering System was shown what an answer looks like."""
    steps = [getattr(step, "heal", None) or step for step in job.strategies]
    if any(isinstance(step, Tuning) for step in steps):
        return "tuned"
    shown = any(source.type in ("shots", "nearest_shots") for source in system.sources)
    return "shots" if shown else "plain"


__all__ = ["Plan", "PlannedRun", "PlannedStage", "plan_recipe"]
