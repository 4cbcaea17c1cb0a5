"""From questions to passages: find candidates, judge them, choose, and say where each is from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..prompt import Passage
from ..search import Search
from ..tasks.task import Metadata
from .chunk_store import ChunkStore
from .chunking import Chunk
from .diversity import marginal_relevance
from .expansion import expanded
from .fusion import Hits, min_max, ranked, reciprocal_rank, scaled
from .index import VectorIndex
from .lexical import LexicalIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""n questions -> vectors (n, d), d being the dimension of the index."""
Judge = Callable[[Sequence[tuple[str, str]]], "NDArray[Any]"]
"""n pairs of question and passage -> n relevances, 0 to 1."""

BATCH = 256
"""Questions embedded and searched together."""


class Retriever:
    """An opened index, searched as `search` says.

    An index of vectors needs `embed`. By words `lexical` is searched, over the same rows; where
    there are no vectors, `chunks` are those of its rows. `judge` reranks.
    """

    def __init__(
        self,
        index: VectorIndex | None,
        embed: Embed | None = None,
        *,
        search: Search | None = None,
        lexical: LexicalIndex | None = None,
        chunks: Sequence[Chunk] | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.search = search or Search()
        self.index, self.lexical = index, lexical
        self._embed, self._judge = embed, judge
        self.chunks: Sequence[Chunk] = chunks or (index.chunks if index is not None else ())
        self._allowed = rows_where(self.chunks, self.search.where) if self.search.where else None

    def retrieve(
        self,
        questions: Sequence[str],
        k: int,
        within: Sequence[Sequence[str]] | None = None,
    ) -> list[list[Passage]]:
        """At most `k` passages of each question, best first; fewer where fewer are found, are
        good enough, or share a stretch of text. `within` names, for each question, the documents
        to look into, and no others.

        Raises `InputError` for k < 1, vectors that do not fit the index, or a document in `within`
        that the index does not hold.
        """
        hits = self.ranked(questions, k, within)
        return [self.passages(self._good(self._diverse(one, k))) for one in hits]

    def ranked(
        self, questions: Sequence[str], k: int, within: Sequence[Sequence[str]] | None = None
    ) -> list[Hits]:
        """The `k` best rows of each question with their scores, or all that were looked at, before
        any is left out for being like another or not good enough; else as `retrieve`."""
        if k < 1:
            raise InputError(f"k is {k}; at least 1 passage must be asked for")
        found: list[Hits] = []
        for start in range(0, len(questions), BATCH):
            batch = list(questions[start : start + BATCH])
            documents = None if within is None else within[start : start + BATCH]
            candidates = self._candidates(batch, k, documents)
            found += self._reranked(batch, candidates) if self._judge else candidates
        return found

    def _candidates(
        self, questions: list[str], k: int, within: Sequence[Sequence[str]] | None
    ) -> list[Hits]:
        """The rows that later steps choose from: `k`, or more where one of them looks at more."""
        wide = max(k, self.search.candidates) if self.search.looks_at_more else k
        vectors = self._vectors(questions) if self.search.by != "lexical" else None
        if within is None:
            return self._found(questions, vectors, wide, self._allowed)
        candidates: list[Hits] = []
        for at, (question, documents) in enumerate(zip(questions, within, strict=True)):
            rows = self._rows_in(documents)
            vector = None if vectors is None else vectors[at : at + 1]
            candidates += self._found([question], vector, wide, rows) if len(rows) else [[]]
        return candidates

    def _vectors(self, questions: list[str]) -> NDArray[Any]:
        assert self._embed is not None
        vectors = self._embed(questions)
        if len(vectors) != len(questions):
            raise InputError(
                f"the embedder gave {len(vectors)} vectors for {len(questions)} questions"
            )
        return vectors

    def _found(
        self, questions: list[str], vectors: NDArray[Any] | None, k: int, allowed: Rows | None
    ) -> list[Hits]:
        """By vectors, by words, or both fused."""
        worded: list[Hits] = []
        if self.search.by != "dense":
            assert self.lexical is not None
            worded = list(self.lexical.search(questions, k, allowed=allowed))
        if vectors is None:
            return worded
        assert self.index is not None
        near: list[Hits] = list(self.index.search(vectors, k, allowed=allowed))
        if self.search.by == "dense":
            return near
        return [self._fused(*both)[:k] for both in zip(near, worded, strict=True)]

    def _fused(self, near: Hits, worded: Hits) -> Hits:
        if self.search.fusion == "rrf":
            return reciprocal_rank(near, worded)
        return min_max(near, worded, self.search.weight)

    def _reranked(self, questions: list[str], candidates: list[Hits]) -> list[Hits]:
        """The candidates by the relevance that the reranker gives them."""
        assert self._judge is not None
        pairs = [
            (question, self.chunks[row].text)
            for question, hits in zip(questions, candidates, strict=True)
            for row, _ in hits
        ]
        relevance = iter(self._judge(pairs).tolist())
        return [ranked({row: next(relevance) for row, _ in hits}) for hits in candidates]

    def _diverse(self, hits: Hits, k: int) -> Hits:
        """The `k` best, or with `mmr` those that say the most beside each other."""
        if self.search.mmr is None or not hits:
            return hits[:k]
        assert self.index is not None
        rows = [row for row, _ in hits]
        # Cosines go beside cosines as they are; any other score has a scale of its own.
        cosines = self.search.by == "dense" and self._judge is None
        relevance = [score for _, score in hits] if cosines else list(scaled(hits).values())
        chosen = marginal_relevance(
            relevance, self.index.vectors_of(rows), k, weight=self.search.mmr
        )
        return [hits[at] for at in chosen]

    def _good(self, hits: Hits) -> Hits:
        """Those that score the threshold or more."""
        least = self.search.threshold
        return hits if least is None else [hit for hit in hits if hit[1] >= least]

    def passages(self, hits: Hits) -> list[Passage]:
        """What a prompt shows of the rows that were found, in their order."""
        if self.search.expand == "none":
            texts = [(self.chunks[row], score, self.chunks[row].text) for row, score in hits]
        else:
            reach = 1 if self.search.expand == "neighbours" else None
            texts = expanded(hits, self.chunks, reach)
        return [
            Passage(
                text=text,
                document=chunk.document,
                id=chunk.id,
                title=chunk.title,
                score=score,
                source="index",
                metadata=chunk.metadata,
            )
            for chunk, score, text in texts
        ]

    def _rows_in(self, documents: Sequence[str]) -> Rows:
        """The rows of some documents that `where` allows as well."""
        import numpy as np

        # A document may have none: all its chunks were near-duplicates, it came with a revision, or
        # the evidence is the hierarchy. That names are right was checked when the task was read.
        rows = np.array(
            sorted({row for name in documents for row in self._rows_of.get(name, ())}),
            dtype=np.int64,
        )
        return rows if self._allowed is None else np.intersect1d(rows, self._allowed)

    @functools.cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, chunk in enumerate(self.chunks):
            rows.setdefault(chunk.document, []).append(row)
        return rows


def rows_where(chunks: Sequence[Chunk], where: Mapping[str, Any]) -> Rows:
    """The rows whose metadata have all that `where` asks for; a list is any of its values.

    Raises `InputError` where there are none.
    """
    import numpy as np

    wanted = {key: one if isinstance(one, list) else [one] for key, one in where.items()}

    def told() -> Iterator[Metadata]:
        if isinstance(chunks, ChunkStore):
            return chunks.metadata()
        return (chunk.metadata for chunk in chunks)

    rows = [
        row
        for row, metadata in enumerate(told())
        if all(metadata.get(key) in values for key, values in wanted.items())
    ]
    if not rows:
        known = sorted({key for metadata in told() for key in metadata})
        raise InputError(
            f"where is {dict(where)} and no document is like that; their metadata have "
            f"{', '.join(known) or 'nothing'}"
        )
    return np.array(rows, dtype=np.int64)
