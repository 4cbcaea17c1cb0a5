"""Refresh: what was prepared is brought up to date with its task's revision, and asked again.

    task ─▶ stages ─────────────┐
                                ├─▶ refreshed System ─▶ changed questions | unchanged questions
    revision ─▶ what is new ────┘
    the System as it was ────────────────────────────▶ changed questions: how stale it is

What building takes is metered as "refresh", what asking takes as "revision".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .answering.answer import Answer
from .answering.pool import Pool
from .answering.session import Session
from .builder import Builder, bill_of
from .errors import ProcessLost, StorageError, WattuneError
from .job import Job
from .measure.meter import add_phases
from .measure.processes import gather_phases
from .measure.quality import Tools
from .measure.record import Bill, Phase, Score, ScoredAnswer
from .measure.refresh import Refresh
from .measure.statistics import bootstrap_mean
from .ranks import Ranks
from .rehearsal import rehearse
from .scoring import score_answers, tools_of
from .strategies import Progress
from .system import System
from .tasks.revision import changed_questions
from .tasks.task import Example, Task

NOT_REFRESHED = "not_refreshed"
"""Flag of a record, with the reason: what was prepared could not be brought up to date."""


class Refreshed(NamedTuple):
    """What was found out, what asking took, what all of it spent now, flags for the record."""

    refresh: Refresh | None = None
    phase: Phase | None = None
    spent: Bill = Bill()
    flags: tuple[str, ...] = ()


def refreshed(
    job: Job,
    system: System,
    answers: Sequence[ScoredAnswer],
    *,
    builder: Builder,
    progress: Progress,
) -> Refreshed:
    """Bring `system`, which the job has prepared, up to date, and ask the revision's questions.

    `answers` are those that the job's own questions got. Asked by all processes together; what the
    main one returns counts. A refresh that cannot be done is flagged; `StorageError` is raised.
    """
    assert job.revision is not None
    pool, ranks = builder.pool, builder.ranks
    asker = _Asker(job, job.revision, pool, ranks, progress)
    before = dict(pool.loads)
    spent, opened = Bill(), list[Phase]()
    try:
        rehearse(replace(job, task=job.revision, revision=None))
        made, stages = builder.refresh()
        spent = sum((stage.spent for stage in stages), Bill())
        loads = gather_phases(pool.loads)
        opened = [
            loads[key]
            for key, phase in pool.loads.items()
            if before.get(key) is not phase and builder.within.get(key) is not phase
        ]
        examples = job.revision.split(job.split)
        found = asker.ask(made, examples)
        ids = changed_questions(job.task, job.revision, job.split)
        changed = [example for example in examples if example.id in ids]
        stale = found if made == system else asker.ask(system, changed)
        if not ranks.main:
            return Refreshed()
        tools = tools_of(job.task.metrics, job.scoring_embedder, pool, made)
        unchanged = [example for example in examples if example.id not in ids]
        kept = {example.id for example in unchanged}
        refresh = Refresh(
            version=job.revision.version,
            fingerprint=job.revision.fingerprint,
            questions_changed=len(changed),
            questions_unchanged=len(unchanged),
            stages=tuple(stages),
            attributed=sum((s.attributed for s in stages if s.how != "kept"), Bill()),
            spent=spent,
            changed=_quality(changed, found, job.revision, tools),
            unchanged=_quality(unchanged, found, job.revision, tools),
            stale=_quality(changed, stale, job.revision, tools),
            before=_means([answer for answer in answers if answer.id in kept]),
        )
    except (StorageError, ProcessLost):
        raise
    except WattuneError as error:
        refresh, why = None, str(error)
    except Exception as error:  # what the run itself measured is not to be lost with it
        refresh, why = None, f"{type(error).__name__}: {error}"
    flags = () if refresh is not None else (f"{NOT_REFRESHED}: {why}",)
    asked = add_phases(asker.phases) if asker.phases else None
    return Refreshed(refresh, asked, spent + bill_of([*opened, *asker.phases]), flags)


@dataclass
class _Asker:
    """Asks the revision's questions; `phases` is what that took now."""

    job: Job
    revision: Task
    pool: Pool
    ranks: Ranks
    progress: Progress
    phases: list[Phase] = field(default_factory=list)

    def ask(self, system: System, examples: Sequence[Example]) -> dict[str, Answer]:
        """The answers by the ids of their questions."""
        if not examples:
            return {}
        session, mark = Session(system, self.pool), self.pool.mark()
        with self.pool.meter.phase("revision") as metered:
            self.ranks.each(session.load)
            answers = session.answer(
                examples,
                lambda done, of: self.progress(f"{self.job.name}: after the revision", done, of),
                ranks=self.ranks,
            )
        phase = gather_phases({"revision": metered.result})["revision"]
        self.phases.append(self.pool.with_endpoints(phase, mark))
        return {one.id: answer for one, answer in zip(examples, answers, strict=True)}


def _quality(
    examples: Sequence[Example], answers: Mapping[str, Answer], task: Task, tools: Tools
) -> dict[str, Score]:
    """The scores of some questions by metric, none where there are no questions."""
    chosen = [answers[example.id] for example in examples]
    quality: dict[str, Score] = score_answers(examples, chosen, task, tools)[1]["quality"]
    return quality


def _means(answers: Sequence[ScoredAnswer]) -> dict[str, Score]:
    """The means of scores that are known by question."""
    values: dict[str, list[float]] = {}
    for answer in answers:
        for metric, score in answer.scores.items():
            if score is not None:
                values.setdefault(metric, []).append(score)
    return {metric: bootstrap_mean(known) for metric, known in values.items()}
