"""Prompt: an instruction, worked examples, and what answers there can be; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from ..context_sources import NearestShots, ShotsSource
from ..errors import CannotRun, InputError, RecipeError
from ..models.fetch import resolve
from ..prompt import Fence, Placement, PromptTemplate, ShotOrder, checked_template, ordered
from ..prompt_file import PromptFile, decoded, given, load_prompt
from ..rag.shot_index import read_shots, write_shots
from ..system import Decoding, Stop, System
from .base import Context, Part, Stage, Strategy
from .shots import (
    DRAWING,
    EMBEDDING,
    IndexShots,
    Selection,
    choose_shots,
    farthest_first,
    shots_of,
    training_choices,
)

if TYPE_CHECKING:
    from ..models.embedder import Embedder

# By kind, so that a fault in a list is told without the other thing it could have been.
Choices = Annotated[
    Annotated[Literal["train"], Tag("str")] | Annotated[tuple[Stop, ...], Tag("tuple[str]")],
    Discriminator(lambda given: "str" if isinstance(given, str) else "tuple[str]"),
]


class Prompt(Strategy):
    """Set the instruction and show `shots` training examples, chosen by the rule of `selection`.

    "nearest" finds those most like the question that is asked, the most similar last; the other
    rules choose once, for all questions. `order` may change how they stand. `choices` are the only
    answers there can be; "train" takes the first answers of the training examples.

    `file` is a prompt file, or the name of a shipped one: it is the whole prompt, and the settings
    given here go before its own. Without it, fields left out keep what the incoming System has.
    The file is read when the strategy is made and is part of it from then on, by its content.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"train", "seed"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset(
        {"shots", "selection", "embedder"}
    )
    version: ClassVar[int] = 2

    type: Literal["prompt"] = "prompt"
    file: PromptFile | None = None
    shots: int = Field(default=0, ge=0, le=64)
    selection: Selection = "balanced"
    embedder: str = "minilm"
    order: ShotOrder = "chosen"
    instruction: str | None = None
    question: str | None = None
    passages: str | None = None
    placement: Placement | None = None
    answer_after: str | None = Field(default=None, min_length=1)
    fence: Fence | None = None
    choices: Choices | None = None
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

    @field_validator("instruction", "question", "passages")
    @classmethod
    def _plain_placeholders(cls, template: str | None, info: ValidationInfo) -> str | None:
        try:
            return template and checked_template(str(info.field_name), template)
        except RecipeError as error:  # as a fault of the recipe, told with its line
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _choices_once(self) -> Prompt:
        if isinstance(self.choices, tuple) and len(set(self.choices)) < len(self.choices):
            raise ValueError("each of choices once")
        if isinstance(self.choices, tuple) and len(self.choices) < 2:
            raise ValueError("choices needs two answers or more, or there is nothing to choose")
        if self.choices is not None and "choices" in (given(self.decoding) or {}):
            raise ValueError("`choices` and `decoding.choices` are the same; give one of the two")
        return self

    def identity(self) -> dict[str, Any]:
        """With the content of the file, but for its notes; with the embedder, where one is asked,
        by its weights."""
        embedder = None
        if self.shots and self.selection in EMBEDDING:
            embedder = resolve(self.embedder, kind="embedder").revision
        file = self.file and self.file.digest()
        return {**super().identity(), "file": file, "embedder": embedder}

    def depends_on(self) -> frozenset[Part]:
        """The seed decides only where shots are drawn."""
        drawn = self.shots and self.selection in DRAWING
        return self.reads if drawn else self.reads - {"seed"}

    def prepare(self, system: System, ctx: Context) -> System:
        """Without shots to choose there is nothing to build, so there is no stage either."""
        prompted = self.applied(system)
        if self.choices == "train":
            prompted = _restricted(prompted, training_choices(ctx.task.train))
        if not self.shots:
            return prompted
        if len(ctx.task.train) < self.shots:
            raise CannotRun(
                f"prompt.shots is {self.shots} and the task has {len(ctx.task.train)} training "
                "examples"
            )
        if self.selection != "nearest":
            return super().prepare(prompted, ctx)
        stage = ctx.stage(IndexShots(embedder=self.embedder), prompted)
        return prompted.with_source(
            NearestShots(stage=stage.ref, embedder=self.embedder, k=self.shots, order=self.order)
        )

    def applied(self, system: System) -> System:
        """The system with all of the prompt but the shots that are still to be chosen."""
        changes: dict[str, Any] = {
            "prompt": self._template(system.prompt),
            "decoding": decoded(
                system.decoding, self.file.decoding if self.file else None, self.decoding
            ),
        }
        prompted = system.model_copy(update=changes)
        if isinstance(self.choices, tuple):
            prompted = _restricted(prompted, self.choices)
        if self.shots or not (self.file and self.file.shots):
            return prompted
        return prompted.with_source(ShotsSource(shots=self.file.shots))

    def warm_up(self, system: System, ctx: Context) -> None:
        """What the embedder imports, where one is asked."""
        if self.selection == "diverse":
            with self._embedder() as first:
                first.encode_queries(["Hello"])

    def build(self, system: System, ctx: Context) -> None:
        """Choose the shots."""
        if self.selection == "diverse":
            shots = shots_of(ctx.task.train)
            # Not the pool's: answering does not need it, so its load belongs to this stage's bill.
            with self._embedder() as embedder:
                vectors = embedder.encode_queries([shot.question for shot in shots])
                ctx.open(system).book_account(embedder.account)
            chosen = [shots[row] for row in farthest_first(vectors, self.shots)]
        else:
            chosen = choose_shots(ctx.task.train, self.shots, ctx.seed, self.selection)
        write_shots(ctx.workdir, chosen)

    def _embedder(self) -> Embedder:
        from ..models.embedder import open_embedder

        return open_embedder(resolve(self.embedder, kind="embedder"))

    def attach(self, system: System, stage: Stage) -> System:
        """Add the chosen shots to every prompt."""
        shots = ordered(read_shots(stage.folder), self.order)
        return system.with_source(ShotsSource(shots=tuple(shots)))

    def _template(self, template: PromptTemplate) -> PromptTemplate:
        changes = {
            name: value
            for name in PromptTemplate.model_fields
            if (value := getattr(self, name)) is not None
        }
        template = self.file.template if self.file else template
        return PromptTemplate(**{**template.plain(), **changes})


def _restricted(system: System, choices: tuple[str, ...]) -> System:
    decoding = decoded(system.decoding, Decoding(choices=choices))
    return system.model_copy(update={"decoding": decoding})
