"""What goes into an index and what comes out of it: rows checked and scaled, ties put in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .chunking import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DECIMALS = 6
"""Of a score. float32 products of the same vectors differ in the 7th place with the size of the
batch; rounded, a question finds the same chunks alone and among others."""


def checked(
    chunks: Sequence[Chunk], vectors: NDArray[Any], dimension: int | None = None
) -> NDArray[np.float32]:
    """The vectors (n, d) of n chunks at length 1.

    Raises `InputError` for no chunks, chunks without text, an id used twice, numbers that do not
    agree, another `dimension`, vectors that are not finite, or nothing but zeros.
    """
    import numpy as np

    if not chunks:
        raise InputError("there are no chunks to index; are the documents empty?")
    empty = [row for row, chunk in enumerate(chunks) if not chunk.text.strip()]
    if empty:
        raise InputError(
            f"{len(empty):,} of {len(chunks):,} chunks have no text, the first being "
            f'"{chunks[empty[0]].id}"; leave them out'
        )
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
    if dimension is not None and np.shape(vectors)[1] != dimension:
        raise InputError(
            f"vectors of {np.shape(vectors)[1]} dimensions for an index of {dimension}; is the "
            "embedder the same?"
        )
    rows = unit(vectors, "the vectors of the chunks")
    if not rows.any():
        raise InputError("the vectors of the chunks are nothing but zeros; is the embedder broken?")
    return rows


def unit(vectors: NDArray[Any], what: str) -> NDArray[np.float32]:
    """float32 rows of length 1; a row of zeros stays one and scores 0."""
    import numpy as np

    rows = np.array(vectors, dtype=np.float32, order="C")
    for start in range(0, len(rows), 2**16):  # in parts, or the float64 would be twice the whole
        part = rows[start : start + 2**16]
        bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if bad.size:
            count = int((~np.isfinite(rows).all(axis=1)).sum())
            raise InputError(
                f"{what} are not finite: {count} of {len(rows)} hold NaN or infinity, the first "
                f"being row {start + int(bad[0])}"
            )
        # In float64: the squares of large float32 values overflow.
        lengths = np.linalg.norm(part.astype(np.float64), axis=1, keepdims=True)
        part[:] = part / np.where(lengths == 0, 1.0, lengths)
    return rows


def ranked(
    rows: NDArray[np.int64], scores: NDArray[Any], k: int, chunks: Sequence[Chunk]
) -> list[tuple[int, float]]:
    """The `k` best of some rows (m,) and their scores, best first and equal ones by chunk id; rows
    below 0 are none."""
    import numpy as np

    rows, scores = rows[rows >= 0], scores[rows >= 0]
    if len(scores) > k:
        keep = scores >= np.partition(scores, -k)[-k]
        rows, scores = rows[keep], scores[keep]
    pairs = [
        (int(row), round(float(score), DECIMALS) + 0.0)  # + 0.0: no minus zero
        for row, score in zip(rows, scores, strict=True)
    ]
    times = Counter(score for _, score in pairs)
    # A chunk is parsed to learn its id, so only where it decides.
    pairs.sort(key=lambda pair: (-pair[1], chunks[pair[0]].id if times[pair[1]] > 1 else ""))
    return pairs[:k]
