"""System: what answers, as a small value. Nothing is loaded; it can be hashed, saved, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from .context_sources import Source
from .endpoint_ref import EndpointRef
from .errors import CannotRun
from .prompt import PromptTemplate, Shot
from .stages import StageRef
from .values import Value, digest

if TYPE_CHECKING:
    from .measure.record import Record


class ModelRef(Value):
    """Which weights: a name and the revision that pins them (a digest, a commit, "local")."""

    name: str
    revision: str


Method = Literal["int8_weight_only", "int4_weight_only", "int8_dynamic", "bnb_8bit", "bnb_4bit"]
"""How weights are quantised: by torchao, on CPU and GPU, or by bitsandbytes, on GPU."""


class Quantization(Value):
    """How the linear layers' weights are stored: `method`; int4 has a scale for each group."""

    method: Method
    group_size: int | None = None


Stop = Annotated[str, Field(min_length=1)]


class Decoding(Value):
    """How an answer is written: greedy at temperature 0, at most `max_tokens`, cut at a stop.

    Otherwise drawn from the `top_k` likeliest tokens (0: all), and of those from the likeliest that
    together reach `top_p`. With `samples` above 1 a question is answered so often and the most
    frequent answer counts. With `choices` the answer is one of them, whatever the model would have
    said. `context_tokens` bounds the prompt: passages that do not fit are left out, the last first.
    """

    max_tokens: int = Field(default=24, ge=1, le=4096)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    stop: tuple[Stop, ...] = ("\n",)
    samples: int = Field(default=1, ge=1, le=64)
    choices: tuple[Stop, ...] = ()
    context_tokens: int | None = Field(default=None, ge=16)

    @model_validator(mode="after")
    def _makes_sense(self) -> Decoding:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples} and temperature 0: all would be the same; give a "
                "temperature, such as 0.7"
            )
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("each of choices once")
        return self


class _Answering(Value):
    """What every kind of system has: how it asks, what it is given, how it writes."""

    prompt: PromptTemplate = PromptTemplate()
    refusal: str
    sources: tuple[Source, ...] = ()
    decoding: Decoding = Decoding()

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The worked examples that stand in every prompt, in order."""
        return tuple(
            shot for source in self.sources if source.type == "shots" for shot in source.shots
        )

    def with_source(self, source: Source) -> Self:
        """The system with one more source of context."""
        return self.model_copy(update={"sources": (*self.sources, source)})

    def save(
        self, folder: Path | str, *, record: Record | None = None, merge: bool = False
    ) -> Path:
        """Write all that another machine needs to answer the same; see `save_system`."""
        # The one arrow that points up: what is a function there is a method here.
        from .artefact.saving import save_system

        return save_system(parse_system(self.plain()), folder, record=record, merge=merge)


class LocalSystem(_Answering):
    """A causal language model on this machine, with what was added to it.

    `weights` replaces the model's own weights (full fine-tuning, pruning, quantising); `adapters`
    are applied in order. `quantization` says how `weights` are quantised: they can be answered
    with, and neither trained nor adapted.
    """

    kind: Literal["local"] = "local"
    model: ModelRef
    weights: StageRef | None = None
    adapters: tuple[StageRef, ...] = ()
    quantization: Quantization | None = None

    def identity(self) -> dict[str, Any]:
        """What makes the system this one, for hashing: weights by revision, wherever they lie."""
        plain = self.plain()
        plain["model"] = self.model.revision
        return plain

    def weights_key(self) -> tuple[str, ...]:
        """Equal for systems that answer with the same weights in memory."""
        base = self.weights.key if self.weights else self.revision
        return (base, *(adapter.key for adapter in self.adapters))

    @property
    def revision(self) -> str:
        """The revision that pins the model's weights."""
        return self.model.revision


class EndpointSystem(_Answering):
    """A model behind a server, or a LangChain chat model: its weights are not ours."""

    kind: Literal["endpoint"] = "endpoint"
    endpoint: EndpointRef

    def identity(self) -> dict[str, Any]:
        """What makes the system this one, for hashing: whose key asks is no part of it."""
        plain = self.plain()
        del plain["endpoint"]["key_env"]
        return plain

    def weights_key(self) -> tuple[str, ...]:
        """Equal for systems that can be asked through the same open client."""
        return ("endpoint", self.endpoint.digest())

    @property
    def revision(self) -> str:
        """Digest of the model's name and place; what its maker changes behind it is not known."""
        of = self.endpoint
        return digest([of.endpoint, of.langchain, of.model])


BARE = PromptTemplate(instruction="")
"""The question alone is the whole chat."""


class ClassicalSystem(_Answering):
    """A classifier in a stage: no language model, and nothing to prompt, to retrieve or to draw."""

    kind: Literal["classical"] = "classical"
    prompt: PromptTemplate = BARE
    stage: StageRef

    def identity(self) -> dict[str, Any]:
        """What makes the system this one, for hashing."""
        return self.plain()

    def weights_key(self) -> tuple[str, ...]:
        """Equal for systems that answer with the same classifier."""
        return ("classical", self.stage.key)

    @property
    def revision(self) -> str:
        """The key of its stage, which pins what it was fitted on and how."""
        return self.stage.key

    def check_alone(self) -> None:
        """Raise `CannotRun` where a later step gave it what only a language model could use."""
        if self.sources or self.prompt != BARE or self.decoding.samples > 1:
            raise CannotRun(
                "classical looks at the question alone: prompts, passages, shots and samples after "
                "it would do nothing; let it be the only step of its run"
            )


System = Annotated[LocalSystem | EndpointSystem | ClassicalSystem, Field(discriminator="kind")]
"""The union of all kinds of system."""

_SYSTEM: TypeAdapter[LocalSystem | EndpointSystem | ClassicalSystem] = TypeAdapter(System)


def parse_system(plain: dict[str, Any]) -> LocalSystem | EndpointSystem | ClassicalSystem:
    """The System that a record holds as plain JSON; one from before there were fences has none."""
    if "prompt" in plain:
        plain = {**plain, "prompt": {"fence": "none", **plain["prompt"]}}
    return _SYSTEM.validate_python(plain)


def check_free_questions(system: System) -> None:
    """Raise `CannotRun` where a question that is of no task would find nothing."""
    if any(source.type == "index" and source.retriever == "oracle" for source in system.sources):
        raise CannotRun(
            "retriever: oracle looks into the evidence of a task's question, and a free question "
            "has none; take a system with retriever: index"
        )


def with_weights(system: System, step: str) -> LocalSystem:
    """The system, where its weights are ours; raises `CannotRun` for a `step` that needs them."""
    if isinstance(system, LocalSystem):
        return system
    if isinstance(system, ClassicalSystem):
        raise CannotRun(
            f"{step} needs a language model, and classical before it has replaced that by a "
            "classifier; let classical be the only step of its run"
        )
    raise CannotRun(
        f"{step} needs the model's weights, and {system.endpoint.name} is asked through an "
        "endpoint; take a model of this machine (`model:` as a name, a folder or a hub id)"
    )


def with_float_weights(system: System, step: str) -> LocalSystem:
    """As `with_weights`, for a `step` that changes them: `CannotRun` where they are quantised."""
    ours = with_weights(system, step)
    if ours.quantization is not None:
        raise CannotRun(
            f"weights quantised by {ours.quantization.method} cannot be trained, pruned "
            "or quantised again; put `quantize` last among the steps that change weights"
        )
    return ours
