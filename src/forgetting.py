"""Forgetting: the same general questions before and after a change of weights.

    base System ─▶ right or wrong, by question ─┐
                                                ├─▶ General: before, after, change
    tuned System ─▶ right or wrong, by question ─┘

Only the weights are asked: a question is the user's whole turn, without instruction, shots or
passages. What a set of weights answered is kept as a stage, so that all runs with the same weights
ask once, and the base is asked once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .answering.pool import Pool
from .answering.session import Session
from .builder import bill_of, now
from .errors import CannotRun, InputError, StorageError
from .files import read_json_lines, write_json_lines
from .machine import machine, software
from .measure.general import GeneralQuestion, HowMany, general_of, general_questions, set_digest
from .measure.meter import add_phases
from .measure.record import General, Phase
from .prompt import PromptTemplate
from .stages import StageManifest, StageRef
from .strategies import Progress
from .strategies.base import no_progress
from .system import Decoding, LocalSystem, System
from .values import digest

NEUTRAL = PromptTemplate(instruction="", question="{question}")
DECODING = Decoding(max_tokens=48, stop=("\n\n",))
"""Greedy and short. The first paragraph is the answer: a model that was never taught to end goes on
to a next question, which costs joules and could only spoil or excuse what it said."""

ANSWERS = "answers.jsonl"
NOT_ASKED = "general_not_asked"
"""Flag of a record, with the reason: its model could not be asked the general questions."""


class Forgetting(NamedTuple):
    """What was found out, what asking took now (None where all was known), flags for the record."""

    general: General | None = None
    phase: Phase | None = None
    flags: tuple[str, ...] = ()


def forgetting(
    system: System,
    base: System,
    *,
    count: HowMany,
    pool: Pool,
    progress: Progress = no_progress,
) -> Forgetting:
    """How many general questions the weights of `system` and of `base` get right.

    Nothing is asked where `count` is 0 or false, where both answer with the same weights, and of
    models that are not causal language models of this machine. `phase` is metered as "general",
    openings of weights within included. A model that cannot be asked (its window is too small) is
    flagged; `StorageError` is raised.
    """
    chosen = general_questions(count)
    if not chosen or not isinstance(system, LocalSystem) or not isinstance(base, LocalSystem):
        return Forgetting()
    if system.weights_key() == base.weights_key():
        return Forgetting()
    asker = _Asker(chosen, pool, progress)
    flags: tuple[str, ...] = ()
    general = None
    try:
        after = asker.right(system)  # first: these weights are in memory
        general = general_of(chosen, asker.right(base), after)
    except StorageError:
        raise
    except (CannotRun, InputError) as error:
        flags = (f"{NOT_ASKED}: {error}",)
    return Forgetting(general, add_phases(asker.phases) if asker.phases else None, flags)


@dataclass
class _Asker:
    """Asks one set of questions, each weights once; `phases` is what that took now."""

    questions: Sequence[GeneralQuestion]
    pool: Pool
    progress: Progress
    phases: list[Phase] = field(default_factory=list)

    def right(self, system: LocalSystem) -> list[bool]:
        """Whether each question was answered rightly, now or when these weights were asked."""
        neutral = system.model_copy(update={"prompt": NEUTRAL, "sources": (), "decoding": DECODING})
        inputs = {
            "strategy": "general",
            "set": set_digest(self.questions),
            "weights": list(neutral.weights_key()),
            "prompt": NEUTRAL.plain(),
            "decoding": DECODING.plain(),
            "machine": machine(),
            "software": software(),
        }
        key = digest(inputs)
        with self.pool.stages.building(key) as partial:
            if partial is not None:
                write_json_lines(partial / ANSWERS, self._ask(neutral))
                manifest = StageManifest(
                    key=key,
                    strategy="general",
                    inputs=inputs,
                    bill=bill_of(self.phases[-1:]),
                    created_at=now(),
                )
                self.pool.stages.finish(partial, manifest)
        rows = read_json_lines(self.pool.stages.folder(StageRef(key=key)) / ANSWERS)
        # Judged when read: a better rule needs no new answers.
        told = zip(self.questions, rows, strict=True)
        return [question.right(str(row["text"])) for question, (_, row) in told]

    def _ask(self, system: LocalSystem) -> list[dict[str, Any]]:
        """The answers, each with its question and whether it is right."""
        session = Session(system, self.pool).uncached()
        with self.pool.meter.phase("general") as metered:
            answers = session.answer(
                [question.question for question in self.questions],
                lambda done, of: self.progress("general questions", done, of),
            )
        self.phases.append(metered.result)
        return [
            {
                "id": question.id,
                "kind": question.kind,
                "question": question.question,
                "text": answer.text,
            }
            for question, answer in zip(self.questions, answers, strict=True)
        ]
