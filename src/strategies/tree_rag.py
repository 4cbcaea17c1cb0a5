"""Tree RAG (T-RAG, arXiv 2402.07483): retrieval plus what the organisation tree says.

Entities named in the question are looked up in the hierarchy; their path, roles, members and
siblings stand in the prompt as sentences beside the retrieved chunks. Where nothing matches, the
tree is skipped.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..context_sources import TreeSource
from ..errors import CannotRun
from ..system import System
from .base import Context, Part, Stage, Strategy
from .rag import RAG


class TreeRAG(Strategy):
    """Merge sentences of the entity tree with chunks retrieved by `rag` (null: the tree alone).

    A name that a question has with a slip of the pen is found where the whole of it is similar by
    at least `fuzzy`, and told as such; null finds names as they are written only.
    """

    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[Part]] = frozenset({"hierarchy"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset()

    type: Literal["tree_rag"] = "tree_rag"
    max_words: int = Field(default=90, ge=10, le=2000)
    fuzzy: float | None = Field(default=0.9, gt=0, le=1)
    rag: RAG | None = RAG()

    def identity(self) -> dict[str, Any]:
        """As every step's, with that of the retrieval it holds."""
        return {**super().identity(), "rag": self.rag.identity() if self.rag else None}

    def prepare(self, system: System, ctx: Context) -> System:
        """The index first (shared with a plain `rag`), then the tree."""
        if self.rag is not None:
            system = ctx.fold(system, [self.rag])
        return super().prepare(system, ctx)

    def build(self, system: System, ctx: Context) -> None:
        """Index the names of the tree."""
        from ..rag.entity_tree import EntityTree

        if ctx.task.hierarchy is None:
            raise CannotRun(
                "tree_rag needs a hierarchy and the task has none (`hierarchy:` of a task folder)"
            )
        tree = EntityTree(ctx.task.hierarchy)
        tree.save(ctx.workdir / "tree.json")
        ctx.details["entities"] = sum(1 for _ in ctx.task.hierarchy.walk())

    def attach(self, system: System, stage: Stage) -> System:
        """Let the System look entities up."""
        source = TreeSource(stage=stage.ref, max_words=self.max_words, fuzzy=self.fuzzy)
        return system.with_source(source)
