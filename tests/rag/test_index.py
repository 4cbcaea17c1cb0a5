"""The index and the retriever on real FAISS, with a bag-of-words embedder made here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wattune.errors import InputError, StorageError
from wattune.rag.chunking import Chunk, chunk_documents
from wattune.rag.index import VectorIndex
from wattune.rag.retriever import BATCH, Retriever
from wattune.tasks.task import Document

DIMENSION = 256


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Hashed word counts: deterministic, and near where words are shared."""
    vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIMENSION] += 1
    return vectors


def chunks_of(*texts: str) -> list[Chunk]:
    return [Chunk(id=f"d{n}#1", document=f"d{n}", title="T", text=t) for n, t in enumerate(texts)]


CHUNKS = chunks_of(
    "the fuel dock opens at six", "Ada leads the pilots", "the crane lifts forty tonnes"
)


def built(chunks: list[Chunk] = CHUNKS) -> VectorIndex:
    vectors = embed([chunk.text for chunk in chunks])
    return VectorIndex.build(chunks, vectors, embedder="bag", revision="r1")


def test_search_gives_the_cosine_best_first() -> None:
    vectors = embed([chunk.text for chunk in CHUNKS])
    question = embed(["how many tonnes does the crane lift"]) * 7  # length does not count
    [found] = built().search(question, 2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ question[0] / np.linalg.norm(question[0])
    order = np.argsort(-scores)
    assert [row for row, _ in found] == order[:2].tolist()
    assert [score for _, score in found] == pytest.approx(scores[order[:2]].tolist(), abs=1e-5)


def test_k_beyond_the_chunks_and_no_questions() -> None:
    index = built()
    assert [len(found) for found in index.search(embed(["dock", "crane"]), 99)] == [3, 3]
    assert index.search(np.zeros((0, DIMENSION)), 2) == []
    assert [score for _, score in index.search(np.zeros((1, DIMENSION)), 3)[0]] == [0.0] * 3


def test_ties_are_ordered_by_id_even_past_the_cut() -> None:
    ids = [f"d{n:03d}#1" for n in range(60)]
    chunks = [Chunk(id=name, document=name, title="", text="same text") for name in reversed(ids)]
    index = built(chunks)
    assert [chunks[row].id for row, _ in index.search(embed(["same"]), 3)[0]] == ids[:3]


def test_a_question_finds_the_same_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    chunks = chunks_of(*(f"text {n}" for n in range(300)))
    index = VectorIndex.build(chunks, rng.normal(size=(300, 64)), embedder="random")
    questions = rng.normal(size=(70, 64))
    together = index.search(questions, 5)
    assert [index.search(question[None], 5)[0] for question in questions] == together


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    index = built()
    index.save(tmp_path / "index")
    assert {path.name for path in (tmp_path / "index").iterdir()} == {
        "index.faiss",
        "chunks.jsonl",
        "rows.npy",
        "manifest.json",
    }
    loaded = VectorIndex.load(
        tmp_path / "index", embedder="bag", revision="r1", dimension=DIMENSION
    )
    assert list(loaded.chunks) == list(index.chunks)
    question = embed(["who leads the pilots"])
    assert loaded.search(question, 3) == index.search(question, 3)
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["embedder"] == "bag"
    assert manifest["dimension"] == DIMENSION
    assert (manifest["chunks"], manifest["documents"]) == (3, 3)
    assert set(manifest["sha256"]) == {"index.faiss", "chunks.jsonl", "rows.npy"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"embedder": "other"}, "was made with embedder bag, not other"),
        ({"embedder": "bag", "revision": "r2"}, "was made with revision r1, not r2"),
        ({"embedder": "bag", "dimension": 384}, f"made with dimension {DIMENSION}, not 384"),
    ],
)
def test_an_index_for_something_else_is_refused(
    tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    built().save(tmp_path)
    with pytest.raises(StorageError, match=message):
        VectorIndex.load(tmp_path, **asked)


@pytest.mark.parametrize("name", ["index.faiss", "chunks.jsonl", "rows.npy"])
def test_a_changed_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    built().save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + b"?")
    with pytest.raises(StorageError, match=f"{name}: the file is not the one that was written"):
        VectorIndex.load(tmp_path, embedder="bag")
    (tmp_path / name).unlink()
    with pytest.raises(StorageError, match=f"{name}: there is no such file"):
        VectorIndex.load(tmp_path, embedder="bag")


@pytest.mark.parametrize("text", ["{", "[]", '{"embedder": "bag"}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    built().save(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StorageError, match=r"manifest\.json: not the manifest of an index"):
        VectorIndex.load(tmp_path, embedder="bag")


def test_an_empty_folder_holds_no_index(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no index there"):
        VectorIndex.load(tmp_path, embedder="bag")


def test_a_manifest_whose_counts_differ_is_refused(tmp_path: Path) -> None:
    built().save(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chunks": 4}))
    with pytest.raises(StorageError, match="3 vectors of 256 dimensions and 3 chunks where"):
        VectorIndex.load(tmp_path, embedder="bag")


def test_input_that_cannot_be_indexed() -> None:
    good = embed([chunk.text for chunk in CHUNKS])
    bad = good.copy()
    bad[1, 5] = np.nan
    with pytest.raises(InputError, match=r"not finite: 1 of 3 .* row 1"):
        VectorIndex.build(CHUNKS, bad, embedder="bag")
    with pytest.raises(InputError, match=r"shape \(2, 256\) for 3 chunks"):
        VectorIndex.build(CHUNKS, good[:2], embedder="bag")
    with pytest.raises(InputError, match="no chunks to index"):
        VectorIndex.build([], good[:0], embedder="bag")
    with pytest.raises(InputError, match=r'the chunk id "d0#1" is used twice'):
        VectorIndex.build([CHUNKS[0], CHUNKS[0]], good[:2], embedder="bag")
    index = built()
    with pytest.raises(InputError, match="k is 0"):
        index.search(good, 0)
    with pytest.raises(InputError, match=r"shape \(3, 255\) for an index of 256 dimensions"):
        index.search(good[:, 1:], 1)
    with pytest.raises(InputError, match="vectors of the questions are not finite"):
        index.search(np.full((1, DIMENSION), np.inf), 1)


def test_the_retriever_finds_the_page_that_answers() -> None:
    pages = [
        Document(id="fuel", title="Fuel", text="# Fuel\n\n## Hours\n\nThe fuel dock opens at six."),
        Document(id="pilots", title="Pilots", text="# Pilots\n\nAda Lund leads the pilots."),
        Document(id="cranes", title="Cranes", text="# Cranes\n\nEach crane lifts forty tonnes."),
    ]
    chunks = chunk_documents(pages, size=40, overlap=5, count_tokens=lambda text: len(text.split()))
    retriever = Retriever(built(chunks), embed)
    [hours, leader] = retriever.retrieve(["When does the fuel dock open?", "Who leads pilots?"], 2)
    assert [len(hours), len(leader)] == [2, 2]
    assert hours[0].document == "fuel"
    assert hours[0].title == "Fuel › Hours"
    assert hours[0].text == "Fuel › Hours\n\nThe fuel dock opens at six."
    assert hours[0].source == "index"
    assert hours[0].score is not None
    assert hours[0].score > (hours[1].score or 0)
    assert leader[0].document == "pilots"


def test_questions_are_embedded_in_batches_and_stay_in_order() -> None:
    sizes: list[int] = []

    def counted(texts: Sequence[str]) -> NDArray[np.float32]:
        sizes.append(len(texts))
        return embed(texts)

    questions = [CHUNKS[n % 3].text for n in range(BATCH + 10)]
    found = Retriever(built(), counted).retrieve(questions, 1)
    assert sizes == [BATCH, 10]
    assert [passages[0].document for passages in found] == [f"d{n % 3}" for n in range(BATCH + 10)]
    assert Retriever(built(), counted).retrieve([], 1) == []


def test_an_embedder_that_gives_too_few_vectors() -> None:
    with pytest.raises(InputError, match="gave 1 vectors for 2 questions"):
        Retriever(built(), lambda texts: embed(texts[:1])).retrieve(["a", "b"], 1)
