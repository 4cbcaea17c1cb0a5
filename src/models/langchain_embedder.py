"""Any LangChain `Embeddings` as an embedder. Its own client holds the key and sends the requests.

It is named ``langchain:package.module:factory``, and counts as run by others unless
``@this_machine`` stands behind that: what it draws here is metered, elsewhere nobody tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..endpoint_ref import EndpointRef
from ..errors import ModelError
from ..measure.work import NO_WORK, Tally, Work
from .embedder import Embedder
from .langchain_factory import HERE, made_by
from .served import Served

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES_A_TOKEN = 4
"""Of UTF-8. OpenAI's rule of thumb for English is four characters a token; in bytes, scripts whose
characters are words or syllables count about one a character, as their tokenizers do."""
GROUP = 128
"""Texts of one request; some servers take at most so many."""


def estimated_tokens(text: str) -> int:
    """How many tokens a text has where nobody tells: one for four bytes of UTF-8, at least 1."""
    return max(1, -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN))


class RequestAccount(Served):
    """As of an endpoint, but its tokens are not told, nor are they the language model's."""

    @classmethod
    def of(cls, name: str) -> RequestAccount:
        """That of a factory by its name, which may end in ``@this_machine``."""
        where = "this_machine" if name.endswith(HERE) else "managed"
        return cls(EndpointRef(langchain=name.removesuffix(HERE), where=where))

    def asked(self, requests: int = 1) -> None:
        """Enter requests that are sent."""
        self.tally += Tally(passes=requests)
        self.counts["requests"] += requests

    def work(self, since: Tally | None = None) -> Work:
        """Operations and bytes are not known where there was a request."""
        return NO_WORK if self.tally == (since or Tally()) else Work()


class LangchainEmbedder(Embedder):
    """The `Embeddings` of a factory; `name` is ``module:factory``, or that with ``@this_machine``.

    Questions go out one by one, for LangChain's interface has no more. A client tries again by its
    own rules; what it gives up raises `ModelError`, without the text, which may quote a key.
    """

    group = GROUP

    def __init__(self, name: str) -> None:
        from langchain_core.embeddings import Embeddings

        factory = name.removesuffix(HERE)
        self._name = factory
        self._made = made_by(factory, Embeddings, "embedder", "langchain_core's Embeddings")
        self._account = RequestAccount.of(name)
        self._dimensions: int | None = None

    @property
    def account(self) -> Served:
        """Its requests; tokens and operations are not known."""
        return self._account

    @property
    def dimensions(self) -> int:
        """The length of a vector; asked for by embedding a word, unless it is known by now."""
        if self._dimensions is None:
            self._queries(["dimensions"])
        assert self._dimensions is not None
        return self._dimensions

    @property
    def max_tokens(self) -> None:
        """Not known."""

    def count_tokens(self, text: str) -> int:
        """An estimate, for its tokens are not known."""
        return estimated_tokens(text)

    def _documents(self, texts: list[str]) -> NDArray[np.float32]:
        return self._asked(lambda made: made.embed_documents(texts), len(texts), 1)

    def _queries(self, texts: list[str]) -> NDArray[np.float32]:
        return self._asked(
            lambda made: [made.embed_query(text) for text in texts], len(texts), len(texts)
        )

    def _asked(
        self, ask: Callable[[Any], Sequence[Sequence[float]]], count: int, requests: int
    ) -> NDArray[np.float32]:
        """What came back, checked and scaled to length 1."""
        import numpy as np

        if self._made is None:
            raise RuntimeError("this embedder was closed")
        self._account.asked(requests)
        try:
            found = np.asarray(ask(self._made), dtype=np.float64)
        except Exception as error:  # each integration has errors of its own
            raise ModelError(
                f'the embedder "{self._name}" failed ({type(error).__name__})'
            ) from None
        width = self._dimensions or (found.shape[-1] if found.size else 1)
        if found.shape != (count, width) or not np.isfinite(found).all():
            raise ModelError(
                f'the embedder "{self._name}" gave an array of shape {found.shape} for {count} '
                f"texts; ({count}, {width}) finite numbers are expected"
            )
        self._dimensions = width
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        scaled: NDArray[np.float32] = (found / np.maximum(lengths, 1e-12)).astype(np.float32)
        return scaled

    def close(self) -> None:
        """Let the client go; it belongs to the `Embeddings`."""
        self._made = None
