"""Trials: runs that are asked a part of their questions, through the spine that asks them all.

A trial is metered, keeps its ledger entry, fails or is skipped as any run; only what is measured
differs. What it leaves is no half record but what every run leaves anyway: prepared stages, and
kept replies with their first joules. So a whole run that follows builds and asks nothing twice,
and neither does a comparison that was killed and is started again. Beside these lies a Record with
status "skipped" that says how far the trial went; whole runs take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..answering.answer import Answer
from ..answering.session import Session
from ..builder import bill_of
from ..job import Job
from ..measure.meter import add_phases
from ..measure.quality import metric_of
from ..measure.record import Bill, Phase, Record, ScoredAnswer
from ..runner import Runner
from ..scoring import score_answers, tools_of
from ..system import System

Scores = tuple[float | None, ...]
NOT_ASKED = Answer(text="", tokens_in=None, tokens_out=None)


@dataclass
class Trial:
    """How far one job was asked: its answers, bare and scored, in the order of asking, what that
    cost when it was first made (`phases`), and what was spent on it here."""

    answers: list[Answer] = field(default_factory=list)
    scored: list[ScoredAnswer] = field(default_factory=list)
    phases: dict[str, Phase] = field(default_factory=dict)
    spent: Bill = field(default_factory=Bill)


class Trials(Runner):
    """A Runner whose jobs are asked the first so many questions of `order` and scored by `metric`.

    `order` holds the places of all questions of the split. `says` turns a job and its scores into
    the reason that its Record gives for being no whole one.
    """

    def __init__(
        self,
        *,
        metric: str,
        order: Sequence[int],
        says: Callable[[Job, Scores], str],
        **runner: Any,
    ) -> None:
        super().__init__(**runner)
        self._metric, self._order, self._says = metric, order, says
        self._upto = 0
        self._trials: dict[str, Trial] = {}

    def ask(self, job: Job, upto: int) -> tuple[Record, Scores]:
        """The scores of the first `upto` questions at least, in the order of asking, and the Record
        of the trial; those of all questions where the run was finished before.

        Fewer scores mean that the trial was skipped or failed; its Record says why.
        """
        self._upto = upto
        record, found = self.run(job)
        if not found:
            return record, self._scores(self._trials.get(job.key, Trial()))
        scores = record.scores.get(self._metric) or (None,) * len(self._order)
        return record, tuple(scores[place] for place in self._order)

    def _measure(self, job: Job) -> tuple[Record, list[ScoredAnswer]]:
        """Prepare the run, ask it on, and score what it has answered by now."""
        trial = self._trials.setdefault(job.key, Trial())
        examples = job.task.split(job.split)
        places = self._order[: self._upto]
        opened_before = dict(self.pool.loads)
        system, stages = self.builder.prepare(job)
        session = Session(system, self.pool)
        session.load()
        mark = self.pool.mark()
        with self.meter.phase("answer") as answering:
            answers = session.answer(
                [examples[place] for place in places[len(trial.answers) :]],
                lambda done, of: self.progress(f"{job.name}: answering", done, of),
            )
        measured = self.pool.with_endpoints(answering.result, mark)
        answered = self.pool.recalled_since(mark).added_to(measured)
        opened = [
            phase
            for key, phase in self.pool.loads.items()
            if opened_before.get(key) is not phase and self.builder.within.get(key) is not phase
        ]
        before = [trial.phases["answer"]] if trial.answers else []
        trial.answers += answers
        trial.phases = {
            "load": add_phases([self.pool.loads[key] for key in self.pool.loads_of(system)]),
            "answer": add_phases([*before, answered]).model_copy(update={"repeats": 1}),
        }
        trial.spent = sum((s.spent for s in stages), trial.spent + bill_of([measured, *opened]))
        with self.meter.phase("scoring"):
            self._score(job, system, places, trial)
        record = self._blank(job, status="skipped", reason=self._says(job, self._scores(trial)))
        return record.model_copy(
            update={
                "system": system.plain(),
                "stages": tuple(stages),
                "prepare": sum((stage.attributed for stage in stages), Bill()),
                "phases": trial.phases,
                "spent": trial.spent,
                "answers": len(trial.scored),
            }
        ), trial.scored

    def _score(self, job: Job, system: System, places: Sequence[int], trial: Trial) -> None:
        """Score the answers as they will be scored among the answers to all questions.

        Which questions ask for a label, and which labels there are, is read from all of them. So
        all are scored, with no answer where there is none yet; but each once, where a model scores.
        """
        examples = job.task.split(job.split)
        name = self._metric.partition("/")[0]
        tools = tools_of([name], job.scoring_embedder, self.pool, system)
        task = replace(job.task, metrics=(name,))
        if metric_of(name).needs is None:
            by_place = dict(zip(places, trial.answers, strict=True))
            padded = [by_place.get(place, NOT_ASKED) for place in range(len(examples))]
            scored, _ = score_answers(examples, padded, task, tools)
            trial.scored = [scored[place] for place in places]
        else:
            done = len(trial.scored)
            chosen = [examples[place] for place in places[done:]]
            trial.scored += score_answers(chosen, trial.answers[done:], task, tools)[0]

    def _scores(self, trial: Trial) -> Scores:
        return tuple(one.scores.get(self._metric) for one in trial.scored)

    def _refresh(self, job: Job, record: Record, answers: Sequence[ScoredAnswer]) -> Record:
        """A trial follows no revision of the task; a whole run does."""
        return record
