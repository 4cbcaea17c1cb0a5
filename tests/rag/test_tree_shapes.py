"""The shapes of a tree: each leaf once, few children, what belongs together below one node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wattune.rag.chunking import ARROW, Chunk
from wattune.rag.tree_shapes import Shape, Tree, grown

SHAPES: tuple[Shape, ...] = ("headings", "windows", "clusters")


def chunks_of(sizes: list[int], sections: int = 1) -> list[Chunk]:
    """Documents of so many chunks each, those of a document in `sections` sections by turns."""
    return [
        Chunk(
            id=f"d{d}#{n}",
            document=f"d{d}",
            title=ARROW.join((f"D{d}", f"S{n * sections // size}")),
            text=f"text {n} of {d}",
        )
        for d, size in enumerate(sizes)
        for n in range(size)
    ]


def random_vectors(count: int, seed: int = 0) -> Any:
    made = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def leaves_below(tree: Tree, node: int) -> list[int]:
    if node < tree.leaves:
        return [node]
    return [leaf for child in tree.children(node) for leaf in leaves_below(tree, int(child))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fan", [2, 3, 6])
@pytest.mark.parametrize("sizes", [[1], [2], [7], [1, 1, 1], [40, 1, 13, 2, 30], [200]])
def test_each_leaf_stands_once_below_one_root(shape: Shape, fan: int, sizes: list[int]) -> None:
    chunks = chunks_of(sizes, sections=4)
    tree = grown(shape, chunks, random_vectors(len(chunks)), fan=fan, seed=3)
    (root,) = tree.roots.tolist()
    assert sorted(leaves_below(tree, root)) == list(range(len(chunks)))
    for node in range(tree.leaves, len(tree)):
        children = tree.children(node)
        assert 2 <= len(children) <= fan
        assert max(children) < node
        assert tree.levels[node] == 1 + max(tree.levels[children])
    assert len(tree) < 2 * len(chunks)


@pytest.mark.parametrize("shape", ["headings", "windows"])
def test_no_node_holds_parts_of_two_documents(shape: Shape) -> None:
    chunks = chunks_of([9, 20, 1, 4], sections=3)
    tree = grown(shape, chunks, random_vectors(len(chunks)), fan=4, seed=0)
    of = [chunk.document for chunk in chunks]
    whole = {name: {row for row, other in enumerate(of) if other == name} for name in of}
    for node in range(len(tree)):
        below = set(leaves_below(tree, node))
        assert sorted(below) == list(range(min(below), max(below) + 1))  # neighbours
        names = {of[row] for row in below}
        assert len(names) == 1 or all(whole[name] <= below for name in names)


def test_sections_are_nodes() -> None:
    chunks = chunks_of([12], sections=4)
    tree = grown("headings", chunks, random_vectors(12), fan=6, seed=0)
    assert [leaves_below(tree, node) for node in range(12, 17)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
        list(range(12)),
    ]


def test_text_above_the_first_heading_stands_beside_the_sections() -> None:
    titles = ["D", f"D{ARROW}A", f"D{ARROW}A{ARROW}B", f"D{ARROW}A{ARROW}B", f"D{ARROW}C"]
    chunks = [
        Chunk(id=f"d#{n}", document="d", title=title, text=str(n)) for n, title in enumerate(titles)
    ]
    tree = grown("headings", chunks, random_vectors(5), fan=6, seed=0)
    below = [leaves_below(tree, node) for node in range(5, len(tree))]
    assert below == [[2, 3], [1, 2, 3], [0, 1, 2, 3, 4]]


def test_clusters_follow_the_vectors_and_the_seed() -> None:
    centres = random_vectors(5)
    near = np.repeat(centres, 6, axis=0) + 0.05 * random_vectors(30, seed=1)
    mixed = np.random.default_rng(2).permutation(30)
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True))[mixed].astype(np.float32)
    chunks = chunks_of([30])
    tree = grown("clusters", chunks, vectors, fan=6, seed=0)
    again = grown("clusters", chunks, vectors, fan=6, seed=0)
    assert np.array_equal(tree.parents, again.parents)
    (root,) = tree.roots.tolist()
    groups = {
        frozenset(mixed[leaves_below(tree, int(child))] // 6) for child in tree.children(root)
    }
    assert groups == {frozenset({n}) for n in range(5)}


@pytest.mark.parametrize("count", [36, 37, 217, 1000])
def test_clusters_have_no_more_levels_than_they_must(count: int) -> None:
    same = np.full((count, 4), 0.5, dtype=np.float32)  # nothing to tell them apart by
    lumpy: Any = random_vectors(count)
    lumpy[: count * 9 // 10] = lumpy[0]
    for vectors in (same, lumpy):
        tree = grown("clusters", chunks_of([count]), vectors, fan=6, seed=0)
        assert tree.levels.max() == next(d for d in range(9) if 6**d >= count)


@pytest.mark.parametrize("shape", ["headings", "windows"])
def test_a_document_more_moves_few_nodes(shape: Shape) -> None:
    def nodes(chunks: list[Chunk]) -> set[tuple[str, ...]]:
        tree = grown(shape, chunks, random_vectors(len(chunks)), fan=6, seed=0)
        return {
            tuple(chunks[leaf].id for leaf in leaves_below(tree, node))
            for node in range(tree.leaves, len(tree))
        }

    chunks = chunks_of([3] * 400)
    added = Chunk(id="new#1", document="new", title="", text="new")
    before, after = nodes(chunks), nodes([*chunks[:600], added, *chunks[600:]])
    assert len(before) > 500
    assert len(after - before) < 30
