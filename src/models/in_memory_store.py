"""A LangChain store to begin with: in this process's memory, embedded by minilm.

For a store of your own, write such a function in a module of yours, and name it in the recipe:
``factory: my_store:make``. What is in memory is lost with the process; wattune fills it again.
"""

from __future__ import annotations

from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from .embedder import open_embedder
from .fetch import resolve


class OurEmbeddings(Embeddings):
    """An embedder of wattune as LangChain's `Embeddings`; `name` is as in a recipe."""

    def __init__(self, name: str) -> None:
        self._embedder = open_embedder(resolve(name, kind="embedder"))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of length 1 for each text."""
        rows: list[list[float]] = self._embedder.encode_documents(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """A vector of length 1."""
        row: list[float] = self._embedder.encode_queries([text])[0].tolist()
        return row


def make() -> VectorStore:
    """An empty store."""
    return InMemoryVectorStore(OurEmbeddings("minilm"))
