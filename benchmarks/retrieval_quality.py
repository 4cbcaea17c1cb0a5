"""Is what answers a question among the passages found? wattune's ways beside LangChain's.

    python benchmarks/retrieval_quality.py --xquad xquad.en.json [--task harbour]

xquad's 240 passages are the collection, its 1,190 questions are asked; of a task the validation
questions that name their evidence. A question is a hit at k where a document that answers it is
among the first k passages. All use the same embedder. LangChain: its recursive splitter with 800
characters and 80 shared, and its in-memory store, k passages by cosine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from langchain_core.documents import Document as LangchainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

import wattune as wt
from wattune.measure.statistics import bootstrap_mean
from wattune.models.embedder import Embedder, open_embedder
from wattune.models.fetch import resolve
from wattune.rag.chunking import chunk_documents
from wattune.rag.index import VectorIndex
from wattune.rag.lexical import LexicalIndex
from wattune.rag.retriever import Retriever
from wattune.search import Search
from wattune.tasks.task import Document

CUTS = (1, 2, 5)
WAYS = {
    "dense": Search(),
    "lexical": Search(by="lexical"),
    "hybrid 0.2": Search(by="hybrid", weight=0.2),
    "hybrid 0.3": Search(by="hybrid", weight=0.3),
    "hybrid 0.4": Search(by="hybrid", weight=0.4),
    "hybrid 0.5": Search(by="hybrid"),
    "hybrid 0.7": Search(by="hybrid", weight=0.7),
    "hybrid rrf": Search(by="hybrid", fusion="rrf"),
}


class Question(NamedTuple):
    """A question, the documents that answer it, and its accepted answers."""

    text: str
    evidence: frozenset[str]
    answers: tuple[str, ...]


Asked = list[Question]


class OurEmbedder(Embeddings):
    """An embedder of wattune as LangChain calls one; questions are embedded once."""

    def __init__(self, embedder: Embedder, known: dict[str, Any]) -> None:
        self._embedder, self._known = embedder, known

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of documents, as lists."""
        return [[float(x) for x in row] for row in self._embedder.encode_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, as a list."""
        return [float(x) for x in self._known[text]]


def xquad(path: Path) -> tuple[list[Document], Asked]:
    """The passages of a SQuAD file as documents, and its questions."""
    content = json.loads(path.read_text(encoding="utf-8"))
    documents: list[Document] = []
    asked: Asked = []
    for paragraph in itertools.chain(*(article["paragraphs"] for article in content["data"])):
        documents.append(Document(id=f"p{len(documents)}", text=paragraph["context"]))
        evidence = frozenset({documents[-1].id})
        for one in paragraph["qas"]:
            answers = tuple(answer["text"] for answer in one["answers"])
            asked.append(Question(one["question"], evidence, answers))
    return documents, asked


def of_task(name: str) -> tuple[list[Document], Asked]:
    """A task's documents, and those of its validation questions that name their evidence."""
    task = wt.load_task(name)
    asked = [
        Question(e.question, frozenset(e.evidence), e.answers)
        for e in task.validation
        if e.evidence
    ]
    return list(task.documents), asked


def ours(
    documents: Sequence[Document], questions: list[str], embedder: Embedder, known: dict[str, Any]
) -> dict[str, list[list[str]]]:
    """For each way the documents of the first passages of each question."""
    chunks = chunk_documents(
        documents, size=200, overlap=20, count_tokens=embedder.count_tokens,
        max_tokens=embedder.max_tokens,
    )  # fmt: skip
    vectors = embedder.encode_documents([chunk.text for chunk in chunks])
    index = VectorIndex.build(chunks, vectors, embedder="the same")
    lexical = LexicalIndex.build(chunk.text for chunk in chunks)

    def embed(texts: Sequence[str]) -> Any:
        return np.stack([known[text] for text in texts])

    return {
        name: [
            [passage.document for passage in passages]
            for passages in Retriever(index, embed, search=way, lexical=lexical).retrieve(
                questions, max(CUTS)
            )
        ]
        for name, way in WAYS.items()
    }


def langchain(
    documents: Sequence[Document], questions: list[str], embedder: Embedder, known: dict[str, Any]
) -> list[list[str]]:
    """The same by LangChain's splitter and store."""
    splitter = RecursiveCharacterTextSplitter(chunk_size=800, chunk_overlap=80)
    pages = [LangchainDocument(d.text, metadata={"id": d.id}) for d in documents]
    store = InMemoryVectorStore(OurEmbedder(embedder, known))
    store.add_documents(splitter.split_documents(pages))
    return [
        [str(found.metadata["id"]) for found in store.similarity_search(question, k=max(CUTS))]
        for question in questions
    ]


def main() -> None:
    """Print a table for each collection: hits at 1, 2 and 5 with 95 % intervals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--xquad", type=Path, help="xquad.en.json")
    parser.add_argument("--task", help="a task whose validation questions name their evidence")
    parser.add_argument("--embedder", default="minilm")
    given = parser.parse_args()
    embedder = open_embedder(resolve(given.embedder, kind="embedder"))
    collections = {}
    if given.xquad:
        collections["xquad"] = xquad(given.xquad)
    if given.task:
        collections[given.task] = of_task(given.task)
    for name, (documents, asked) in collections.items():
        lines = [f"{name}, {len(asked):,} questions: hit at {', '.join(map(str, CUTS))}"]
        questions = [one.text for one in asked]
        known = dict(zip(questions, embedder.encode_queries(questions), strict=True))
        found = ours(documents, questions, embedder, known)
        found["LangChain"] = langchain(documents, questions, embedder, known)
        for way, passages in found.items():
            cells = []
            for cut in CUTS:
                hits = [
                    float(bool(one.evidence & set(ids[:cut])))
                    for ids, one in zip(passages, asked, strict=True)
                ]
                score = bootstrap_mean(hits)
                cells.append(f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]")
            lines.append(f"{way:12}" + "  ".join(cells))
        sys.stdout.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
