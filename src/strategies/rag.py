"""RAG: the nearest chunks of the documents go into the prompt."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..errors import CannotRun
from ..models.fetch import resolve
from ..system import IndexSource, System
from .base import Context, Part, Stage, Strategy


class RAG(Strategy):
    """Cut the documents into chunks, embed them, index them with FAISS, retrieve the top `k`.

    `chunk_tokens` and `overlap_tokens` are counted in the embedder's tokens.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"documents"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset(
        {"chunk_tokens", "overlap_tokens", "embedder"}
    )

    type: Literal["rag"] = "rag"
    k: int = Field(default=2, ge=1, le=100)
    chunk_tokens: int = Field(default=200, ge=16, le=8192)
    overlap_tokens: int = Field(default=20, ge=0)
    embedder: str = "minilm"

    def identity(self) -> dict[str, Any]:
        """As every step's, with the embedder by its weights, wherever they lie."""
        revision = resolve(self.embedder, kind="embedder").revision
        return {**super().identity(), "embedder": revision}

    def warm_up(self, system: System, ctx: Context) -> None:
        """FAISS, the splitter and the embedder, whose load is charged to answering."""
        import faiss  # noqa: F401
        import langchain_text_splitters  # noqa: F401

        ctx.embedder(self.embedder)

    def build(self, system: System, ctx: Context) -> None:
        """Chunk, embed and index."""
        from ..rag.chunking import chunk_documents
        from ..rag.index import VectorIndex

        if not ctx.task.documents:
            raise CannotRun(
                "rag needs documents and the task has none (`documents:` of a task folder)"
            )
        embedder = ctx.embedder(self.embedder)
        chunks = chunk_documents(
            ctx.task.documents,
            size=self.chunk_tokens,
            overlap=self.overlap_tokens,
            count_tokens=embedder.count_tokens,
            max_tokens=embedder.max_tokens,
        )
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            ctx.progress("embedding", done, len(chunks))

        vectors = embedder.encode_documents(
            [chunk.text for chunk in chunks],
            progress=told,
        )
        revision = resolve(self.embedder, kind="embedder").revision
        index = VectorIndex.build(chunks, vectors, embedder=self.embedder, revision=revision)
        index.save(ctx.workdir)
        ctx.details["chunks"] = len(chunks)

    def attach(self, system: System, stage: Stage) -> System:
        """Let the System retrieve from the index."""
        return system.with_source(IndexSource(stage=stage.ref, embedder=self.embedder, k=self.k))
