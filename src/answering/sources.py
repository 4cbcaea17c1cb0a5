"""Sources: the documents, trees, indexes and shots of a System, opened, for what is asked."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence

from ..files import read_text
from ..prompt import Passage, Shot, ordered
from ..rag.shot_index import ShotIndex, others
from ..system import DocumentsSource, IndexSource, NearestShots, System, TreeSource
from ..tasks.task import Document, Example
from .pool import Pool
from .window import pasted

Retrieve = Callable[[Sequence[str]], list[list[Passage]]]
"""Questions -> the passages of each, best first."""


class Sources:
    """What a System's prompts are made of beside the question; opened once, when first needed."""

    def __init__(self, system: System, pool: Pool) -> None:
        self._system, self._pool = system, pool

    def open(self) -> None:
        """Open them all, so that answering need not."""
        _ = self._retrievers, self._shot_indexes

    def passages(self, questions: Sequence[str]) -> list[list[Passage]]:
        """The passages of each question, in the order in which a prompt has them."""
        found: list[list[Passage]] = [[] for _ in questions]
        for retrieve in self._retrievers:
            for passages, more in zip(found, retrieve(questions), strict=True):
                passages.extend(more)
        return found

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
                opened.append((source, ShotIndex.load(folder, embedder=source.embedder)))
        return opened

    @functools.cached_property
    def _retrievers(self) -> list[Retrieve]:
        opened: list[Retrieve] = []
        # What is the same in every prompt first, so that it is read once. Then the tree: the
        # sentence that places an entity stands before the prose about it.
        first = {"documents": 0, "tree": 1}
        for source in sorted(self._system.sources, key=lambda source: first.get(source.type, 2)):
            if isinstance(source, DocumentsSource):
                opened.append(self._documents(source))
            elif isinstance(source, IndexSource):
                opened.append(self._index(source))
            elif isinstance(source, TreeSource):
                opened.append(self._tree(source))
        return opened

    def _documents(self, source: DocumentsSource) -> Retrieve:
        path = self._pool.stages.folder(source.stage) / "documents.json"
        documents = pasted([Document(**row) for row in json.loads(read_text(path))])
        return lambda questions: [list(documents) for _ in questions]

    def _index(self, source: IndexSource) -> Retrieve:
        from ..rag.index import VectorIndex
        from ..rag.retriever import Retriever

        embedder = self._pool.embedder(source.embedder)
        index = VectorIndex.load(self._pool.stages.folder(source.stage), embedder=source.embedder)
        retriever = Retriever(index, embedder.encode_queries)
        return lambda questions: retriever.retrieve(questions, source.k)

    def _tree(self, source: TreeSource) -> Retrieve:
        from ..rag.entity_tree import EntityTree

        tree = EntityTree.load(self._pool.stages.folder(source.stage) / "tree.json")
        return lambda questions: [tree.describe(q, source.max_words) for q in questions]
