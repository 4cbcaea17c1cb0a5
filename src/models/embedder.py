"""Embedder: texts as vectors, whatever makes them; and how a name becomes an open one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from .fetch import ResolvedModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .account import Account
    from .served import Served

    Vectors = NDArray[np.float32]


class Embedder(ABC):
    """What all kinds of embedder have in common. Made by `open_embedder`, freed by `close`."""

    group: int = 256
    """Texts that are encoded before `progress` is told."""

    @property
    @abstractmethod
    def account(self) -> Account | Served:
        """What this embedder did, and what that was worth; outlives `close`.

        Its tokens count in operations and bytes only: tokens read are the language model's.
        """

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """The length of a vector."""

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """The most tokens of a text, special tokens included; what is beyond is not seen.

        None where there is no limit, or none that is known.
        """

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, special tokens included: to be compared with `max_tokens`."""

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Vectors of documents: float32 ``(n, dimensions)``, each of Euclidean length 1.

        `progress` is called with the number of texts done since the last call.
        """
        return self._sorted(self._documents, texts, progress)

    def encode_queries(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Vectors of questions, as `encode_documents`, the way the model wants questions."""
        return self._sorted(self._queries, texts, progress)

    def _documents(self, texts: list[str]) -> Vectors:
        """Vectors of a group of documents."""
        raise NotImplementedError

    def _queries(self, texts: list[str]) -> Vectors:
        """Vectors of a group of questions."""
        raise NotImplementedError

    def _sorted(
        self,
        encode: Callable[[list[str]], Vectors],
        texts: Sequence[str],
        progress: Callable[[int], None] | None,
    ) -> Vectors:
        """Encode in groups, sorted over all texts: rows of a batch have like lengths then, and
        padding is little."""
        import numpy as np

        vectors: Vectors | None = None
        order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
        for start in range(0, len(order), self.group):
            part = order[start : start + self.group]
            made = encode([texts[index] for index in part])
            if vectors is None:  # only now does an embedder that others run know its dimensions
                vectors = np.zeros((len(texts), made.shape[1]), dtype=np.float32)
            vectors[part] = made
            if progress is not None:
                progress(len(part))
        return np.zeros((0, self.dimensions), dtype=np.float32) if vectors is None else vectors

    def uncached(self) -> Embedder:
        """This embedder, that embeds every time."""
        return self

    @abstractmethod
    def close(self) -> None:
        """Free the weights. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_embedder(found: ResolvedModel, device: str | None = None) -> Embedder:
    """The embedder that was `found` by `resolve`: a model of sentence-transformers, a static one in
    model2vec's format, or LangChain's. Raises `ModelError` where it cannot be opened."""
    from .langchain_embedder import LangchainEmbedder
    from .sentence_embedder import SentenceEmbedder
    from .static_embedder import StaticEmbedder, is_static

    if found.source == "langchain":
        return LangchainEmbedder(found.name)
    if is_static(found.folder):
        return StaticEmbedder.open(found.folder)
    return SentenceEmbedder.open(found.folder, device)
