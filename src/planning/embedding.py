"""Stand-ins for embedders: the real tokenizer, the real batches, vectors that count letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..measure.work import Tally
from ..models.account import skeleton
from ..models.embedder import Embedder, open_embedder
from ..models.fetch import ResolvedModel
from ..models.sentence_embedder import BATCH_ROWS, SentenceEmbedder
from ..models.static_embedder import StaticEmbedder
from .planned import NotPlanned
from .weightless import Account3, Ways

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .pool import PlannedPool

LETTERS = (3, 5)
"""Runs of letters that are counted: words that are alike have most of them in common."""


class PlannedEmbedder(Embedder):
    """Stands in for an embedder. A static one embeds itself, for that costs next to nothing."""

    def __init__(self, embedder: Embedder, planned: Account3) -> None:
        self._embedder, self.planned = embedder, planned
        self.pool: PlannedPool | None = None
        self.group = embedder.group

    @property
    def account(self) -> Any:
        """What would be done."""
        return self.planned

    @property
    def dimensions(self) -> int:
        """Those of the embedder."""
        return self._embedder.dimensions

    @property
    def max_tokens(self) -> int | None:
        """That of the embedder."""
        return self._embedder.max_tokens

    def count_tokens(self, text: str) -> int:
        """As the embedder counts."""
        return self._embedder.count_tokens(text)

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of letters; the passes are tallied."""
        assert self.pool is not None
        with self.pool.in_place_of_work():
            return super().encode_documents(texts, progress)

    def encode_queries(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """The same of questions."""
        assert self.pool is not None
        with self.pool.in_place_of_work():
            return super().encode_queries(texts, progress)

    def _documents(self, texts: list[str]) -> NDArray[np.float32]:
        return self._vectors(texts, "document")

    def _queries(self, texts: list[str]) -> NDArray[np.float32]:
        return self._vectors(texts, "query")

    def _vectors(self, texts: list[str], kind: str) -> NDArray[np.float32]:
        import numpy as np
        from sklearn.feature_extraction.text import (  # type: ignore[import-untyped]
            HashingVectorizer,
        )

        if isinstance(self._embedder, StaticEmbedder):
            before = self._embedder.account.tally
            found = self._embedder.encode_queries(texts)
            self.planned.add(Ways.certain(self._embedder.account.tally - before))
            return found
        assert isinstance(self._embedder, SentenceEmbedder)
        model = self._embedder.model
        prompt = (model.prompts or {}).get(kind) or ""
        # As sentence-transformers does: the longest in letters first, in batches of like length.
        order = sorted(texts, key=lambda text: -len(text))
        most = self._embedder.max_tokens
        done = Tally()
        read = model.tokenizer([prompt + text for text in order], truncation=True, max_length=most)
        lengths = [len(ids) for ids in read["input_ids"]]
        for first in range(0, len(lengths), BATCH_ROWS):
            some = lengths[first : first + BATCH_ROWS]
            done += Tally.of_pass(len(some), max(some), heads=len(some))
        self.planned.add(Ways.certain(done))
        counter = HashingVectorizer(
            n_features=self.dimensions, analyzer="char_wb", ngram_range=LETTERS
        )
        return counter.transform(texts).toarray().astype(np.float32)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Free what was opened."""
        self._embedder.close()


def planned_embedder(found: ResolvedModel) -> PlannedEmbedder:
    """A stand-in for the embedder `found`; it is opened, for its tokenizer, and not run. Raises
    `CannotRun` for LangChain's, whose operations are not known."""
    opened = open_embedder(found)
    if isinstance(opened, StaticEmbedder):
        planned = Account3(None, "embedding", "embedding")
        planned.__dict__["costs"] = opened.account.costs
        return PlannedEmbedder(opened, planned)
    if not isinstance(opened, SentenceEmbedder):
        raise NotPlanned(f"what {found.name} takes to embed is not known, so it cannot be planned")
    return PlannedEmbedder(opened, Account3(skeleton(opened.model), "embedding", "embedding"))
