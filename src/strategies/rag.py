"""RAG: the chunks of the documents that fit a question best go into the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..context_sources import IndexSource
from ..errors import CannotRun, ModelError
from ..files import write_json_lines
from ..measure.refresh import How
from ..models.fetch import resolve
from ..search import Search, SearchSettings
from ..system import System
from ..tasks.folder import TREE
from ..tasks.revision import touched_by
from ..tasks.task import Document, Task
from .base import Context, Part, Previous, Stage, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..rag.chunking import Chunk


class RAG(Strategy, SearchSettings):
    """Cut the documents into chunks, index them by vectors, by words or both, retrieve the top `k`.

    `chunk_tokens` and `overlap_tokens` are counted in the embedder's tokens, or in words where
    `search` is lexical and no embedder is opened. `index` is auto, flat, hnsw, ivf or a FAISS
    factory string. `near_duplicates` drops the later of two chunks of so much Jaccard similarity.
    With the retriever `oracle` only the documents of a question's own evidence are
    searched: what the best retriever would reach. All else is how the index is asked; see `Search`.
    """

    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[Part]] = frozenset({"documents"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset(
        {
            "chunks",
            "chunk_tokens",
            "overlap_tokens",
            "near_duplicates",
            "embedder",
            "index",
            "search",
        }
    )

    type: Literal["rag"] = "rag"
    k: int = Field(default=2, ge=1, le=100)
    chunk_tokens: int = Field(default=200, ge=16, le=8192)
    overlap_tokens: int = Field(default=20, ge=0)
    chunks: Literal["heading", "sentences"] = "heading"
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    embedder: str = "minilm"
    index: str = "auto"
    retriever: Literal["index", "oracle"] = "index"
    search: Literal["dense", "lexical", "hybrid"] = "hybrid"

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.search == "lexical" and self.index != "auto":
            raise ValueError(
                f"index is {self.index}, a kind of vector index, and search: lexical has no "
                "vectors; leave it out, or take dense or hybrid"
            )
        try:
            self._search()
        except ValidationError as error:
            fault = error.errors()[0]
            raise ValueError(str(fault.get("ctx", {}).get("error", fault["msg"]))) from None
        return self

    def _search(self) -> Search:
        """How the index is asked, as the System holds it."""
        same = {name: getattr(self, name) for name in SearchSettings.model_fields}
        return Search(by=self.search, **same)

    @property
    def _vectors(self) -> bool:
        return self.search != "lexical"

    def identity(self) -> dict[str, Any]:
        """As every step's, with the models that it uses by their weights, wherever they lie."""
        embedder = resolve(self.embedder, kind="embedder").revision if self._vectors else None
        try:
            reranker = resolve(self.reranker).revision if self.reranker else None
        except ModelError as error:
            raise ModelError(f"{self.type}.reranker: {error}") from error
        return {**super().identity(), "embedder": embedder, "reranker": reranker}

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The task must have documents."""
        if not task.documents:
            raise CannotRun(
                f"{self.type} needs documents and the task has none (`documents:` of a task folder)"
            )

    def warm_up(self, system: System, ctx: Context) -> None:
        """The indexes, the splitter and the embedder, whose load is charged to answering."""
        import langchain_text_splitters  # noqa: F401

        if self._vectors:
            import faiss  # noqa: F401

            ctx.embedder(self.embedder)
        if self.search != "dense":
            import bm25s  # type: ignore[import-untyped]  # noqa: F401

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        """An index of vectors is updated, unless its chunks depend on one another: then, or where
        there are none, all is cut anew."""
        updates = self._vectors and self.near_duplicates is None and task.documents
        return "updated" if updates else "rebuilt"

    def build(self, system: System, ctx: Context) -> None:
        """Chunk, embed and index; of an older index, what changed since."""
        from ..rag.index_files import CHUNKS_FILE
        from ..rag.lexical import LexicalIndex

        if ctx.previous is not None:
            chunks = self._update(ctx.previous, ctx)
        else:
            chunks = self._chunks(ctx.task.documents, ctx)
            if self.near_duplicates is not None:
                chunks = self._without_duplicates(chunks, self.near_duplicates, ctx)
            if self._vectors:
                self._index(chunks, ctx)
            else:
                write_json_lines(ctx.workdir / CHUNKS_FILE, (chunk.plain() for chunk in chunks))
        if self.search != "dense":
            LexicalIndex.build(chunk.text for chunk in chunks).save(ctx.workdir)
        ctx.details["chunks"] = len(chunks)

    def _chunks(self, documents: Sequence[Document], ctx: Context) -> Sequence[Chunk]:
        """Documents cut as the embedder, or the search by words, counts."""
        from ..rag.chunking import chunk_documents
        from ..rag.lexical import count_words

        embedder = ctx.embedder(self.embedder) if self._vectors else None
        return chunk_documents(
            documents,
            size=self.chunk_tokens,
            overlap=self.overlap_tokens,
            count_tokens=embedder.count_tokens if embedder else count_words,
            max_tokens=embedder.max_tokens if embedder else None,
            by=self.chunks,
        )

    def _without_duplicates(
        self, chunks: Sequence[Chunk], similarity: float, ctx: Context
    ) -> Sequence[Chunk]:
        """The chunks without the later of each two that are so similar; told in the record."""
        from ..tasks.near_duplicates import near_duplicates

        pairs = near_duplicates([chunk.text for chunk in chunks], similarity)
        ctx.details["near_duplicates"] = {
            "dropped": len(pairs),
            "first": [f"{chunks[later].id} like {chunks[kept].id}" for kept, later in pairs[:5]],
        }
        dropped = {later for _, later in pairs}
        return [chunk for at, chunk in enumerate(chunks) if at not in dropped]

    def _index(self, chunks: Sequence[Chunk], ctx: Context) -> None:
        """Embed the chunks and write their vector index."""
        from ..rag.index import VectorIndex

        vectors = self._embedded(chunks, ctx)
        revision = resolve(self.embedder, kind="embedder").revision
        index = VectorIndex.build(
            chunks, vectors, embedder=self.embedder, revision=revision, kind=self.index
        )
        index.save(ctx.workdir)
        ctx.details["index"] = index.manifest.why

    def _update(self, previous: Previous, ctx: Context) -> Sequence[Chunk]:
        """Write the older index with the chunks of new and changed documents in the place of what
        it had; all its chunks. The others are neither cut nor embedded again."""
        from ..rag.index import VectorIndex

        touched = touched_by(previous.task, ctx.task) - {TREE}
        cut = self._chunks([one for one in ctx.task.documents if one.id in touched], ctx)
        revision = resolve(self.embedder, kind="embedder").revision
        index = VectorIndex.load(previous.folder, embedder=self.embedder, revision=revision)
        if cut:
            index.update(cut, self._embedded(cut, ctx))
        gone = touched - {chunk.document for chunk in cut}
        index.remove(gone)
        index.save(ctx.workdir)
        ctx.details["index"] = index.manifest.why
        ctx.details["updated"] = {
            "documents": len(touched - gone),
            "gone": len(gone),
            "chunks": len(cut),
        }
        return index.chunks

    def _embedded(self, chunks: Sequence[Chunk], ctx: Context) -> NDArray[Any]:
        """The vectors (len(chunks), d) of some chunks."""
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            ctx.progress("embedding", done, len(chunks))

        texts = [chunk.text for chunk in chunks]
        return ctx.embedder(self.embedder).encode_documents(texts, progress=told)

    def attach(self, system: System, stage: Stage) -> System:
        """Let the System retrieve from the index."""
        return system.with_source(
            IndexSource(
                stage=stage.ref,
                embedder=self.embedder if self._vectors else None,
                k=self.k,
                retriever=self.retriever,
                search=self._search(),
            )
        )
