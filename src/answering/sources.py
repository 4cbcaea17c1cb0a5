"""Sources: the documents, trees, indexes and shots of a System, opened, for what is asked."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..context_sources import (
    DocumentsSource,
    IndexSource,
    LangChainSource,
    NearestShots,
    SummarySource,
    TreeSource,
)
from ..files import read_text
from ..models.fetch import resolve
from ..prompt import Passage, Shot, ordered
from ..rag.shot_index import ShotIndex, others
from ..system import System
from ..tasks.task import Document, Example
from .pool import Pool
from .window import pasted

if TYPE_CHECKING:
    from ..rag.retriever import Retriever

Retrieve = Callable[[Sequence[Example]], list[list[Passage]]]
"""Examples -> the passages of each one's question, best first."""


class Sources:
    """What a System's prompts are made of beside the question; opened once, when first needed."""

    def __init__(self, system: System, pool: Pool) -> None:
        self._system, self._pool = system, pool

    def open(self) -> None:
        """Open them all, so that answering need not."""
        _ = self._retrievers, self._shot_indexes

    def passages(
        self, examples: Sequence[Example], chosen: Sequence[Sequence[Passage]] | None = None
    ) -> list[list[Passage]]:
        """The passages of each question, those of one source together, its best first; with
        `chosen` these stand in the place of the index's."""
        found: list[list[Passage]] = [[] for _ in examples]
        for kind, retrieve in self._retrievers:
            given = chosen if chosen is not None and kind == "index" else retrieve(examples)
            for passages, more in zip(found, given, strict=True):
                passages.extend(more)
        return found

    @functools.cached_property
    def retriever(self) -> Retriever:
        """The System's one index, opened."""
        (source,) = (source for source in self._system.sources if isinstance(source, IndexSource))
        return self._opened(source)

    def in_prompt(self, passages: Sequence[Passage]) -> list[Passage]:
        """Passages that were found, in the order in which a prompt has them.

        Only here is the best put last: which are left out where a prompt is bounded, and how they
        are scored, goes by the best first.
        """
        if not self._best_last:
            return list(passages)
        found = [passage for passage in passages if passage.source == "index"]
        return [found.pop() if passage.source == "index" else passage for passage in passages]

    @property
    def _best_last(self) -> bool:
        sources = [source for source in self._system.sources if source.type == "index"]
        return any(source.search.order == "best_last" for source in sources)

    def shots(self, examples: Sequence[Example]) -> list[list[Shot]]:
        """The worked examples of each: those of every prompt, then the nearest to its question."""
        shots = [others(self._system.shots, example) for example in examples]
        for source, index in self._shot_indexes:
            embed = self._pool.embedder(source.embedder).encode_queries
            near = index.nearest(examples, embed([e.question for e in examples]), source.k)
            for before, more in zip(shots, near, strict=True):
                before.extend(ordered(more, source.order))
        return shots

    @functools.cached_property
    def _shot_indexes(self) -> list[tuple[NearestShots, ShotIndex]]:
        opened = []
        for source in self._system.sources:
            if isinstance(source, NearestShots):
                self._pool.embedder(source.embedder)
                folder = self._pool.stages.folder(source.stage)
                name, revision = source.embedder, revision_of(source.embedder)
                opened.append((source, ShotIndex.load(folder, embedder=name, revision=revision)))
        return opened

    @functools.cached_property
    def _retrievers(self) -> list[tuple[str, Retrieve]]:
        """What each source is, and how it is asked."""
        opened: list[tuple[str, Retrieve]] = []
        # What is the same in every prompt first, so that it is read once. Then the tree: the
        # sentence that places an entity stands before the prose about it.
        first = {"documents": 0, "tree": 1}
        for source in sorted(self._system.sources, key=lambda source: first.get(source.type, 2)):
            if isinstance(source, DocumentsSource):
                opened.append((source.type, self._documents(source)))
            elif isinstance(source, IndexSource):
                opened.append((source.type, self._index(source)))
            elif isinstance(source, TreeSource):
                opened.append((source.type, self._tree(source)))
            elif isinstance(source, SummarySource):
                opened.append((source.type, self._summaries(source)))
            elif isinstance(source, LangChainSource):
                opened.append((source.type, self._store(source)))
        return opened

    def _documents(self, source: DocumentsSource) -> Retrieve:
        path = self._pool.stages.folder(source.stage) / "documents.json"
        documents = pasted([Document(**row) for row in json.loads(read_text(path))])
        return lambda examples: [list(documents) for _ in examples]

    def _opened(self, source: IndexSource) -> Retriever:
        from ..rag.chunk_store import ChunkStore
        from ..rag.index import VectorIndex
        from ..rag.index_files import CHUNKS_FILE
        from ..rag.lexical import LexicalIndex
        from ..rag.retriever import Retriever

        folder, search = self._pool.stages.folder(source.stage), source.search
        index = embed = None
        if source.embedder is not None:
            embed = self._pool.embedder(source.embedder).encode_queries
            revision = revision_of(source.embedder)
            index = VectorIndex.load(folder, embedder=source.embedder, revision=revision)
        return Retriever(
            index,
            embed,
            search=search,
            lexical=LexicalIndex.load(folder) if search.by != "dense" else None,
            chunks=ChunkStore.open(folder / CHUNKS_FILE) if index is None else None,
            judge=self._pool.reranker(search.reranker).score if search.reranker else None,
        )

    def _index(self, source: IndexSource) -> Retrieve:
        retriever = self._opened(source)

        def retrieve(examples: Sequence[Example]) -> list[list[Passage]]:
            oracle = source.retriever == "oracle"
            within = [example.evidence for example in examples] if oracle else None
            return retriever.retrieve([e.question for e in examples], source.k, within)

        return retrieve

    def _store(self, source: LangChainSource) -> Retrieve:
        from .langchain_store import open_store

        find = open_store(source, self._pool)
        return lambda examples: [find(example.question) for example in examples]

    def _tree(self, source: TreeSource) -> Retrieve:
        from ..rag.entity_tree import EntityTree

        path = self._pool.stages.folder(source.stage) / "tree.json"
        tree = EntityTree.load(path, source.fuzzy)
        return lambda examples: [tree.describe(e.question, source.max_words) for e in examples]

    def _summaries(self, source: SummarySource) -> Retrieve:
        from ..rag.summary_index import SummaryIndex

        embedder = self._pool.embedder(source.embedder)
        folder = self._pool.stages.folder(source.stage)
        by_words = source.search == "hybrid" and source.retrieve == "collapsed"
        index = SummaryIndex.load(
            folder,
            embedder=source.embedder,
            revision=revision_of(source.embedder),
            by_words=by_words,
        )

        def retrieve(examples: Sequence[Example]) -> list[list[Passage]]:
            questions = [example.question for example in examples]
            vectors = embedder.encode_queries(questions)
            if source.retrieve == "collapsed":
                return index.collapsed(questions, vectors, source.budget_tokens)
            return index.top_down(vectors, source.budget_tokens, source.beam)

        return retrieve


def revision_of(embedder: str) -> str:
    """The revision that an index must have been made with."""
    return resolve(embedder, kind="embedder").revision
