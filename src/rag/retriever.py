"""From questions to passages: embed, search, say where each passage is from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..prompt import Passage
from .index import VectorIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256
"""Questions embedded and searched together."""


class Retriever:
    """An opened index and the embedder of its questions.

    `embed_queries` turns n texts into vectors (n, d), d being the dimension of the index.
    """

    def __init__(
        self, index: VectorIndex, embed_queries: Callable[[Sequence[str]], NDArray[Any]]
    ) -> None:
        self.index = index
        self._embed = embed_queries

    def retrieve(self, questions: Sequence[str], k: int) -> list[list[Passage]]:
        """The `k` nearest passages of each question, best first; fewer where the index has fewer.

        Raises `InputError` for k < 1 or vectors that do not fit the index.
        """
        found: list[list[Passage]] = []
        for start in range(0, len(questions), BATCH):
            batch = list(questions[start : start + BATCH])
            vectors = self._embed(batch)
            if len(vectors) != len(batch):
                raise InputError(
                    f"the embedder gave {len(vectors)} vectors for {len(batch)} questions"
                )
            found.extend(
                [_passage(chunk.text, chunk.document, chunk.title, score) for chunk, score in hits]
                for hits in self.index.search(vectors, k)
            )
        return found


def _passage(text: str, document: str, title: str, score: float) -> Passage:
    return Passage(text=text, document=document, title=title, score=score, source="index")
