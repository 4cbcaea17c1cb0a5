"""Summary tree: chunks and summaries of them in one index, after RAPTOR (arXiv 2401.18059).

A question about a detail finds a chunk, one about a whole section or subject a summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..context_sources import SummarySource
from ..errors import CannotRun
from ..measure.refresh import How
from ..models.fetch import resolve
from ..system import ClassicalSystem, System
from ..tasks.task import Task
from .base import Context, Part, Previous, Stage, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models.embedder import Embedder
    from ..rag.chunking import Chunk
    from ..rag.extractive import Below
    from ..rag.index import VectorIndex
    from ..rag.summaries import KeptSummaries, Summarise
    from ..rag.tree_shapes import Tree

EXTRACTED_TOGETHER = 256
WRITTEN_TOGETHER = 16
"""Nodes after which summaries are kept: what a kill can lose. A model takes seconds for one."""


class SummaryTree(Strategy):
    """Summarise chunks in a tree, and retrieve chunks and summaries within `budget_tokens`.

    `shape` is headings, windows (neighbours) or clusters (by meaning); a node has at most `fan`
    children. `summaries` are extractive (sentences of the text, no model is asked) or by the
    model, of at most `summary_tokens`. `retrieve` is collapsed (all nodes in one search) or
    top_down (from the root to the chunks, `beam` nodes a level, by vectors alone). Chunks and
    `search` are RAG's, and tokens the embedder's.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"documents", "system", "machine", "seed"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset(
        {
            "shape",
            "fan",
            "summaries",
            "summary_tokens",
            "chunk_tokens",
            "overlap_tokens",
            "chunks",
            "embedder",
            "index",
            "search",
        }
    )

    type: Literal["summary_tree"] = "summary_tree"
    shape: Literal["headings", "windows", "clusters"] = "windows"
    fan: int = Field(default=12, ge=2, le=64)
    summaries: Literal["extractive", "model"] = "extractive"
    summary_tokens: int = Field(default=100, ge=16, le=4096)
    retrieve: Literal["collapsed", "top_down"] = "collapsed"
    budget_tokens: int = Field(default=400, ge=16)
    beam: int = Field(default=16, ge=1, le=1000)
    chunk_tokens: int = Field(default=200, ge=16, le=8192)
    overlap_tokens: int = Field(default=20, ge=0)
    chunks: Literal["heading", "sentences"] = "heading"
    embedder: str = "minilm"
    index: str = "auto"
    search: Literal["dense", "hybrid"] = "hybrid"

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        largest = max(self.chunk_tokens, self.summary_tokens)
        if self.budget_tokens < largest:
            raise ValueError(
                f"budget_tokens is {self.budget_tokens} and one passage can have {largest} tokens "
                f"(chunk_tokens, summary_tokens); set it to {largest} or more"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """As every step's, with the embedder by its weights, wherever they lie."""
        revision = resolve(self.embedder, kind="embedder").revision
        return {**super().identity(), "embedder": revision}

    def depends_on(self) -> frozenset[Part]:
        """The documents; the model where it writes, the seed where chance divides."""
        parts: frozenset[Part] = frozenset({"documents"})
        if self.summaries == "model":
            parts |= {"system", "machine"}
        return parts | {"seed"} if self.shape == "clusters" else parts

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """Documents, and a model where it is to write."""
        if not task.documents:
            raise CannotRun(
                "summary_tree needs documents and the task has none (`documents:` of a task folder)"
            )
        if self.summaries == "model" and isinstance(system, ClassicalSystem):
            raise CannotRun(
                "summaries: model needs a language model, and classical before it has replaced "
                "that by a classifier; take `summaries: extractive`"
            )

    def warm_up(self, system: System, ctx: Context) -> None:
        """The index, the splitter, the embedder and the model that writes; their loads are charged
        to answering."""
        import faiss  # noqa: F401
        import langchain_text_splitters  # noqa: F401

        ctx.embedder(self.embedder)
        if self.search == "hybrid":
            import bm25s  # type: ignore[import-untyped]  # noqa: F401
        if self.summaries == "model":
            from .written_summaries import summariser

            ctx.open(summariser(system, self.summary_tokens)).load()

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        """Vectors and summaries of what stayed as it was are taken from the older tree."""
        return "updated" if task.documents else "rebuilt"

    def build(self, system: System, ctx: Context) -> None:
        """Chunk, embed, grow the tree, summarise it, and index all of it."""
        import numpy as np

        from ..rag.chunking import chunk_documents
        from ..rag.index import VectorIndex
        from ..rag.lexical import LexicalIndex
        from ..rag.summaries import KeptSummaries, known_summaries
        from ..rag.summary_index import SummaryIndex
        from ..rag.tree_shapes import grown

        self.check(system, ctx.task, ())
        embedder = ctx.embedder(self.embedder)
        self._check_length(embedder)
        chunks = chunk_documents(
            ctx.task.documents,
            size=self.chunk_tokens,
            overlap=self.overlap_tokens,
            count_tokens=embedder.count_tokens,
            max_tokens=embedder.max_tokens,
            by=self.chunks,
        )
        if not chunks:
            raise CannotRun("summary_tree found no text in the task's documents")
        older, known = None, {}
        if ctx.previous is not None:
            revision = resolve(self.embedder, kind="embedder").revision
            older = VectorIndex.load(ctx.previous.folder, embedder=self.embedder, revision=revision)
            known = known_summaries(ctx.previous.folder)
        vectors = self._embedded(chunks, older, ctx)
        tree = grown(self.shape, chunks, vectors, fan=self.fan, seed=ctx.seed)
        kept = KeptSummaries(ctx.effort, known)
        nodes = self._summarised(tree, chunks, vectors, kept, system, ctx)
        kept.save(ctx.workdir)
        if nodes:
            vectors = np.concatenate([vectors, self._embedded(nodes, older, ctx, kept)])
        revision = resolve(self.embedder, kind="embedder").revision
        both = [*chunks, *nodes]
        index = VectorIndex.build(
            both, vectors, embedder=self.embedder, revision=revision, kind=self.index
        )
        tokens = np.array([embedder.count_tokens(node.text) for node in both], dtype=np.int64)
        lexical = None
        if self.search == "hybrid":
            lexical = LexicalIndex.build(node.text for node in both)
        SummaryIndex(index, tree, tokens, lexical).save(ctx.workdir)
        ctx.details.update(
            chunks=len(chunks),
            nodes=len(nodes),
            levels=int(tree.levels.max()),
            index=index.manifest.why,
        )

    def _check_length(self, embedder: Embedder) -> None:
        most = embedder.max_tokens
        if most is not None and self.summary_tokens > most:
            raise CannotRun(
                f"summaries of {self.summary_tokens} tokens are longer than the {most} tokens that "
                f"the embedder reads; set summary_tokens to {most} or less"
            )

    def _embedded(
        self,
        chunks: Sequence[Chunk],
        older: VectorIndex | None,
        ctx: Context,
        kept: KeptSummaries | None = None,
    ) -> NDArray[Any]:
        """The vectors (len(chunks), d) of chunks or summaries; those of `older` as they are there.
        What they cost is noted in `kept`."""
        import numpy as np

        rows = {chunk.text: row for row, chunk in enumerate(older.chunks)} if older else {}
        places = [rows.get(chunk.text, -1) for chunk in chunks]
        texts = [chunk.text for chunk, row in zip(chunks, places, strict=True) if row < 0]
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            ctx.progress("embedding", done, len(texts))
            if kept is not None:
                kept.keep({})

        made = ctx.embedder(self.embedder).encode_documents(texts, progress=told)
        if older is None or len(texts) == len(chunks):
            return made
        known = np.array(places) >= 0
        vectors = np.empty((len(chunks), older.manifest.dimension), dtype=np.float32)
        vectors[known] = older.vectors_of([row for row in places if row >= 0])
        vectors[~known] = made
        return vectors

    def _summarised(
        self,
        tree: Tree,
        chunks: Sequence[Chunk],
        vectors: NDArray[Any],
        kept: KeptSummaries,
        system: System,
        ctx: Context,
    ) -> list[Chunk]:
        """The summaries of all nodes above the chunks, as chunks."""
        from ..rag.extractive import Extractive
        from ..rag.summaries import summarised
        from .written_summaries import INSTRUCTION, WrittenSummaries

        embedder = ctx.embedder(self.embedder)
        # Summaries are kept, so the vectors of single sentences need not be.
        extractive = Extractive(embedder.uncached().encode_documents, embedder.count_tokens)
        how: list[Any] = [self.version, resolve(self.embedder, kind="embedder").revision]
        writer: WrittenSummaries | None = None
        summarise: Summarise
        if self.summaries == "model":
            summarise = writer = WrittenSummaries(
                system, ctx.open, self.summary_tokens, extractive, embedder.count_tokens
            )
            how += [INSTRUCTION, system.weights_key(), system.decoding.context_tokens]
        else:

            def summarise(below: Sequence[Below]) -> list[tuple[str, bool]]:
                return [(text, True) for text in extractive(below)]

        nodes = summarised(
            tree,
            chunks,
            vectors,
            summarise=summarise,
            kept=kept,
            how=how,
            tokens=self.summary_tokens,
            count_tokens=embedder.count_tokens,
            batch=WRITTEN_TOGETHER if writer else EXTRACTED_TOGETHER,
            progress=lambda done, total: ctx.progress("summarising", done, total),
        )
        if writer is not None:
            if not kept.made:  # what an earlier attempt wrote shows that it can be done
                writer.check()
            ctx.details["summaries"] = writer.details
        return nodes

    def attach(self, system: System, stage: Stage) -> System:
        """Let the System retrieve from the tree."""
        return system.with_source(
            SummarySource(
                stage=stage.ref,
                embedder=self.embedder,
                search=self.search,
                retrieve=self.retrieve,
                budget_tokens=self.budget_tokens,
                beam=self.beam,
            )
        )
