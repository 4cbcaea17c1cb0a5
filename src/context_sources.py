"""Sources: what a prompt is given beside the question, as small values that a System holds."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .prompt import Shot, ShotOrder
from .search import Search
from .stages import StageRef
from .values import Value


class ShotsSource(Value):
    """Worked examples that stand in every prompt."""

    type: Literal["shots"] = "shots"
    shots: tuple[Shot, ...]


class NearestShots(Value):
    """The `k` training examples whose questions are nearest to the one that is asked.

    Before `order` changes it, the nearest stands last, next to the question.
    """

    type: Literal["nearest_shots"] = "nearest_shots"
    stage: StageRef
    embedder: str
    k: int
    order: ShotOrder = "chosen"


class DocumentsSource(Value):
    """Whole documents, the same in every prompt."""

    type: Literal["documents"] = "documents"
    stage: StageRef


class IndexSource(Value):
    """The `k` best chunks of an index of the documents, as `search` finds them.

    `embedder` is None where no vectors are searched. The retriever `oracle` looks only into the
    documents of the question's own evidence: the upper bound of any retriever.
    """

    type: Literal["index"] = "index"
    stage: StageRef
    embedder: str | None
    k: int
    retriever: Literal["index", "oracle"] = "index"
    search: Search = Search()

    @model_validator(mode="after")
    def _has_vectors(self) -> Self:
        if (self.embedder is None) != (self.search.by == "lexical"):
            raise ValueError(
                f"embedder is {self.embedder} and search {self.search.by}: lexical search has no "
                "embedder, and the others need one"
            )
        return self


class TreeSource(Value):
    """Sentences about the entities named in the question, or nearly so from the similarity `fuzzy`
    on (None: only by their names)."""

    type: Literal["tree"] = "tree"
    stage: StageRef
    max_words: int
    fuzzy: float | None = None


class SummarySource(Value):
    """Chunks and summaries from a tree over them, the best within `budget_tokens`.

    ``collapsed`` searches all nodes at once, by vectors or as `search` says, ``top_down`` goes from
    the root to the chunks, on from the `beam` best nodes of each level. Tokens are the embedder's.
    """

    type: Literal["summary"] = "summary"
    stage: StageRef
    embedder: str
    search: Literal["dense", "hybrid"] = "dense"
    retrieve: Literal["collapsed", "top_down"]
    budget_tokens: int
    beam: int


class LangChainSource(Value):
    """What the LangChain store of a `factory` finds: at most `k` texts, none below `threshold`.

    With a `stage` it is that stage's chunks which were put into the store, and those alone that are
    given; without, the store was filled by others.
    """

    type: Literal["langchain"] = "langchain"
    factory: str
    k: int
    threshold: float | None = None
    stage: StageRef | None = None

    @property
    def filling(self) -> str:
        """What putting the chunks back into a store that lost them is booked as."""
        return f"{self.factory}/{self.stage.key if self.stage else ''}"


Source = Annotated[
    ShotsSource
    | NearestShots
    | DocumentsSource
    | IndexSource
    | TreeSource
    | SummarySource
    | LangChainSource,
    Field(discriminator="type"),
]
