"""Documents added, removed and replaced, in every kind of index, before and after saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wattune.errors import InputError
from wattune.rag import index_kinds
from wattune.rag.chunking import Chunk
from wattune.rag.index import VectorIndex

KINDS = ["flat", "hnsw", "ivf", "PCA16,HNSW8", "IVF4,PQ16x4fs,RFlat"]
DIMENSION = 32


def cloud(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def chunks_of(documents: range, mark: str = "") -> list[Chunk]:
    """Two chunks a document."""
    return [
        Chunk(id=f"d{n}#{part}", document=f"d{n}", title="", text=f"{mark}text {n} {part}")
        for n in documents
        for part in (1, 2)
    ]


def built(kind: str, documents: int = 300) -> VectorIndex:
    chunks = chunks_of(range(documents))
    return VectorIndex.build(chunks, cloud(len(chunks)), embedder="random", kind=kind)


def nearest(index: VectorIndex, vectors: NDArray[np.float32]) -> list[str]:
    return [index.chunks[hits[0][0]].text for hits in index.search(vectors, 1)]


def everything(index: VectorIndex) -> set[str]:
    """The documents that any search can bring up."""
    found = index.search(cloud(40, seed=9), len(index))
    return {index.chunks[row].document for hits in found for row, _ in hits}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("saved", [False, True])
def test_what_is_removed_never_comes_back(kind: str, saved: bool, tmp_path: Path) -> None:
    index = built(kind)
    vectors = cloud(600)
    if saved:
        index.save(tmp_path)
        index = VectorIndex.load(tmp_path, embedder="random")
    assert index.remove(["d3", "d299", "unknown"]) == 4
    assert (len(index), index.manifest.chunks, index.manifest.documents) == (596, 596, 298)
    new = cloud(6, seed=1)
    index.add(chunks_of(range(900, 903)), new)
    assert index.update(chunks_of(range(5, 7), "new "), -vectors[10:14]) == 4
    index.save(tmp_path / "again")
    for one in (index, VectorIndex.load(tmp_path / "again", embedder="random")):
        assert (len(one), one.manifest.documents) == (602, 301)
        assert [chunk.document for chunk in one.chunks[-4:]] == ["d5", "d5", "d6", "d6"]
        assert not everything(one) & {"d3", "d299"}
        exact = one.manifest.kind != "factory"  # codes of a few bits find it among the first
        if exact:
            assert nearest(one, new[:1]) == ["text 900 1"]
            assert nearest(one, -vectors[10:11]) == ["new text 5 1"]
        kept = one.vectors_of([0, len(one) - 1])
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        assert kept[0] @ unit[0] > (0.99 if exact else 0.5)
        assert kept[1] @ -unit[13] > (0.99 if exact else 0.5)


def test_a_graph_with_many_dead_rows_is_built_again() -> None:
    index = built("hnsw")
    index.remove([f"d{n}" for n in range(50)])
    assert index._index.ntotal == 600
    index.remove([f"d{n}" for n in range(50, 70)])
    assert index._index.ntotal == len(index) == 460
    assert nearest(index, cloud(600)[140:141]) == ["text 70 1"]
    index.remove(["d70"])
    assert nearest(index, cloud(600)[142:143]) == ["text 71 1"]


def test_auto_goes_to_a_graph_when_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_kinds, "EXACT_MOST", 500)
    small = built("auto", 200)
    assert small.manifest.kind == "flat"
    assert "400 chunks are at most 500" in small.manifest.why
    small.add(chunks_of(range(200, 300)), cloud(200, seed=3))
    assert (small.manifest.kind, len(small)) == ("hnsw", 600)
    assert "600 chunks are more than 500" in small.manifest.why
    assert nearest(small, cloud(200, seed=3)[:1]) == ["text 200 1"]
    small.remove([f"d{n}" for n in range(100)])  # a third is dead: built again, exact now
    assert (small.manifest.kind, len(small)) == ("flat", 400)


@pytest.mark.parametrize("kind", ["ivf", "IVF2,SQ8"])
def test_lists_that_were_outgrown_are_built_again(kind: str) -> None:
    index = built(kind, 40)
    lists = "IVF2,SQ8"
    assert index.manifest.factory == lists  # 80 rows
    index.add(chunks_of(range(100, 216)), cloud(232, seed=3))
    assert index.manifest.factory == lists  # 312 rows are four times 78
    index.add(chunks_of(range(300, 310)), cloud(20, seed=4))
    # What was asked for by its factory string has the lists that it says, however many rows.
    assert index.manifest.factory == ("IVF8,SQ8" if kind == "ivf" else lists)
    assert nearest(index, cloud(20, seed=4)[:1]) == ["text 300 1"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 5, 300])
def test_only_allowed_rows_are_found(
    kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattune.rag.index.EXACT_WITHIN", 4)  # so that both ways are gone
    index = built(kind)
    index.remove(["d0"])
    allowed = np.random.default_rng(2).choice(len(index), count, replace=False)
    for hits in index.search(cloud(30, seed=4), 5, allowed=allowed):
        assert len(hits) == min(5, count)
        assert {row for row, _ in hits} <= set(allowed.tolist())
    assert index.search(cloud(2), 5, allowed=np.array([], dtype=np.int64)) == [[], []]
    with pytest.raises(InputError, match="rows from 7 to 598 were asked for"):
        index.search(cloud(2), 5, allowed=np.array([7, 598]))


def test_an_exact_search_within_is_that_of_the_rows_alone() -> None:
    index = built("flat")
    allowed = np.arange(0, 600, 7)
    unit = cloud(600) / np.linalg.norm(cloud(600), axis=1, keepdims=True)
    question = cloud(1, seed=5)
    best = allowed[np.argsort(-(unit[allowed] @ question[0]))][:4]
    assert [row for row, _ in index.search(question, 4, allowed=allowed)[0]] == best.tolist()


def test_changes_that_cannot_be_leave_it_as_it_was() -> None:
    index = built("flat", 3)
    with pytest.raises(InputError, match='"d1" is in the index already; `update`'):
        index.add(chunks_of(range(1, 2)), cloud(2))
    with pytest.raises(InputError, match="31 dimensions for an index of 32"):
        index.update(chunks_of(range(1, 2)), cloud(2)[:, 1:])
    with pytest.raises(InputError, match="all 6 chunks would be removed"):
        index.remove(["d0", "d1", "d2"])
    thief = Chunk(id="d0#1", document="other", title="", text="text")
    with pytest.raises(InputError, match='"d0#1" is in the index already'):
        index.add([thief], cloud(1))
    assert (len(index), index.manifest.documents) == (6, 3)
    assert index.update(chunks_of(range(3), "all "), cloud(6)) == 6
    assert nearest(index, cloud(6)[:1]) == ["all text 0 1"]
