"""What a System retrieves, as LangChain's `BaseRetriever`; no language model is opened for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Self

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, PrivateAttr

from ..measure.meter import Meter
from ..prompt import Passage
from ..stages import StageStore
from ..system import System
from ..tasks.task import Example
from .pool import Pool
from .sources import Sources


class SystemRetriever(BaseRetriever):
    """The passages that a prompt of `system` would have, as LangChain's Documents.

    Indexes, embedder and reranker are opened when it is first asked, and freed by `close` or at the
    end of a ``with``; asked again, it opens them again. Of several threads one asks at a time.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    system: System
    stages: StageStore
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _pool: Pool | None = PrivateAttr(default=None)
    _sources: Sources | None = PrivateAttr(default=None)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        (found,) = self._found([query])
        return found

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """As `invoke` of each, but the questions are embedded and searched together."""

        def found(questions: list[str]) -> list[Exception | list[Document]]:
            return [*self._found(questions)]

        return self._batch_with_config(
            found, inputs, config, return_exceptions=return_exceptions, run_type="retriever"
        )

    def _found(self, questions: Sequence[str]) -> list[list[Document]]:
        asked = [Example(id="", question=question, answers=()) for question in questions]
        with self._lock:
            passages = self._opened().passages(asked)
        return [[_document(passage) for passage in found] for found in passages]

    def _opened(self) -> Sources:
        if self._sources is None:
            with Meter() as meter:  # openings are always metered; here nobody asks what they cost
                self._pool = Pool(self.stages, meter)
                sources = Sources(self.system, self._pool)
                try:
                    sources.open()
                except BaseException:
                    self._pool.close()
                    self._pool = None
                    raise
            self._sources = sources
        return self._sources

    def close(self) -> None:
        """Free what is open."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
            self._pool = self._sources = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _document(passage: Passage) -> Document:
    """What is wattune's own stands above what the document's metadata say under the same name."""
    own = {
        "document": passage.document,
        "title": passage.title,
        "score": passage.score,
        "source": passage.source,
    }
    return Document(
        id=passage.id or None,
        page_content=passage.text,
        metadata={**passage.metadata, **own},
    )
