"""Kinds of index: what is chosen, what is refused, how near an approximate one comes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wattune.errors import InputError, StorageError
from wattune.files import file_digest
from wattune.rag import index_files, index_kinds
from wattune.rag.chunking import Chunk
from wattune.rag.index import VectorIndex


def clustered(count: int, dimension: int = 48) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, dimension))
    return (centres[rng.integers(0, 40, count)] + 0.3 * rng.normal(size=(count, dimension))).astype(
        np.float32
    )


def chunks_of(count: int) -> list[Chunk]:
    return [Chunk(id=f"d{n}#1", document=f"d{n}", title="", text=f"text {n}") for n in range(count)]


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_finds_nearly_what_the_exact_one_does(kind: str) -> None:
    vectors = clustered(4000)
    chunks = chunks_of(4000)
    exact = VectorIndex.build(chunks, vectors, embedder="e", kind="flat")
    near = VectorIndex.build(chunks, vectors, embedder="e", kind=kind)
    questions = clustered(4100)[4000:]
    hits = 0
    for one, other in zip(exact.search(questions, 10), near.search(questions, 10), strict=True):
        hits += len({row for row, _ in one} & {row for row, _ in other})
        assert [score for _, score in other] == sorted((s for _, s in other), reverse=True)
    assert hits / 1000 >= 0.95
    again = VectorIndex.build(chunks, vectors, embedder="e", kind=kind)
    assert again.search(questions, 10) == near.search(questions, 10)


def test_the_plan_says_what_and_why() -> None:
    assert index_kinds.plan("auto", 100_000, 384).kind == "flat"
    graph = index_kinds.plan("auto", 1_000_000, 384)
    assert graph.factory == "HNSW32"
    assert "1,000,000 chunks are more than 100,000: " in graph.why
    assert "about 1.8 GB" in graph.why
    lists = index_kinds.plan("ivf", 1_000_000, 384)
    assert lists.factory == "IVF4096,SQ8"
    assert index_kinds.plan("IDMap2,Flat", 10, 8).kind == "flat"
    assert index_kinds.lists(10) == 1


@pytest.mark.parametrize(
    "kind", ["Flaat", "IVF4096,SQ8", "IVF4,PQ7", "LSH", "flat,", "IDMap2,HNSW8"]
)
def test_a_factory_string_that_cannot_be(kind: str) -> None:
    with pytest.raises(InputError, match=rf'"{kind}" does not make an index of 50 vectors of 48'):
        VectorIndex.build(chunks_of(50), clustered(50), embedder="e", kind=kind)


def test_chunks_without_text_and_vectors_of_zeros() -> None:
    empty = [chunk.model_copy(update={"text": " "}) for chunk in chunks_of(5)]
    with pytest.raises(InputError, match='5 of 5 chunks have no text, the first being "d0#1"'):
        VectorIndex.build(empty, clustered(5), embedder="e")
    with pytest.raises(InputError, match="nothing but zeros"):
        VectorIndex.build(chunks_of(5), np.zeros((5, 8)), embedder="e")


def test_a_large_folder_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    VectorIndex.build(chunks_of(50), clustered(50), embedder="e").save(tmp_path)
    for path in tmp_path.iterdir():
        os.utime(path, ns=(10**18, 10**18))  # long ago
    hashed: list[str] = []
    real = file_digest

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return real(path)

    monkeypatch.setattr(index_files, "file_digest", counted)
    VectorIndex.load(tmp_path, embedder="e")
    VectorIndex.load(tmp_path, embedder="e")
    assert len(hashed) == 6  # a small one is hashed each time
    monkeypatch.setattr(index_files, "HASHED_ANEW", 0)
    VectorIndex.load(tmp_path, embedder="e")
    VectorIndex.load(tmp_path, embedder="e")
    assert len(hashed) == 9
    chunks = tmp_path / "chunks.jsonl"
    chunks.write_bytes(chunks.read_bytes().replace(b"text 7", b"text 8"))
    with pytest.raises(StorageError, match=r"chunks\.jsonl: .* SHA-256 differs"):
        VectorIndex.load(tmp_path, embedder="e")
    chunks.write_bytes(chunks.read_bytes()[:-9])
    with pytest.raises(StorageError, match=r"chunks\.jsonl: .* bytes, and manifest\.json says"):
        VectorIndex.load(tmp_path, embedder="e")


def test_an_index_of_the_first_format_still_opens(tmp_path: Path) -> None:
    index = VectorIndex.build(chunks_of(50), clustered(50), embedder="e")
    index.save(tmp_path)
    path = tmp_path / "manifest.json"
    plain = json.loads(path.read_text())
    for name in ("asked", "kind", "factory", "why", "bytes"):
        del plain[name]
    del plain["sha256"]["rows.npy"]
    (tmp_path / "rows.npy").unlink()
    path.write_text(json.dumps(plain | {"format": 1}))
    old = VectorIndex.load(tmp_path, embedder="e")
    assert old.search(clustered(3), 4) == index.search(clustered(3), 4)
    assert old.remove(["d7"]) == 1
    old.save(tmp_path)
    assert VectorIndex.load(tmp_path, embedder="e").manifest.format == 2
