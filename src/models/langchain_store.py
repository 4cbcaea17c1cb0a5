"""Any LangChain `VectorStore` or `BaseRetriever`, asked and filled. Its own client holds the key.

It is named ``package.module:factory``, and counts as run by others unless ``@this_machine`` stands
behind that: what it draws here is metered, elsewhere nobody tells.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..errors import InputError, ModelError
from ..measure.quality.custom import imported
from .langchain_embedder import RequestAccount
from .langchain_factory import HERE, made_by

if TYPE_CHECKING:
    from langchain_core.documents import Document

Made = TypeVar("Made")


class Entry(NamedTuple):
    """A text as a store holds it, under an id that wattune gave it."""

    id: str
    text: str
    metadata: dict[str, Any]


class Found(NamedTuple):
    """A text that a store found; `id` is "" and `score` None where the store tells none.

    A higher score is a better one, 0 to 1 in most stores.
    """

    id: str
    text: str
    metadata: dict[str, Any]
    score: float | None


def import_store(name: str) -> None:
    """Import what opens a store by its name: a process pays for that once, and no run."""
    import langchain_core.vectorstores  # noqa: F401

    with contextlib.suppress(InputError):  # which opening it tells
        imported(name.removesuffix(HERE))


class LangchainStore:
    """The store or retriever of a factory; `name` is ``module:factory``, or ``...@this_machine``.

    Time-outs and tries are its client's. What that gives up raises `ModelError` without its text,
    which may quote a key or an address.
    """

    def __init__(self, name: str) -> None:
        from langchain_core.retrievers import BaseRetriever
        from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

        self._name = name.removesuffix(HERE)
        expected = "langchain_core's VectorStore or BaseRetriever"
        made = made_by(self._name, VectorStore | BaseRetriever, "store", expected)
        self._store = made if isinstance(made, VectorStore) else None
        self._retriever = made if isinstance(made, BaseRetriever) else None
        # Its plain scores are cosines. Those of others may be distances: only relevances are told.
        self._cosines = isinstance(made, InMemoryVectorStore)
        self._tells_scores = self._store is not None
        self.account = RequestAccount.of(name)

    def search(self, question: str, k: int) -> list[Found]:
        """What is nearest to a question, best first: at most `k`, fewer where the store has fewer.
        A retriever is asked as it was made, and may find fewer by itself."""
        found = self._scored(question, k)[:k]
        return [self._checked(document, score) for document, score in found]

    def _scored(self, question: str, k: int) -> Sequence[tuple[Any, float | None]]:
        doing, store = "was asked", self._store
        if self._retriever is not None:
            retriever = self._retriever
            return [(one, None) for one in self._asked(doing, lambda: retriever.invoke(question))]
        assert store is not None
        if self._cosines:
            return self._asked(doing, lambda: store.similarity_search_with_score(question, k=k))
        if self._tells_scores:
            try:
                with warnings.catch_warnings():  # of scores a little outside of 0 to 1
                    warnings.simplefilter("ignore")
                    return self._asked(
                        doing,
                        lambda: store.similarity_search_with_relevance_scores(question, k=k),
                        unless=(NotImplementedError, ValueError),
                    )
            except (NotImplementedError, ValueError):  # no way from its distances to relevances
                pass
        documents = self._asked(doing, lambda: store.similarity_search(question, k=k))
        self._tells_scores = False  # it can be asked, so it was not the asking that failed
        return [(document, None) for document in documents]

    def holds(self, ids: Sequence[str]) -> set[str] | None:
        """Those of `ids` that the store holds; None where it cannot tell."""
        store = self._filled()
        try:
            found = self._asked(
                "was asked for what it holds",
                lambda: store.get_by_ids(ids),
                unless=(NotImplementedError,),
            )
        except NotImplementedError:
            return None
        return {document.id for document in found if document.id}

    def put(self, entries: Sequence[Entry]) -> None:
        """Put texts in, each in the place of one that has its id."""
        from langchain_core.documents import Document

        store = self._filled()
        documents = [
            Document(id=entry.id, page_content=entry.text, metadata=entry.metadata)
            for entry in entries
        ]
        ids = [entry.id for entry in entries]
        self._asked("was filled", lambda: store.add_documents(documents, ids=ids))

    def _filled(self) -> Any:
        """The store; a `ModelError` for a retriever, which has no place to put anything."""
        if self._store is None:
            raise ModelError(
                f'the store "{self._name}" is a retriever, and only a VectorStore can be filled; '
                "leave `fill` out, or let the factory make the store itself"
            )
        return self._store

    def _asked(
        self, doing: str, ask: Callable[[], Made], unless: tuple[type[Exception], ...] = ()
    ) -> Made:
        self.account.asked()
        try:
            return ask()
        except unless:
            raise
        except Exception as error:  # each integration has errors of its own
            raise ModelError(
                f'the store "{self._name}" failed when it {doing} ({type(error).__name__}); if it '
                "has a server, see whether that runs and can be reached from here"
            ) from None

    def _checked(self, document: Document, score: float | None) -> Found:
        from langchain_core.documents import Document

        if not isinstance(document, Document):
            raise ModelError(
                f'the store "{self._name}" gave an object of type {type(document).__name__}; '
                "LangChain Documents are expected"
            )
        known = score is not None and math.isfinite(score)
        return Found(
            document.id or "",
            document.page_content,
            dict(document.metadata),
            float(score) if score is not None and known else None,
        )
