"""Prompt: an instruction and worked examples; nothing is trained, nothing is retrieved."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from ..errors import CannotRun, InputError, RecipeError
from ..files import write_json
from ..prompt import PromptTemplate, Shot
from ..prompt_file import PromptFile, decoded, given, load_prompt
from ..system import Decoding, ShotsSource, System
from ..tasks.task import Example
from .base import Context, Part, Stage, Strategy


class Prompt(Strategy):
    """Set the instruction and show `shots` training examples, spread over the kinds of question.

    `file` is a prompt file, or the name of a shipped one: it is the whole prompt, and the settings
    given here go before its own. Without it, fields left out keep what the incoming System has.
    The file is read when the strategy is made and is part of it from then on, by its content.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"train", "seed"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset({"shots"})

    type: Literal["prompt"] = "prompt"
    file: PromptFile | None = None
    shots: int = Field(default=0, ge=0, le=64)
    instruction: str | None = None
    question: str | None = None
    passages: str | None = None
    answer_after: str | None = Field(default=None, min_length=1)
    decoding: Decoding | None = None

    @field_validator("file", mode="before")
    @classmethod
    def _read(cls, file: Any, info: ValidationInfo) -> Any:
        if not isinstance(file, str | Path):
            return file
        try:
            return load_prompt(file, (info.context or {}).get("folder"))
        except InputError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error

    @field_serializer("decoding")
    def _given(self, decoding: Decoding | None) -> dict[str, Any] | None:
        return given(decoding)

    @model_validator(mode="after")
    def _usable(self) -> Prompt:
        try:
            self._template(PromptTemplate())
        except RecipeError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error
        return self

    def identity(self) -> dict[str, Any]:
        """With the content of the file, but for its notes."""
        return {**super().identity(), "file": self.file and self.file.digest()}

    def prepare(self, system: System, ctx: Context) -> System:
        """Without shots to choose there is nothing to build, so there is no stage either."""
        prompted = self.applied(system)
        return super().prepare(prompted, ctx) if self.shots else prompted

    def applied(self, system: System) -> System:
        """The system with all of the prompt but the shots that are still to be chosen."""
        changes: dict[str, Any] = {
            "prompt": self._template(system.prompt),
            "decoding": decoded(
                system.decoding, self.file.decoding if self.file else None, self.decoding
            ),
        }
        prompted = system.model_copy(update=changes)
        if self.shots or not (self.file and self.file.shots):
            return prompted
        return prompted.with_source(ShotsSource(shots=self.file.shots))

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
            for name in ("instruction", "question", "passages", "answer_after")
            if (value := getattr(self, name)) is not None
        }
        template = self.file.template if self.file else template
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
