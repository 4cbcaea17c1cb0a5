"""A vector index of chunks on FAISS: built, searched, changed, saved and opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import index_kinds as kinds
from .chunk_store import ChunkStore
from .chunking import Chunk
from .document_table import DocumentTable
from .index_checks import DECIMALS as DECIMALS
from .index_checks import checked, ranked, unit
from .index_files import IndexManifest, read_index, write_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_WITHIN = 20_000
"""Rows up to which a selection is compared one by one in an index that is not exact: lists and
graphs pass most of a small selection by."""
MOST_EFFORT = 64
MOST_DEAD = 0.2
"""Of the rows of an index that cannot give them up; beyond, it is built again."""


class VectorIndex:
    """Chunks and their vectors. The score is the inner product of unit vectors: the cosine.

    A row is a place in `chunks`. FAISS knows a row by an id that stays when others go; `_ids` (n,)
    holds them, ascending. Where FAISS cannot take rows out, their ids are only forgotten here.
    """

    def __init__(
        self, index: Any, chunks: ChunkStore, ids: NDArray[np.int64], manifest: IndexManifest
    ) -> None:
        self._index, self._ids, self._mapped = index, ids, False
        self.chunks = chunks
        self.manifest = manifest
        self._table: DocumentTable | None = None
        self._alive: Any = None

    def __len__(self) -> int:
        return len(self.chunks)

    @classmethod
    def build(
        cls,
        chunks: Sequence[Chunk],
        vectors: NDArray[Any],
        *,
        embedder: str,
        revision: str = "",
        kind: str = "auto",
    ) -> VectorIndex:
        """Index `vectors` (n, d), row i being the embedding of `chunks[i]`; rows are scaled to
        unit length. `embedder` and `revision` name the model that made them; `kind` is auto, flat,
        hnsw, ivf or a FAISS factory string.

        Raises `InputError` for no chunks, chunks without text, an id used twice, numbers that do
        not agree, vectors that are not finite or all zero, or a kind that cannot be made.
        """
        import numpy as np

        rows = checked(chunks, vectors)
        index, plan = kinds.filled(kind, rows)
        manifest = IndexManifest(
            embedder=embedder,
            revision=revision,
            dimension=int(rows.shape[1]),
            asked=kind,
            **plan.plain(),
            chunks=len(chunks),
            documents=len({chunk.document for chunk in chunks}),
        )
        return cls(index, ChunkStore.of(chunks), np.arange(len(chunks), dtype=np.int64), manifest)

    def save(self, folder: Path) -> None:
        """Write index.faiss, chunks.jsonl, rows.npy and, last, manifest.json into `folder`.

        Raises `StorageError` where it cannot be written; what stood there then still does.
        """
        self.manifest = write_index(folder, self._index, self.chunks, self._ids, self.manifest)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        embedder: str,
        revision: str | None = None,
        dimension: int | None = None,
    ) -> VectorIndex:
        """Open a saved index for questions embedded by `embedder`, or by any that has the given
        `revision`, into `dimension` where given. Vectors and chunks stay in their files, mapped
        into memory.

        Raises `StorageError` where a file is missing or changed, or the index was made with
        another embedder, revision or dimension.
        """
        name = None if revision else embedder  # equal weights may lie in two places
        wanted = {"embedder": name, "revision": revision, "dimension": dimension}
        opened = cls(*read_index(folder, wanted))
        opened._mapped = True
        return opened

    def search(
        self, vectors: NDArray[Any], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[list[tuple[int, float]]]:
        """The `k` rows of the highest cosine for each of `vectors` (n, d), as (row, cosine), best
        first; all where there are fewer. `allowed` (m,) are the rows to search within. Equal
        scores are ordered by chunk id.

        Raises `InputError` for k < 1, another dimension, vectors that are not finite, or rows that
        are not there.
        """
        import numpy as np

        if k < 1:
            raise InputError(f"k is {k}; at least 1 chunk must be asked for")
        if np.ndim(vectors) != 2 or np.shape(vectors)[1] != self.manifest.dimension:
            raise InputError(
                f"question vectors of shape {np.shape(vectors)} for an index of "
                f"{self.manifest.dimension} dimensions; is the embedder the same?"
            )
        if allowed is not None:
            allowed = self._rows(allowed)
        k = min(k, len(self) if allowed is None else len(allowed))
        if len(vectors) == 0 or k == 0:
            return [[] for _ in vectors]
        questions = unit(vectors, "the vectors of the questions")
        if kinds.is_exact(self._index):
            scores, rows = self._exact(questions, k, allowed)
        elif allowed is not None and len(allowed) <= EXACT_WITHIN:
            scores = np.round(questions @ self.vectors_of(allowed).T, DECIMALS)
            rows = np.broadcast_to(allowed, scores.shape)
        else:
            scores, rows = self._near(questions, k, allowed)
        return [ranked(*pair, k, self.chunks) for pair in zip(rows, scores, strict=True)]

    def _exact(
        self, questions: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        import numpy as np

        # FAISS keeps the rows in their order here, so its table of ids is passed by: it wakes all
        # threads to go through the few hits of a question.
        flat, params = kinds.library().downcast_index(self._index.index), None
        if allowed is not None:
            params = kinds.parameters(flat, kinds.selector(allowed, len(self)))
        most = len(self) if allowed is None else len(allowed)
        reach = min(most, k + 8)
        while True:
            scores, rows = flat.search(questions, reach, params=params)
            scores = np.round(scores, DECIMALS)
            # Where a tie goes on past what was fetched, its first by id may not be among it.
            if reach == most or bool((scores[:, -1] < scores[:, k - 1]).all()):
                return scores, rows
            reach = min(most, reach * 4)

    def _near(
        self, questions: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Widens the search until each question has its k; a graph may have parts out of reach,
        so there can be fewer in the end (row -1)."""
        import numpy as np

        selector = self._selector(allowed)
        effort = 1.0 if allowed is None else len(self) / len(allowed)
        while True:
            params = kinds.parameters(self._index, selector, effort)
            scores, ids = self._index.search(questions, k, params=params)
            if effort >= MOST_EFFORT or bool((ids >= 0).all()):
                rows = np.where(ids >= 0, np.searchsorted(self._ids, ids), -1)
                return np.round(scores, DECIMALS), rows
            effort *= 4

    def vectors_of(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (len(rows), d) of some rows, as the index keeps them: of length 1, or near
        it where they are kept in fewer bits. Raises `InputError` for rows that are not there."""
        return kinds.reconstructed(self._index, self._ids[self._rows(rows)])

    def add(self, chunks: Sequence[Chunk], vectors: NDArray[Any]) -> None:
        """Add the chunks of new documents with their `vectors` (n, d), as the last rows.

        Raises `InputError` as `build` does, and for a document that is there already.
        """
        rows = checked(chunks, vectors, self.manifest.dimension)
        self._documents.check(chunks)
        self._change([], chunks, rows)

    def remove(self, documents: Collection[str]) -> int:
        """Remove all chunks of `documents`; how many there were. The rows after them move up.

        Raises `InputError` where nothing would be left.
        """
        gone = self._documents.ids(documents)
        if len(gone) == len(self):
            raise InputError(f"all {len(self):,} chunks would be removed; an index holds some")
        if gone:
            self._change(documents)
        return len(gone)

    def update(self, chunks: Sequence[Chunk], vectors: NDArray[Any]) -> int:
        """Put `chunks` in the place of all that the index has of their documents, new documents
        included, as the last rows; how many chunks went. The rows after those move up.

        Raises `InputError` as `build` does; nothing has changed then.
        """
        rows = checked(chunks, vectors, self.manifest.dimension)
        documents = {chunk.document for chunk in chunks}
        self._documents.check(chunks, documents)
        gone = self._documents.ids(documents)
        self._change(documents, chunks, rows)
        return len(gone)

    @property
    def _documents(self) -> DocumentTable:
        """Made when it is first needed: an index that only answers does without."""
        if self._table is None:
            self._table = DocumentTable(self.chunks.plain(), self._ids.tolist())
        return self._table

    def _change(
        self,
        documents: Collection[str],
        chunks: Sequence[Chunk] = (),
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        """Take `documents` out, put `chunks` in, and build again where that is due."""
        import faiss
        import numpy as np

        if self._mapped:  # a mapped file cannot be changed
            self._index = faiss.deserialize_index(faiss.serialize_index(self._index))
            self._mapped = False
        native = kinds.native(self._index)
        table = self._documents
        gone = np.array(table.ids(documents), dtype=np.int64)
        kinds.forget_places(self._index)
        if native and gone.size:
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
        table.remove(documents)
        rows = np.searchsorted(self._ids, gone)
        self.chunks = self.chunks.without(rows)
        first = (int(self._ids[-1]) + 1) if native else self._index.ntotal
        self._ids = np.delete(self._ids, rows)
        if vectors is not None:
            ids = np.arange(first, first + len(chunks), dtype=np.int64)
            kinds.add(self._index, vectors, ids)
            table.add(chunks, ids.tolist())
            self.chunks = self.chunks.plus(chunks)
            self._ids = np.concatenate([self._ids, ids])
        self._alive = None
        self.manifest = self.manifest.model_copy(
            update={"chunks": len(self), "documents": len(table), "sha256": {}, "bytes": {}}
        )
        outgrown = False
        if self.manifest.kind == "ivf":
            outgrown = kinds.outgrown(self._index, len(self))
        elif self.manifest.asked == "auto" and self.manifest.kind == "flat":
            outgrown = len(self) > kinds.EXACT_MOST
        if outgrown or self._index.ntotal - len(self) > MOST_DEAD * self._index.ntotal:
            self._build_again()

    def _build_again(self) -> None:
        import numpy as np

        vectors = kinds.reconstructed(self._index, self._ids)
        self._index, plan = kinds.filled(self.manifest.asked, vectors)
        self._ids = np.arange(len(self), dtype=np.int64)
        self._table = None
        self.manifest = self.manifest.model_copy(update=plan.plain())

    def _rows(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        import numpy as np

        checked_rows = np.asarray(rows, dtype=np.int64)
        if checked_rows.size and not 0 <= checked_rows.min() <= checked_rows.max() < len(self):
            raise InputError(
                f"rows from {checked_rows.min()} to {checked_rows.max()} were asked for, and the "
                f"index has {len(self)}: 0 to {len(self) - 1}"
            )
        return checked_rows

    def _selector(self, allowed: NDArray[np.int64] | None) -> Any:
        """FAISS's selector of some rows, or of those that were not removed; None: no need."""
        if allowed is None and self._index.ntotal == len(self):
            return None
        if allowed is None and self._alive is not None:
            return self._alive
        ids = self._ids if allowed is None else self._ids[allowed]
        selector = kinds.selector(ids, int(self._ids[-1]) + 1)
        if allowed is None:
            self._alive = selector
        return selector
