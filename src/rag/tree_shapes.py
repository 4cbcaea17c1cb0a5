r"""Shapes of a tree over chunks: by headings, by windows of neighbours, or by clusters.

    chunks   0  1  2   3  4    5   ...      leaves, in the order of the index
              \ | /     \/     |            2 to `fan` children each
    nodes       7        8     |            a node comes after its children
                  \      |    /
                   9 (root)

All are linear in the chunks, or nearly: n log n for clusters.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .balanced_clusters import balanced_clusters
from .chunking import ARROW, Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape = Literal["headings", "windows", "clusters"]


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes by number: `leaves` leaves first, then nodes, each after its children.

    `parents` (n,) holds the number of each one's parent, -1 for a root.
    """

    parents: NDArray[np.int64]
    leaves: int

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def roots(self) -> NDArray[np.int64]:
        """The nodes without a parent."""
        import numpy as np

        return np.flatnonzero(self.parents < 0)

    def children(self, node: int) -> NDArray[np.int64]:
        """The children of a node in the order of their first leaves; none of a leaf."""
        order, begins = self._by_parent
        if node < self.leaves:
            return order[:0]
        at = node - self.leaves
        return order[begins[at] : begins[at + 1]]

    @functools.cached_property
    def _by_parent(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All nodes, those of one parent together; and where each parent's begin."""
        import numpy as np

        first = [node if node < self.leaves else len(self) for node in range(len(self))]
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                first[parent] = min(first[parent], first[node])
        order = np.lexsort((np.array(first, dtype=np.int64), self.parents))
        begins = np.searchsorted(self.parents[order], np.arange(self.leaves, len(self) + 1))
        return order, begins

    @functools.cached_property
    def levels(self) -> NDArray[np.int64]:
        """The level (n,) of each node: 0 for a leaf, else one more than its highest child's."""
        import numpy as np

        levels = [0] * len(self)
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                levels[parent] = max(levels[parent], levels[node] + 1)
        return np.array(levels, dtype=np.int64)


def grown(
    shape: Shape, chunks: Sequence[Chunk], vectors: NDArray[np.float32], *, fan: int, seed: int
) -> Tree:
    """A tree over `chunks` whose nodes have 2 to `fan` children each, up to one root.

    ``headings``: a document's sections, within one another, are its nodes. ``windows``: windows of
    neighbours within a document, level by level. Both then have windows over the documents.
    ``clusters``: `vectors` (n, d) of unit length are divided by balanced k-means from the top
    down, whatever their documents; the same for the same `seed`.
    """
    import numpy as np

    growing = _Growing(len(chunks), fan)
    if shape == "clusters":
        growing.clusters(np.arange(len(chunks)), vectors, np.random.default_rng(seed))
    else:
        grow = growing.sections if shape == "headings" else growing.windows
        tops, names = [], []
        for name, rows in itertools.groupby(range(len(chunks)), lambda row: chunks[row].document):
            tops.append(grow(list(rows), chunks))
            names.append(name)
        growing.over(tops, names)
    return Tree(np.array(growing.parents, dtype=np.int64), len(chunks))


class _Growing:
    """A tree while it grows, from its leaves on."""

    def __init__(self, leaves: int, fan: int) -> None:
        self.parents = [-1] * leaves
        self._fan = fan

    def over(self, nodes: list[int], names: Sequence[str]) -> int:
        """The node over neighbours, with windows of them between where they are too many.

        `names` are what each is known by, which should stay when other nodes come and go: where
        a window ends is decided by them, so that what is added moves only the windows near it.
        """
        keys = [hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest() for name in names]
        while len(nodes) > 1:
            ends = _ends(keys, self._fan)
            nodes = [self._node(nodes[a:b]) for a, b in itertools.pairwise((0, *ends))]
            keys = [keys[end - 1] for end in ends]
        return nodes[0]

    def windows(self, rows: list[int], chunks: Sequence[Chunk]) -> int:
        """The node over the chunks of a document, or of a section."""
        return self.over(rows, [chunks[row].text for row in rows])

    def sections(self, rows: list[int], chunks: Sequence[Chunk], depth: int = 0) -> int:
        """The node over a section at `depth`: over its sections below, and the chunks that stand
        in none of them."""
        paths = {row: chunks[row].title.split(ARROW) for row in rows}
        if all(len(path) <= depth for path in paths.values()):
            return self.windows(rows, chunks)
        nodes, names = [], []
        for name, part in itertools.groupby(rows, lambda row: "".join(paths[row][depth:][:1])):
            nodes.append(self.sections(list(part), chunks, depth + 1))
            names.append(name)
        return self.over(nodes, names)

    def clusters(
        self, rows: NDArray[np.int64], vectors: NDArray[np.float32], rng: np.random.Generator
    ) -> int:
        """The node over some chunks, divided by their vectors until `fan` or fewer are left."""
        if len(rows) <= self._fan:
            return self._node(rows.tolist())
        parts = balanced_clusters(vectors, rows, self._fan, rng)
        return self._node([self.clusters(part, vectors, rng) for part in parts])

    def _node(self, children: list[int]) -> int:
        """A node over some others; one alone needs none."""
        if len(children) == 1:
            return children[0]
        node = len(self.parents)
        self.parents.append(-1)
        for child in children:
            self.parents[child] = node
        return node


def _ends(keys: Sequence[bytes], fan: int) -> list[int]:
    """Where windows of about `fan` / 2 to `fan` neighbours end (exclusive), the last one at the
    end: behind the least key that a window can reach, as files are cut by their content."""
    least = max(2, fan // 2)
    ends = [0]
    while len(keys) - ends[-1] > fan:
        start = ends[-1]
        # What is left must make a window too.
        most = max(least, min(fan, len(keys) - start - least))
        ends.append(min(range(start + least, start + most + 1), key=lambda end: keys[end - 1]))
    return [*ends[1:], len(keys)]
