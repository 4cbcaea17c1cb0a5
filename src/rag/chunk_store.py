"""The chunks of an index: a list while it is built, a mapped file when it was loaded."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from pydantic import ValidationError

from ..errors import StorageError
from ..tasks.task import Metadata
from .chunking import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MOST_ENDS = 10_000
"""Ends of lines remembered while metadata are read."""


class ChunkStore(Sequence[Chunk]):
    """Chunks in the order of the rows of an index.

    Those of a file are parsed when they are asked for; all that is kept of them is where each line
    begins. Those that were given lie in memory. A store does not change: `without` and `plus` give
    new ones that share what is common.
    """

    def __init__(
        self, given: Sequence[Chunk], lines: mmap.mmap | bytes, places: NDArray[np.int64]
    ) -> None:
        # A place from 0 on is where a line begins; -1, -2, ... is the first, second, ... given.
        self._given, self._lines, self._places = given, lines, places

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> ChunkStore:
        """The chunks of a list."""
        import numpy as np

        return cls(tuple(chunks), b"", -1 - np.arange(len(chunks), dtype=np.int64))

    @classmethod
    def open(cls, path: Path, places: NDArray[np.int64] | None = None) -> ChunkStore:
        """The lines of a file, which begin at `places` (n,), in bytes; None: at every line.

        Raises `StorageError` for a place outside of the file.
        """
        import numpy as np

        with path.open("rb") as stream:
            empty = stream.seek(0, 2) == 0  # nothing cannot be mapped
            lines = b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if places is None:
            ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == ord("\n"))
            places = np.concatenate([[0], ends + 1])[:-1].astype(np.int64)
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < len(lines):
            raise StorageError(f"{path}: a chunk begins outside of the file; build the index again")
        return cls((), lines, places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> Chunk: ...
    @overload
    def __getitem__(self, at: slice) -> list[Chunk]: ...
    def __getitem__(self, at: int | slice) -> Chunk | list[Chunk]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        place = int(self._places[at])
        if place < 0:
            return self._given[-1 - place]
        try:
            return Chunk.model_validate_json(self._line(place))
        except ValidationError as error:
            raise StorageError(
                f"chunk {at} of the index is not a chunk; build the index again"
            ) from error

    def plain(self) -> Iterator[dict[str, Any]]:
        """Each chunk as plain data, in order, without the cost of making values of lines."""
        for place in self._places.tolist():
            yield self._given[-1 - place].plain() if place < 0 else json.loads(self._line(place))

    def metadata(self) -> Iterator[Metadata]:
        """The metadata of each chunk, in order. Lines that end alike are parsed once, which is
        most of them: a document's chunks share what is told of it."""
        ends: dict[bytes, Metadata] = {}
        for place in self._places.tolist():
            if place < 0:
                yield self._given[-1 - place].metadata
                continue
            line = self._line(place)
            # The last key of a line as it is written; within a text its quotes would be escaped.
            end = line.partition(b'"metadata": ')[2]
            found = ends.get(end) if end else None
            if found is None:
                found = json.loads(line).get("metadata", {}) if b'"metadata"' in line else {}
                if len(ends) >= MOST_ENDS:  # each page of a PDF has an end of its own
                    ends.clear()
                ends[end] = found
            yield found

    def without(self, rows: NDArray[np.int64]) -> ChunkStore:
        """The store without some rows; those after them move up."""
        import numpy as np

        return ChunkStore(self._given, self._lines, np.delete(self._places, rows))

    def plus(self, chunks: Iterable[Chunk]) -> ChunkStore:
        """The store with more chunks at its end."""
        import numpy as np

        given = (*self._given, *chunks)
        places = -1 - np.arange(len(self._given), len(given), dtype=np.int64)
        return ChunkStore(given, self._lines, np.concatenate([self._places, places]))

    def write(self, stream: BinaryIO) -> NDArray[np.int64]:
        """Write a JSON object a line; where each begins, in bytes (n,)."""
        import numpy as np

        places = np.empty(len(self), dtype=np.int64)
        at = 0
        for row, place in enumerate(self._places.tolist()):
            if place < 0:
                text = json.dumps(self._given[-1 - place].plain(), ensure_ascii=False)
                line = text.encode("utf-8") + b"\n"
            else:
                line = self._line(place)
            places[row] = at
            at += stream.write(line)
        return places

    def _line(self, place: int) -> bytes:
        end = self._lines.find(b"\n", place)
        return self._lines[place:] + b"\n" if end < 0 else self._lines[place : end + 1]
