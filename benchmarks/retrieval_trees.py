"""Does a tree of summaries find more than the same chunks without it, in the same budget of tokens?

    python benchmarks/retrieval_trees.py --xquad xquad.en.json [--task harbour] [--budget 400]

Two shares of the questions: those with a passage of a document that answers them, and those with a
passage in which an accepted answer stands. All ways have the same chunks, embedder and budget; the
passages of a way are its best up to the first that does not fit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from retrieval_quality import Asked, of_task, xquad

from wattune.effort import Effort
from wattune.measure.quality import contained
from wattune.measure.statistics import bootstrap_mean
from wattune.models.embedder import Embedder, open_embedder
from wattune.models.fetch import resolve
from wattune.prompt import Passage
from wattune.rag.chunking import Chunk, chunk_documents
from wattune.rag.extractive import Extractive
from wattune.rag.index import VectorIndex
from wattune.rag.lexical import LexicalIndex
from wattune.rag.summaries import KeptSummaries, summarised
from wattune.rag.summary_index import SummaryIndex
from wattune.rag.tree_shapes import Tree, grown
from wattune.tasks.task import Document

Shape = Literal["windows", "headings", "clusters"]
FAN, SUMMARY_TOKENS, BEAM = 12, 100, 16


def main() -> None:
    """Print a table for each collection."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--xquad", type=Path, help="xquad.en.json")
    parser.add_argument("--task", help="a task whose validation questions name their evidence")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--chunk-tokens", type=int, default=200)
    parser.add_argument("--budget", type=int, default=400)
    given = parser.parse_args()
    embedder = open_embedder(resolve(given.embedder, kind="embedder"))
    collections = {}
    if given.xquad:
        collections["xquad"] = xquad(given.xquad)
    if given.task:
        collections[given.task] = of_task(given.task)
    for name, (documents, asked) in collections.items():
        sys.stdout.write(f"{name}, {len(asked):,} questions, {given.budget} tokens\n")
        for way, found in ways(documents, asked, embedder, given.chunk_tokens, given.budget):
            sys.stdout.write(f"{way:28}{_shares(found, asked)}\n")
        sys.stdout.write("\n")


def ways(
    documents: Sequence[Document], asked: Asked, embedder: Embedder, size: int, budget: int
) -> list[tuple[str, list[list[Passage]]]]:
    """Each way with its passages for each question."""
    texts = [one.text for one in asked]
    questions = embedder.encode_queries(texts)
    chunks = chunk_documents(
        documents, size=size, overlap=20, count_tokens=embedder.count_tokens,
        max_tokens=embedder.max_tokens,
    )  # fmt: skip
    vectors = embedder.encode_documents([chunk.text for chunk in chunks])
    flat = Tree(np.full(len(chunks), -1), len(chunks))
    found = []
    trees: dict[str, SummaryIndex] = {"no tree": _index(chunks, vectors, flat, embedder)}
    for shape in get_args(Shape):
        trees[shape] = _grown(shape, chunks, vectors, embedder)
    for name, index in trees.items():
        words, index.lexical = index.lexical, None
        found.append((f"{name}, dense", index.collapsed(texts, questions, budget)))
        index.lexical = words
        found.append((f"{name}, hybrid", index.collapsed(texts, questions, budget)))
        if name != "no tree":
            found.append((f"{name}, top-down", index.top_down(questions, budget, BEAM)))
    return found


def _grown(shape: Shape, chunks: list[Chunk], vectors: Any, embedder: Embedder) -> SummaryIndex:
    tree = grown(shape, chunks, vectors, fan=FAN, seed=0)
    extractive = Extractive(embedder.encode_documents, embedder.count_tokens)
    with tempfile.TemporaryDirectory() as folder:
        nodes = summarised(
            tree,
            chunks,
            vectors,
            summarise=lambda below: [(text, True) for text in extractive(below)],
            kept=KeptSummaries(Effort(Path(folder))),
            how="extractive",
            tokens=SUMMARY_TOKENS,
            count_tokens=embedder.count_tokens,
            batch=256,
        )
    made = embedder.encode_documents([node.text for node in nodes])
    return _index([*chunks, *nodes], np.concatenate([vectors, made]), tree, embedder)


def _index(nodes: list[Chunk], vectors: Any, tree: Tree, embedder: Embedder) -> SummaryIndex:
    index = VectorIndex.build(nodes, vectors, embedder="the same")
    tokens = np.array([embedder.count_tokens(node.text) for node in nodes], dtype=np.int64)
    return SummaryIndex(index, tree, tokens, LexicalIndex.build(node.text for node in nodes))


def _shares(found: list[list[Passage]], asked: Asked) -> str:
    pairs = list(zip(found, asked, strict=True))
    document = [
        float(any(passage.document in one.evidence for passage in passages))
        for passages, one in pairs
    ]
    answer = [
        float(any(contained(passage.text, one.answers) for passage in passages))
        for passages, one in pairs
    ]
    cells = [bootstrap_mean(values) for values in (document, answer)]
    return "  ".join(f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]" for cell in cells)


if __name__ == "__main__":
    main()
