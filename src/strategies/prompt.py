"""Prompt: an instruction and worked examples; nothing is trained, nothing is retrieved."""

from __future__ import annotations

import json
import random
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ..errors import CannotRun, RecipeError
from ..files import write_json
from ..prompt import PromptTemplate, Shot
from ..system import ShotsSource, System
from ..tasks.task import Example
from .base import Context, Part, Stage, Strategy


class Prompt(Strategy):
    """Set the instruction and show `shots` training examples, spread over the kinds of question.

    Fields left out keep what the incoming System has.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"train", "seed"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset({"shots"})

    type: Literal["prompt"] = "prompt"
    shots: int = Field(default=0, ge=0, le=64)
    instruction: str | None = None
    question: str | None = None
    passages: str | None = None

    @model_validator(mode="after")
    def _usable(self) -> Prompt:
        try:
            self._template(PromptTemplate())
        except RecipeError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error
        return self

    def prepare(self, system: System, ctx: Context) -> System:
        """Without shots there is nothing to build, so there is no stage either."""
        prompted = system.model_copy(update={"prompt": self._template(system.prompt)})
        return super().prepare(prompted, ctx) if self.shots else prompted

    def build(self, system: System, ctx: Context) -> None:
        """Choose the shots."""
        if len(ctx.task.train) < self.shots:
            raise CannotRun(
                f"prompt.shots is {self.shots} and the task has {len(ctx.task.train)} training "
                "examples"
            )
        chosen = choose_shots(ctx.task.train, self.shots, ctx.seed)
        write_json(ctx.workdir / "shots.json", [shot.plain() for shot in chosen])

    def attach(self, system: System, stage: Stage) -> System:
        """Add the chosen shots to every prompt."""
        rows = json.loads((stage.folder / "shots.json").read_text(encoding="utf-8"))
        return system.with_source(ShotsSource(shots=tuple(Shot(**row) for row in rows)))

    def _template(self, template: PromptTemplate) -> PromptTemplate:
        changes = {
            name: value
            for name in ("instruction", "question", "passages")
            if (value := getattr(self, name)) is not None
        }
        return PromptTemplate(**{**template.plain(), **changes})


def choose_shots(train: tuple[Example, ...], count: int, seed: int) -> list[Shot]:
    """`count` seeded examples, one of each kind in turn, the most frequent kind first."""
    shuffled = random.Random(seed).sample(train, len(train))
    by_kind: dict[str, list[Example]] = {}
    for example in shuffled:
        by_kind.setdefault(example.kind, []).append(example)
    kinds = sorted(by_kind.values(), key=lambda examples: (-len(examples), examples[0].kind))
    turns = [group[turn] for turn in range(len(train)) for group in kinds if turn < len(group)]
    return [Shot(id=e.id, question=e.question, answer=e.answers[0]) for e in turns[:count]]
