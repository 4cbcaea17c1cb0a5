"""An exact vector index of chunks on FAISS, saved as three files that check each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ..errors import InputError, StorageError
from ..files import file_digest, read_json_lines, read_text, storage, write_json, write_json_lines
from ..values import Value
from .chunking import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX_FILE = "index.faiss"
CHUNKS_FILE = "chunks.jsonl"
MANIFEST_FILE = "manifest.json"
DECIMALS = 6
"""Of a score. float32 products of the same vectors differ in the 7th place with the size of the
batch; rounded, a question finds the same chunks alone and among others."""


class IndexManifest(Value):
    """What an index was made with; a folder whose manifest does not fit is not opened.

    `sha256` holds the digests of the other files by name.
    """

    format: Literal[1] = 1
    embedder: str
    revision: str
    dimension: int
    metric: Literal["inner_product"] = "inner_product"
    normalisation: Literal["l2"] = "l2"
    chunks: int
    documents: int
    sha256: dict[str, str] = {}


class VectorIndex:
    """Chunks and their vectors. The score is the inner product of unit vectors: the cosine.

    Search is exact (`IndexFlatIP` under `IDMap2`), right up to about 100,000 chunks.
    """

    def __init__(self, index: Any, chunks: Sequence[Chunk], manifest: IndexManifest) -> None:
        self._index = index
        self.chunks = tuple(chunks)
        self.manifest = manifest

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
    ) -> VectorIndex:
        """Index `vectors` (n, d), row i being the embedding of `chunks[i]`; rows are scaled to
        unit length. `embedder` and `revision` name the model that made them.

        Raises `InputError` for no chunks, an id used twice, numbers that do not agree, or vectors
        that are not finite.
        """
        import faiss
        import numpy as np

        if not chunks:
            raise InputError("there are no chunks to index; are the documents empty?")
        seen: set[str] = set()
        for chunk in chunks:
            if chunk.id in seen:
                raise InputError(f'the chunk id "{chunk.id}" is used twice')
            seen.add(chunk.id)
        if np.ndim(vectors) != 2 or len(vectors) != len(chunks) or np.shape(vectors)[1] < 1:
            raise InputError(
                f"vectors of shape {np.shape(vectors)} for {len(chunks)} chunks; one row a chunk "
                "is needed"
            )
        rows = _unit(vectors, "the vectors of the chunks")
        index = faiss.IndexIDMap2(faiss.IndexFlatIP(rows.shape[1]))
        index.add_with_ids(rows, np.arange(len(chunks), dtype=np.int64))
        manifest = IndexManifest(
            embedder=embedder,
            revision=revision,
            dimension=int(rows.shape[1]),
            chunks=len(chunks),
            documents=len({chunk.document for chunk in chunks}),
        )
        return cls(index, chunks, manifest)

    def save(self, folder: Path) -> None:
        """Write index.faiss, chunks.jsonl and, last, manifest.json into `folder`.

        Raises `StorageError` where it cannot be written.
        """
        import faiss

        beside = folder / f".{INDEX_FILE}.{os.getpid()}.tmp"
        with storage(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                faiss.write_index(self._index, str(beside))
                os.replace(beside, folder / INDEX_FILE)
            except RuntimeError as error:  # what FAISS raises for every fault of a file
                reason = str(error).strip().splitlines()[-1]
                raise StorageError(f"{folder / INDEX_FILE} was not written: {reason}") from error
            finally:
                beside.unlink(missing_ok=True)
        write_json_lines(folder / CHUNKS_FILE, (chunk.plain() for chunk in self.chunks))
        sums = {name: file_digest(folder / name) for name in (INDEX_FILE, CHUNKS_FILE)}
        write_json(
            folder / MANIFEST_FILE, self.manifest.model_copy(update={"sha256": sums}).plain()
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        embedder: str,
        revision: str | None = None,
        dimension: int | None = None,
    ) -> VectorIndex:
        """Open a saved index for questions embedded by `embedder` (and `revision` and `dimension`
        where given).

        Raises `StorageError` where a file is missing or changed, or the index was made with
        another embedder, revision or dimension.
        """
        import faiss

        manifest = _manifest(folder / MANIFEST_FILE)
        wanted = {"embedder": embedder, "revision": revision, "dimension": dimension}
        for what, value in wanted.items():
            made = getattr(manifest, what)
            if value is not None and made != value:
                raise StorageError(
                    f"{folder}: the index was made with {what} {made}, not {value}; build it again"
                )
        for name in (INDEX_FILE, CHUNKS_FILE):
            path = folder / name
            if not path.is_file():
                raise StorageError(f"{path}: there is no such file; build the index again")
            if file_digest(path) != manifest.sha256.get(name):
                raise StorageError(
                    f"{path}: the file is not the one that was written (its SHA-256 differs from "
                    f"{MANIFEST_FILE}); build the index again"
                )
        try:
            index = faiss.read_index(str(folder / INDEX_FILE))
            chunks = [Chunk.model_validate(row) for _, row in read_json_lines(folder / CHUNKS_FILE)]
        except (RuntimeError, ValidationError) as error:
            raise StorageError(f"{folder}: the index cannot be read; build it again") from error
        if not index.ntotal == len(chunks) == manifest.chunks or index.d != manifest.dimension:
            raise StorageError(
                f"{folder}: {index.ntotal} vectors of {index.d} dimensions and {len(chunks)} "
                f"chunks where {MANIFEST_FILE} says {manifest.chunks} of {manifest.dimension}; "
                "build the index again"
            )
        return cls(index, chunks, manifest)

    def search(self, vectors: NDArray[Any], k: int) -> list[list[tuple[Chunk, float]]]:
        """The `k` chunks of the highest cosine for each row of `vectors` (n, d), best first; all
        chunks where there are fewer. Equal scores are ordered by chunk id.

        Raises `InputError` for k < 1, another dimension, or vectors that are not finite.
        """
        import numpy as np

        if k < 1:
            raise InputError(f"k is {k}; at least 1 chunk must be asked for")
        if np.ndim(vectors) != 2 or np.shape(vectors)[1] != self.manifest.dimension:
            raise InputError(
                f"question vectors of shape {np.shape(vectors)} for an index of "
                f"{self.manifest.dimension} dimensions; is the embedder the same?"
            )
        if len(vectors) == 0:
            return []
        rows = _unit(vectors, "the vectors of the questions")
        k = min(k, len(self))
        reach = min(len(self), k + 8)
        while True:
            scores, ids = self._index.search(rows, reach)
            scores = np.round(scores, DECIMALS)
            # Where a tie goes on past what was fetched, its first by id may not be among it.
            if reach == len(self) or bool((scores[:, -1] < scores[:, k - 1]).all()):
                break
            reach = min(len(self), reach * 4)
        found: list[list[tuple[Chunk, float]]] = []
        for row_scores, row_ids in zip(scores, ids, strict=True):
            pairs = [
                (self.chunks[int(at)], float(score) + 0.0)  # + 0.0: no minus zero
                for at, score in zip(row_ids, row_scores, strict=True)
            ]
            pairs.sort(key=lambda pair: (-pair[1], pair[0].id))
            found.append([(chunk, round(score, DECIMALS)) for chunk, score in pairs[:k]])
        return found


def _manifest(path: Path) -> IndexManifest:
    if not path.is_file():
        raise StorageError(f"{path}: there is no index there")
    try:
        return IndexManifest.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise StorageError(
            f"{path}: not the manifest of an index ({where}: {first['msg']}); build the index again"
        ) from error


def _unit(vectors: NDArray[Any], what: str) -> NDArray[np.float32]:
    """float32 rows of length 1; a row of zeros stays one and scores 0."""
    import numpy as np

    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(
            f"{what} are not finite: {bad.size} of {len(rows)} hold NaN or infinity, the first "
            f"being row {int(bad[0])}"
        )
    # In float64: the squares of large float32 values overflow.
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths == 0, 1.0, lengths), dtype=np.float32)
