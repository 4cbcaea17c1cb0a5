"""Search: how an index is asked, as a small value that a System and a recipe share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .values import Value

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Fact = str | int | float | bool
"""What a document's metadata hold."""


class SearchSettings(Value):
    """How what was found is put in order, and what becomes of it.

    Of two searches `fusion` makes one score; `weight` is the vectors' part of min-max. `where`:
    metadata that a passage's document must have, a list being any of its values. A `reranker` (a
    cross-encoder) scores the `candidates` anew; `mmr` below 1 prefers passages unlike those before
    them. What scores below `threshold` is left out. `expand` gives a chunk with the one before and
    after it, or its whole document. `order` is the prompt's.
    """

    fusion: Literal["min_max", "rrf"] = "min_max"
    weight: Share = 0.3
    where: dict[str, Fact | list[Fact]] = {}
    reranker: str | None = None
    candidates: int = Field(default=50, ge=1, le=10_000)
    mmr: Share | None = None
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    expand: Literal["none", "neighbours", "document"] = "none"
    order: Literal["best_first", "best_last"] = "best_first"


class Search(SearchSettings):
    """How an index is asked: `by` vectors, by words (BM25) or by both."""

    by: Literal["dense", "lexical", "hybrid"] = "dense"

    @property
    def looks_at_more(self) -> bool:
        """Whether more than the passages asked for are looked at: `candidates`."""
        return self.by == "hybrid" or self.reranker is not None or self.mmr is not None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if fault := self._fault():
            raise ValueError(fault)
        return self

    def _fault(self) -> str:
        """What would do nothing or mean nothing, as a sentence; "" where all goes together."""
        hybrid, plain = self.by == "hybrid", Search.model_fields
        if self.fusion != plain["fusion"].default and not hybrid:
            return f"fusion is {self.fusion} and search {self.by}; only hybrid has two to fuse"
        if self.weight != plain["weight"].default and not (hybrid and self.fusion == "min_max"):
            return (
                f"weight is {self.weight:g}, which only search: hybrid with fusion: min_max uses; "
                "leave it out, or set these"
            )
        if self.mmr is not None and self.by == "lexical":
            return "mmr compares vectors and search: lexical has none; take dense or hybrid"
        if self.candidates != plain["candidates"].default and not self.looks_at_more:
            return (
                f"candidates is {self.candidates}, and without hybrid, reranker or mmr no more "
                "than k are looked at; leave it out"
            )
        if self.threshold is not None and self.fusion == "rrf" and self.reranker is None:
            return (
                "threshold needs scores and fusion: rrf knows ranks only; take min_max or a "
                "reranker"
            )
        bounded = self.by != "lexical" and self.reranker is None
        if self.threshold is not None and self.threshold > 1 and bounded:
            return (
                f"threshold is {self.threshold:g}, and scores of search: {self.by} are 1 at the "
                "most, so nothing would be found; take a number below 1"
            )
        return ""
