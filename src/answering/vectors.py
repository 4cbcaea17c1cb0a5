"""Vectors of texts, kept on disk by content: no text is embedded twice by the same embedder, where
replies are kept too (`--no-cache` keeps neither).

Texts are embedded in portions of some seconds. Each is a batch with a metered phase "embed" of its
own, written when it ends: who is killed goes on from the last one, and what it cost is known. A
vector that is used again carries its first joules, see `first_costs`.

Only vectors of documents are kept. Each question of an evaluation is asked once, and what it costs
to embed it belongs to answering.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..machine import hardware, software
from ..measure.meter import Meter
from ..measure.record import Phase
from ..measure.work import Work
from ..models.account import Account
from ..models.embedder import Embedder
from ..models.served import Served
from ..values import digest
from .first_costs import FirstCosts, Recalled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

PORTION_S = 5.0
"""A portion ends after so many seconds: what a kill can lose. Counters are read twice in each."""
LOOKED_UP = 4096
"""Texts looked up together, so that their vectors are not in memory twice."""
DOCUMENT = "document"


class VectorCache(FirstCosts[bytes, "Vector"]):
    """Vectors in one file, by embedder and text; and which of them were used again."""

    file, table, key, column = "vectors.sqlite", "vectors", "BLOB", "vector BLOB"

    def settle(
        self, batch: str, vectors: Mapping[bytes, Vector], letters: Sequence[int], phase: Phase
    ) -> None:
        """Write a batch. Its phase is shared by the `letters` of the texts: an embedder's tokens
        are not always known."""
        whole = sum(letters)
        parts = [count / whole if whole else 1 / len(letters) for count in letters]
        self._settle(batch, vectors, parts, phase)

    def worth(self, batch: str, work: Work) -> None:
        """Enter what making a batch was worth."""
        self._work_out(batch, lambda: work)

    def recalled_since(self, mark: int) -> Recalled:
        """The vectors used since `mark` that were made before it, each once, with what they cost.

        Not to be asked within a metered phase, as `Pool.work_since`.
        """
        vectors, phases, work = self._recalled_since(mark)
        return Recalled(vectors=vectors, phases=phases, work=work)

    def _plain(self, made: Vector) -> bytes:
        return made.astype("<f4").tobytes()

    def _read(self, plain: str | bytes) -> Vector:
        import numpy as np

        if not isinstance(plain, bytes) or not plain:
            raise ValueError("no vector")
        return np.frombuffer(plain, dtype="<f4")  # a ValueError for a part of a number


class CachedEmbedder(Embedder):
    """An embedder whose vectors of documents are kept, and found again."""

    def __init__(
        self,
        embedder: Embedder,
        revision: str,
        cache: VectorCache,
        meter: Meter,
    ) -> None:
        self._embedder, self._cache, self._meter = embedder, cache, meter
        self.group = embedder.group
        made_by: dict[str, Any] = {"embedder": revision, "kind": DOCUMENT}
        if not (isinstance(embedder.account, Served) and embedder.account.managed):
            # The joules are this machine's.
            made_by |= {"software": software(), "hardware": hardware()}
        self._made_by = digest(made_by).encode()

    @property
    def account(self) -> Account | Served:
        """That of the embedder."""
        return self._embedder.account

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._embedder.dimensions

    @property
    def max_tokens(self) -> int | None:
        """That of the embedder."""
        return self._embedder.max_tokens

    def count_tokens(self, text: str) -> int:
        """As the embedder counts."""
        return self._embedder.count_tokens(text)

    def uncached(self) -> Embedder:
        """The embedder itself."""
        return self._embedder

    def encode_queries(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Vector:
        """By the embedder, every time."""
        return self._embedder.encode_queries(texts, progress)

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Vector:
        """As the embedder's; equal texts, and texts of earlier times, are not embedded again."""
        rows: dict[bytes, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(self._key(text), []).append(row)
        vectors = _Rows(len(texts))

        def put(key: bytes, vector: Vector) -> None:
            for row in rows[key]:
                vectors.put(row, vector)

        def told(keys: Sequence[bytes]) -> None:
            if progress is not None and keys:
                progress(sum(len(rows[key]) for key in keys))

        keys, missing = list(rows), []
        for start in range(0, len(keys), LOOKED_UP):
            part = keys[start : start + LOOKED_UP]
            known = {k: v for k, v in self._cache.find(part).items() if v.share is not None}
            self._cache.use(known)
            for key, kept in known.items():
                put(key, kept.made)
            told(list(known))
            missing += [key for key in part if key not in known]
        # Sorted over all texts, as the embedder would: rows of a batch have like lengths.
        missing.sort(key=lambda key: (-len(texts[rows[key][0]]), rows[key][0]))
        while missing:
            made = self._portion([(key, texts[rows[key][0]]) for key in missing], told)
            for key, vector in made.items():
                put(key, vector)
            missing = missing[len(made) :]
        return vectors.whole(lambda: self.dimensions)

    def _portion(
        self, texts: Sequence[tuple[bytes, str]], told: Callable[[Sequence[bytes]], None]
    ) -> dict[bytes, Vector]:
        """Embed the first of `texts` for `PORTION_S`, and keep them: also when that is stopped."""
        made: dict[bytes, Vector] = {}
        account = self._embedder.account
        batch, before = self._cache.begin(), account.tally
        begun = time.perf_counter()
        metered = self._meter.phase("embed")
        try:
            with metered:
                while len(made) < len(texts):
                    if made and time.perf_counter() - begun > PORTION_S:
                        break
                    group = texts[len(made) : len(made) + self.group]
                    found = self._embedder.encode_documents([text for _, text in group])
                    _check_finite(found, [text for _, text in group])
                    made.update(zip((key for key, _ in group), found, strict=True))
                    told([key for key, _ in group])
        finally:
            if made:
                letters = [len(text) for _, text in texts[: len(made)]]
                phase = metered.result
                if isinstance(account, Served):
                    phase = account.billed(phase, before)
                self._cache.settle(batch, made, letters, phase)
                self._cache.worth(batch, account.work(before))
        return made

    def _key(self, text: str) -> bytes:
        """Digest of all that determines a vector, and of whose joules it cost."""
        return hashlib.sha256(self._made_by + text.encode("utf-8", "surrogatepass")).digest()

    def close(self) -> None:
        """Free the embedder; the cache is the pool's."""
        self._embedder.close()


class _Rows:
    """Rows of a matrix that is as wide as the first of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: Vector | None = None

    def put(self, row: int, vector: Vector) -> None:
        """Set a row; a `ModelError` where it has another length than those before."""
        import numpy as np

        if self._rows is None:
            self._rows = np.zeros((self._count, len(vector)), dtype=np.float32)
        width = self._rows.shape[1]
        if len(vector) != width:
            raise ModelError(
                f"the embedder gave vectors of {width} and of {len(vector)} dimensions: it is not "
                "the one it was; remove what it gave before (`wattune cache prune --vectors`)"
            )
        self._rows[row] = vector

    def whole(self, dimensions: Callable[[], int]) -> Vector:
        """All rows; `dimensions` tells the width where there is none."""
        import numpy as np

        return np.zeros((0, dimensions()), dtype=np.float32) if self._rows is None else self._rows


def _check_finite(vectors: Vector, texts: Sequence[str]) -> None:
    import numpy as np

    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ModelError(
            "the embedder gave numbers that are not finite for the text "
            f'"{texts[int(finite.argmin())][:60]}"'
        )
