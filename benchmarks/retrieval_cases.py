"""One case of the retrieval benchmark, in a process of its own: prints what it took as JSON.

python benchmarks/retrieval_cases.py CASE COUNT WORK
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import raptor_algorithm
from retrieval_texts import ASKED, read, static_model

from wattune.effort import Effort
from wattune.models.embedder import Embedder
from wattune.rag.chunking import Chunk
from wattune.rag.extractive import Below, Extractive
from wattune.rag.index import VectorIndex
from wattune.rag.summaries import KeptSummaries, summarised
from wattune.rag.summary_index import SummaryIndex
from wattune.rag.tree_shapes import grown

K = 10
FAN = 12
SUMMARY_TOKENS = 100
BUDGET_TOKENS = 400
ASKED_AT_MOST = 200


def main() -> None:
    """Run the case that is named."""
    case, count, work = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    sys.stdout.write(json.dumps(CASES[case](count, work)) + "\n")


def peak_memory_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the seconds it took."""
    started = time.perf_counter()
    made = work()
    return made, time.perf_counter() - started


def asked(work: Path, search: Callable[[Any], Sequence[Any]]) -> tuple[float, list[list[Any]]]:
    """The median seconds of a question asked alone, and what was found for each."""
    questions = np.load(work / ASKED)[:ASKED_AT_MOST]
    search(questions[0])  # the first one pays for what is made once
    results = [clocked(lambda one=one: search(one)) for one in questions]
    return float(np.median([seconds for _, seconds in results])), [list(f) for f, _ in results]


def exact(work: Path, vectors: np.ndarray) -> list[set[int]]:
    """The rows of the `K` highest cosines of each question, by comparing all."""
    questions = np.load(work / ASKED)[:ASKED_AT_MOST]
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = questions @ rows.T
    return [set(one.tolist()) for one in np.argpartition(-scores, K, axis=1)[:, :K]]


def recall(found: Sequence[Sequence[int]], truth: Sequence[set[int]]) -> float:
    """The share of the true rows that were found."""
    return float(np.mean([len(set(f) & t) / len(t) for f, t in zip(found, truth, strict=True)]))


def ours(count: int, work: Path) -> dict[str, Any]:
    """Build, save, open twice, ask."""
    chunks, vectors = read(work, count)
    folder = work / f"index-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    started_at = peak_memory_bytes()
    index, build = clocked(
        lambda: VectorIndex.build(chunks, vectors, embedder="static", revision="1")
    )
    _, save = clocked(lambda: index.save(folder))
    built_at = peak_memory_bytes()
    seconds, found = asked(work, lambda one: [row for row, _ in index.search(one[None], K)[0]])
    return {
        "build_s": build,
        "save_s": save,
        "query_ms": seconds * 1e3,
        "recall": recall(found, exact(work, vectors)),
        "kind": index.manifest.factory,
        "disk_bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "memory_before_bytes": started_at,
        "memory_bytes": built_at,
    }


def ours_opened(count: int, work: Path) -> dict[str, Any]:
    """Open what `ours` saved, in this new process, and ask the first question."""
    folder = work / f"index-{count}"
    index, opened = clocked(lambda: VectorIndex.load(folder, embedder="static", revision="1"))
    question = np.load(work / ASKED)[:1]
    hits, first = clocked(
        lambda: [index.chunks[row].text for row, _ in index.search(question, K)[0]]
    )
    seconds, _ = asked(work, lambda one: [row for row, _ in index.search(one[None], K)[0]])
    return {
        "open_s": opened,
        "first_question_s": first,
        "query_ms": seconds * 1e3,
        "found": len(hits),
        "memory_bytes": peak_memory_bytes(),
    }


class _Known:
    """LangChain's face of an embedder whose vectors are known; made late, to import it late."""

    def __new__(cls, chunks: Sequence[Chunk], vectors: np.ndarray) -> Any:
        from langchain_core.embeddings import Embeddings

        rows = vectors.tolist()
        places = {chunk.text: at for at, chunk in enumerate(chunks)}

        class Known(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [rows[places[text]] for text in texts]

            def embed_query(self, text: str) -> list[float]:
                return rows[places[text]]

        return Known()


def langchain_memory(count: int, work: Path) -> dict[str, Any]:
    """LangChain's in-memory store."""
    from langchain_core.documents import Document
    from langchain_core.vectorstores import InMemoryVectorStore

    chunks, vectors = read(work, count)
    known = _Known(chunks, vectors)
    documents = [Document(c.text, id=str(at), metadata={}) for at, c in enumerate(chunks)]
    store = InMemoryVectorStore(known)
    _, build = clocked(lambda: store.add_documents(documents))
    seconds, found = asked(
        work,
        lambda one: [
            int(d.id) for d, _ in store.similarity_search_with_score_by_vector(one.tolist(), K)
        ],
    )
    return _peer(build, seconds, found, work, vectors)


def langchain_faiss(count: int, work: Path) -> dict[str, Any]:
    """LangChain community's FAISS store, by cosine."""
    from langchain_community.vectorstores import FAISS
    from langchain_community.vectorstores.utils import DistanceStrategy

    chunks, vectors = read(work, count)
    pairs = list(zip((c.text for c in chunks), vectors.tolist(), strict=True))
    store, build = clocked(
        lambda: FAISS.from_embeddings(
            pairs,
            _Known(chunks, vectors),
            ids=[str(at) for at in range(count)],
            normalize_L2=True,
            distance_strategy=DistanceStrategy.MAX_INNER_PRODUCT,
        )
    )
    seconds, found = asked(
        work, lambda one: [int(d.id) for d in store.similarity_search_by_vector(one.tolist(), K)]
    )
    return _peer(build, seconds, found, work, vectors)


def _peer(
    build: float, seconds: float, found: list[list[int]], work: Path, vectors: np.ndarray
) -> dict[str, Any]:
    return {
        "build_s": build,
        "query_ms": seconds * 1e3,
        "recall": recall(found, exact(work, vectors)),
        "memory_bytes": peak_memory_bytes(),
    }


def summary_tree(shape: Literal["windows", "clusters"]) -> Callable[[int, Path], dict[str, Any]]:
    """Our tree of a shape: grown, summarised by sentences, all of it embedded and indexed."""

    def case(count: int, work: Path) -> dict[str, Any]:
        chunks, vectors = read(work, count)
        embedder = static_model(work, "minilm")
        (levels, query), build = clocked(lambda: _tree(shape, chunks, vectors, embedder))
        seconds, _ = asked(work, query)
        memory = peak_memory_bytes()
        return {
            "build_s": build,
            "query_ms": seconds * 1e3,
            "nodes": levels,
            "memory_bytes": memory,
        }

    return case


def _tree(
    shape: Literal["windows", "clusters"], chunks: list[Chunk], vectors: Any, embedder: Embedder
) -> tuple[list[int], Callable[[Any], Any]]:
    tree = grown(shape, chunks, vectors, fan=FAN, seed=0)
    extractive = Extractive(embedder.encode_documents, embedder.count_tokens)
    with tempfile.TemporaryDirectory() as folder:
        nodes = summarised(
            tree,
            chunks,
            vectors,
            summarise=lambda below: [(text, True) for text in extractive(below)],
            kept=KeptSummaries(Effort(Path(folder), writes=True)),
            how="extractive",
            tokens=SUMMARY_TOKENS,
            count_tokens=embedder.count_tokens,
            batch=256,
        )
    made = embedder.encode_documents([node.text for node in nodes])
    both = [*chunks, *nodes]
    rows = np.concatenate([vectors, made])
    index = VectorIndex.build(both, rows, embedder="static", revision="1")
    tokens = np.array([embedder.count_tokens(node.text) for node in both], dtype=np.int64)
    whole = SummaryIndex(index, tree, tokens)
    levels = np.bincount(tree.levels)[1:].tolist()
    return levels, lambda one: whole.collapsed([""], one[None], BUDGET_TOKENS)[0]


def raptor(count: int, work: Path) -> dict[str, Any]:
    """RAPTOR's tree over the same chunks and vectors, with our extractive summaries."""
    chunks, vectors = read(work, count)
    embedder = static_model(work, "minilm")
    levels, build = clocked(
        lambda: raptor_algorithm.tree(
            [chunk.text for chunk in chunks],
            vectors,
            summarise=_one_by_one(embedder),
            embed=embedder.encode_documents,
            tokens=embedder.count_tokens,
            say=lambda line: sys.stderr.write(f"{line}\n"),
        )
    )
    nodes = [len(level) for level in levels]
    return {"build_s": build, "nodes": nodes, "memory_bytes": peak_memory_bytes()}


def _one_by_one(embedder: Embedder) -> Callable[[Sequence[str]], str]:
    """The same extractive summaries, of a cluster's texts."""
    extractive = Extractive(embedder.encode_documents, embedder.count_tokens)

    def summarise(texts: Sequence[str]) -> str:
        centroid = embedder.encode_documents(list(texts)).mean(axis=0)
        return extractive([Below(tuple(texts), centroid, SUMMARY_TOKENS)])[0]

    return summarise


CASES: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "ours": ours,
    "ours-opened": ours_opened,
    "langchain-memory": langchain_memory,
    "langchain-faiss": langchain_faiss,
    "summary-windows": summary_tree("windows"),
    "summary-clusters": summary_tree("clusters"),
    "raptor": raptor,
}

if __name__ == "__main__":
    main()
