"""Which ids of an index belong to which document, while an index is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..errors import InputError
from .chunking import Chunk


class DocumentTable:
    """Documents of an index, the ids of their chunks, and FAISS's ids of them."""

    def __init__(self, chunks: Iterable[dict[str, Any]], ids: Iterable[int]) -> None:
        self._of: dict[str, dict[str, int]] = {}
        self._taken: set[str] = set()
        for chunk, at in zip(chunks, ids, strict=True):
            self._put(chunk["document"], chunk["id"], at)

    def __len__(self) -> int:
        return len(self._of)

    def ids(self, documents: Collection[str]) -> list[int]:
        """FAISS's ids of all chunks of some documents, ascending; those not there have none."""
        return sorted(at for name in set(documents) for at in self._of.get(name, {}).values())

    def check(self, chunks: Sequence[Chunk], replaced: Collection[str] = ()) -> None:
        """Raise `InputError` for a document that is there and not `replaced`, or a chunk's id that
        another document has."""
        for chunk in chunks:
            if chunk.document in self._of and chunk.document not in replaced:
                raise InputError(
                    f'the document "{chunk.document}" is in the index already; `update` puts its '
                    "new chunks in the place of the old ones"
                )
            if chunk.id in self._taken and not any(
                chunk.id in self._of.get(name, {}) for name in replaced
            ):
                raise InputError(f'the chunk id "{chunk.id}" is in the index already')

    def add(self, chunks: Sequence[Chunk], ids: Iterable[int]) -> None:
        """Enter chunks."""
        for chunk, at in zip(chunks, ids, strict=True):
            self._put(chunk.document, chunk.id, at)

    def remove(self, documents: Collection[str]) -> None:
        """Strike documents out."""
        for name in set(documents):
            self._taken.difference_update(self._of.pop(name, {}))

    def _put(self, document: str, chunk: str, at: int) -> None:
        self._of.setdefault(document, {})[chunk] = at
        self._taken.add(chunk)
