"""System: what answers, as a small value. Nothing is loaded; it can be hashed, saved, compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .prompt import PromptTemplate, Shot
from .values import Value


class ModelRef(Value):
    """Which weights: a name and the revision that pins them (a digest, a commit, "local")."""

    name: str
    revision: str


class StageRef(Value):
    """A prepared stage by its key; the cache knows where its folder lies."""

    key: str


class Decoding(Value):
    """How an answer is written: greedy at temperature 0, at most `max_tokens`, cut at a stop."""

    max_tokens: int = Field(default=24, ge=1, le=4096)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    stop: tuple[str, ...] = ("\n",)


class ShotsSource(Value):
    """Worked examples that stand in every prompt."""

    type: Literal["shots"] = "shots"
    shots: tuple[Shot, ...]


class IndexSource(Value):
    """The `k` nearest chunks of an index of the documents."""

    type: Literal["index"] = "index"
    stage: StageRef
    embedder: str
    k: int


class TreeSource(Value):
    """Sentences about the entities named in the question."""

    type: Literal["tree"] = "tree"
    stage: StageRef
    max_words: int


Source = Annotated[ShotsSource | IndexSource | TreeSource, Field(discriminator="type")]


class LocalSystem(Value):
    """A causal language model on this machine, with what was added to it.

    `weights` replaces the model's own weights (full fine-tuning); `adapters` are applied in order.
    """

    kind: Literal["local"] = "local"
    model: ModelRef
    weights: StageRef | None = None
    adapters: tuple[StageRef, ...] = ()
    prompt: PromptTemplate = PromptTemplate()
    refusal: str
    sources: tuple[Source, ...] = ()
    decoding: Decoding = Decoding()

    def identity(self) -> dict[str, Any]:
        """What makes the system this one, for hashing: weights by revision, wherever they lie."""
        plain = self.plain()
        plain["model"] = self.model.revision
        return plain

    def weights_key(self) -> tuple[str, ...]:
        """Equal for systems that answer with the same weights in memory."""
        base = self.weights.key if self.weights else self.model.revision
        return (base, *(adapter.key for adapter in self.adapters))

    @property
    def shots(self) -> tuple[Shot, ...]:
        """All worked examples, in order."""
        return tuple(
            shot for source in self.sources if source.type == "shots" for shot in source.shots
        )

    def with_source(self, source: Source) -> LocalSystem:
        """The system with one more source of context."""
        return self.model_copy(update={"sources": (*self.sources, source)})


System = LocalSystem
"""The union of all kinds of system; endpoints and classical models join it later."""
