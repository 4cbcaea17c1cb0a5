"""The retriever on real indexes: what finds, judges, chooses and shows passages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wattune.errors import InputError
from wattune.rag.chunking import Chunk, chunk_documents
from wattune.rag.expansion import joined
from wattune.rag.index import VectorIndex
from wattune.rag.lexical import LexicalIndex
from wattune.rag.retriever import Retriever
from wattune.search import Search
from wattune.tasks.task import Document

DIMENSION = 256


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Hashed word counts: deterministic, and near where words are shared."""
    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIMENSION] += 1
    return vectors


def chunk(document: str, number: int, text: str, **metadata: Any) -> Chunk:
    return Chunk(
        id=f"{document}#{number}", document=document, title=document, text=text, metadata=metadata
    )


CHUNKS = [
    chunk("dock", 1, "the fuel dock opens at six", year=2024, lang="en"),
    chunk("dock", 2, "the fuel dock opens at six daily", year=2024, lang="en"),
    chunk("dock", 3, "the fuel dock closes at ten", year=2024, lang="en"),
    chunk("crane", 1, "the crane lifts forty tonnes", year=2025, lang="en"),
    chunk("crane", 2, "form XK77 is for the crane", year=2025, lang="en"),
    chunk("kran", 1, "der kran hebt forty tonnes", year=2025, lang="de"),
]


def retriever(judge: Any = None, chunks: list[Chunk] = CHUNKS, **search: Any) -> Retriever:
    texts = [one.text for one in chunks]
    index = VectorIndex.build(chunks, embed(texts), embedder="bag")
    return Retriever(
        index, embed, search=Search(**search), lexical=LexicalIndex.build(texts), judge=judge
    )


def ids(found: Retriever, question: str, k: int = 3, **options: Any) -> list[str]:
    (passages,) = found.retrieve([question], k, **options)
    return [passage.id for passage in passages]


def test_by_itself_it_gives_the_nearest() -> None:
    found = retriever()
    assert found.index is not None
    (hits,) = found.index.search(embed(["crane tonnes"]), 3)
    (passages,) = found.retrieve(["crane tonnes"], 3)
    assert [(p.id, p.score, p.text) for p in passages] == [
        (CHUNKS[row].id, score, CHUNKS[row].text) for row, score in hits
    ]


def test_by_words_there_are_no_vectors() -> None:
    lexical = LexicalIndex.build([one.text for one in CHUNKS])
    found = Retriever(None, search=Search(by="lexical"), lexical=lexical, chunks=CHUNKS)
    assert ids(found, "XK77") == ["crane#2"]
    assert ids(found, "zebra") == []


@pytest.mark.parametrize("fusion", ["min_max", "rrf"])
def test_hybrid_finds_what_either_finds(fusion: str) -> None:
    found = retriever(by="hybrid", fusion=fusion)
    assert ids(found, "form XK77", 1) == ["crane#2"]
    (passages,) = found.retrieve(["fuel dock closes"], 6)
    assert passages[0].id == "dock#3"
    scores = [passage.score or 0 for passage in passages]
    assert scores == sorted(scores, reverse=True)


def test_the_weight_moves_from_words_to_vectors() -> None:
    texts = ["pier pier pier pier", "pier four"]
    chunks = [chunk("a", 1, texts[0]), chunk("b", 1, texts[1])]
    assert ids(retriever(chunks=chunks, by="hybrid", weight=1.0), "pier", 1) == ["a#1"]
    by_words = LexicalIndex.build(texts).search(["pier"], 1)[0][0][0]
    expected = [chunks[by_words].id]
    assert ids(retriever(chunks=chunks, by="hybrid", weight=0.0), "pier", 1) == expected


@pytest.mark.parametrize("by", ["dense", "hybrid"])
def test_where_looks_at_nothing_else(by: str) -> None:
    assert ids(retriever(by=by, where={"lang": "de"}), "fuel dock") == ["kran#1"]
    wanted = {"year": [2023, 2025], "lang": ["en"]}
    assert set(ids(retriever(by=by, where=wanted), "fuel dock", 6)) == {"crane#1", "crane#2"}


def test_a_filter_that_nothing_passes_is_refused() -> None:
    with pytest.raises(InputError, match="no document is like that; their metadata have lang, ye"):
        retriever(where={"language": "de"})


def test_within_looks_into_these_documents_only() -> None:
    found = retriever()
    (one, none, both) = found.retrieve(["dock"] * 3, 4, [["crane"], [], ["kran", "crane"]])
    assert {passage.document for passage in one} == {"crane"}
    assert none == []
    assert len(both) == 3
    assert ids(retriever(where={"lang": "en"}), "dock", 4, within=[["kran"]]) == []
    # Of the evidence nothing may be in the index: it can be the hierarchy.
    assert found.retrieve(["dock"], 2, [["hierarchy"]]) == [[]]


def test_a_reranker_has_the_last_word() -> None:
    asked: list[tuple[str, str]] = []

    def judge(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        asked.extend(pairs)
        return np.array([len(text) / 100 for _, text in pairs])

    found = retriever(judge, reranker="any", candidates=4)
    (passages,) = found.retrieve(["fuel dock"], 2)
    assert len(asked) == 4
    assert [p.score for p in passages] == sorted((len(t) / 100 for _, t in asked), reverse=True)[:2]


def test_mmr_takes_one_of_twins() -> None:
    assert ids(retriever(), "the fuel dock opens at six", 2) == ["dock#1", "dock#2"]
    assert ids(retriever(mmr=1.0), "the fuel dock opens at six", 2) == ["dock#1", "dock#2"]
    chosen = ids(retriever(mmr=0.3), "the fuel dock opens at six", 2)
    assert chosen[0] == "dock#1"
    assert chosen[1] != "dock#2"
    assert len(ids(retriever(by="hybrid", mmr=0.3), "dock", 6)) == 6


def test_below_the_threshold_nothing_is_given() -> None:
    (passages,) = retriever(threshold=0.5).retrieve(["fuel dock opens"], 6)
    assert passages
    assert all(passage.score is not None and passage.score >= 0.5 for passage in passages)
    assert ids(retriever(threshold=0.99), "zebra") == []


def test_neighbours_and_documents_are_given_once() -> None:
    (near,) = retriever(expand="neighbours").retrieve(["fuel dock opens at six"], 2)
    assert [passage.id for passage in near] == ["dock#1"]
    assert near[0].text.count("closes at ten") == 1
    (whole,) = retriever(expand="document").retrieve(["dock crane tonnes"], 6)
    assert sorted(passage.document for passage in whole) == ["crane", "dock", "kran"]
    crane = next(passage for passage in whole if passage.document == "crane")
    assert crane.text == "the crane lifts forty tonnes\n\nform XK77 is for the crane"


def test_a_document_is_put_together_again() -> None:
    said = [f"Sentence {n} says what number {n * 7} means to the port." for n in range(30)]
    table = "| berth | depth |\n|---|---|\n" + "\n".join(f"| b{n} | {n} m |" for n in range(40))
    text = f"# Port\n\n{' '.join(said)}\n\n## Berths\n\n{table}"
    page = Document(id="port", title="Port", text=text)
    for overlap in (0, 15):
        chunks = chunk_documents(
            [page], size=60, overlap=overlap, count_tokens=lambda t: len(t.split())
        )
        assert len(chunks) > 6
        whole = joined(chunks)
        places = [whole.index(one) for one in said]
        assert places == sorted(places)
        assert [whole.count(one) for one in said] == [1] * 30
        assert whole.count("| berth | depth |") == 1
        assert [whole.count(f"| b{n} |") for n in range(40)] == [1] * 40
        assert whole.count("Port › Berths") == 1


def test_bad_input() -> None:
    with pytest.raises(InputError, match="k is 0"):
        retriever().retrieve(["dock"], 0)
