"""A tree of summaries over chunks: saved, opened, and searched within a budget of tokens.

Collapsed: all nodes, chunks and summaries alike, in one search, the best as they fit. Top-down:
from the root on, at each level the children of the best nodes; what is found are the chunks that
are reached. After RAPTOR (arXiv 2401.18059).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, StorageError
from ..files import storage
from ..prompt import Passage
from ..search import Search
from .fusion import Hits, min_max
from .index import VectorIndex
from .index_checks import DECIMALS, unit
from .lexical import LexicalIndex
from .retriever import BATCH
from .tree_shapes import Tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NODES_FILE = "nodes.npy"


class SummaryIndex:
    """The nodes of a tree in an index of vectors, row i being node i, leaves first.

    `tokens` (n,) are those of each node's text, as the embedder counts them. Where there is
    `lexical`, an index of words over the same rows, nodes are found by both.
    """

    def __init__(
        self,
        index: VectorIndex,
        tree: Tree,
        tokens: NDArray[np.int64],
        lexical: LexicalIndex | None = None,
    ) -> None:
        self.index, self.tree, self.tokens, self.lexical = index, tree, tokens, lexical

    def save(self, folder: Path) -> None:
        """Write the index's files and nodes.npy: for each node its parent (-1: none) and tokens.

        Raises `StorageError` where they cannot be written.
        """
        import numpy as np

        self.index.save(folder)
        if self.lexical is not None:
            self.lexical.save(folder)
        beside = folder / f".{NODES_FILE}.tmp"
        with storage(folder):
            with beside.open("wb") as stream:
                table = np.stack([self.tree.parents, self.tokens], axis=1)
                np.save(stream, table, allow_pickle=False)
            os.replace(beside, folder / NODES_FILE)

    @classmethod
    def load(
        cls, folder: Path, *, embedder: str, revision: str | None = None, by_words: bool = False
    ) -> SummaryIndex:
        """Open a saved tree for questions embedded by `embedder`, with its index of words where it
        is to be searched `by_words` too.

        Raises `StorageError` as `VectorIndex.load` does, and where nodes.npy is missing, cannot be
        read, or is not of a tree over the index's rows.
        """
        import numpy as np

        index = VectorIndex.load(folder, embedder=embedder, revision=revision)
        path = folder / NODES_FILE
        try:
            table = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StorageError(f"{path}: the tree cannot be read; build it again") from error
        fault = _fault(table, len(index))
        if fault:
            raise StorageError(f"{path}: {fault}; build the tree again")
        parents, tokens = np.ascontiguousarray(table.T)
        above = parents[parents >= 0]
        leaves = int(above.min()) if above.size else len(parents)
        lexical = LexicalIndex.load(folder) if by_words else None
        return cls(index, Tree(parents, leaves), tokens, lexical)

    def collapsed(
        self, questions: Sequence[str], vectors: NDArray[Any], budget_tokens: int
    ) -> list[list[Passage]]:
        """For each of n questions and their `vectors` (n, d) the best nodes, best first, up to the
        one that `budget_tokens` has no room for. A summary is passed over where something below it
        was taken, which says it better; what is below one that was taken is not: it says more."""
        found: list[list[Passage]] = []
        for start in range(0, len(vectors), BATCH):
            batch = vectors[start : start + BATCH]
            waiting = list(range(len(batch)))
            hits: list[list[tuple[int, float]]] = [[] for _ in waiting]
            # So many fill the budget where they are of usual length; then more, where they do not.
            count = 2 + 2 * -(-budget_tokens * len(self.tokens) // max(1, int(self.tokens.sum())))
            while waiting:
                asked = [questions[start + at] for at in waiting]
                searched = self._ranked(asked, batch[waiting], count)
                whole = []
                for at, rows in zip(waiting, searched, strict=True):
                    hits[at], full = self._fitting(rows, budget_tokens)
                    if full or len(rows) < count or count >= len(self.index):
                        whole.append(at)
                waiting = [at for at in waiting if at not in whole]
                count *= 4
            found += [self._passages(rows) for rows in hits]
        return found

    def _ranked(self, questions: list[str], vectors: NDArray[Any], count: int) -> list[Hits]:
        """The `count` best nodes of each question, by vectors or by both."""
        if self.lexical is None:
            return list(self.index.search(vectors, count))
        usual = Search()
        wide = max(count, usual.candidates)
        found = zip(
            self.index.search(vectors, wide), self.lexical.search(questions, wide), strict=True
        )
        return [min_max(*both, usual.weight)[:count] for both in found]

    def top_down(self, vectors: NDArray[Any], budget_tokens: int, beam: int) -> list[list[Passage]]:
        """For each of `vectors` (n, d) leaves only, best first, up to the one that `budget_tokens`
        has no room for: those that are reached by going from the roots to the children, again and
        again, of the `beam` nearest nodes."""
        if beam < 1:
            raise InputError(f"beam is {beam}; at least 1 node must be gone on from")
        questions = unit(vectors, "the vectors of the questions")
        return [
            self._passages(self._fitting(self._reached(one, beam), budget_tokens)[0])
            for one in questions
        ]

    def _reached(self, question: NDArray[np.float32], beam: int) -> list[tuple[int, float]]:
        """The leaves that are found from the roots on, with their cosines, best first."""
        import numpy as np

        leaves: list[tuple[int, float]] = []
        nodes = self.tree.roots
        while nodes.size:
            scores = np.round(self.index.vectors_of(nodes) @ question, DECIMALS)
            order = np.lexsort((nodes, -scores))
            nodes, scores = nodes[order], scores[order]
            low = nodes < self.tree.leaves
            leaves += zip(nodes[low].tolist(), scores[low].tolist(), strict=True)
            best = nodes[~low][:beam]
            below = [self.tree.children(node) for node in best.tolist()]
            nodes = np.concatenate(below) if below else best
        return sorted(leaves, key=lambda hit: (-hit[1], hit[0]))

    def _fitting(
        self, rows: Sequence[tuple[int, float]], budget: int
    ) -> tuple[list[tuple[int, float]], bool]:
        """Of some rows, best first, those up to the one that has no room; and whether there was
        such a one."""
        taken: list[tuple[int, float]] = []
        above: set[int] = set()  # the nodes above those taken
        for row, score in rows:
            if row in above:
                continue
            budget -= int(self.tokens[row])
            if budget < 0:
                return taken, True
            taken.append((row, score))
            while (row := int(self.tree.parents[row])) >= 0 and row not in above:
                above.add(row)
        return taken, False

    def _passages(self, rows: Sequence[tuple[int, float]]) -> list[Passage]:
        chunks = [(self.index.chunks[row], score) for row, score in rows]
        return [
            Passage(
                text=chunk.text,
                document=chunk.document,
                id=chunk.id,
                title=chunk.title,
                score=round(score, DECIMALS),
                source="index",
                metadata=chunk.metadata,
            )
            for chunk, score in chunks
        ]


def _fault(table: Any, rows: int) -> str:
    """What is wrong with a table of nodes, "" where it is of a tree over so many rows."""
    import numpy as np

    if table.dtype != np.int64 or table.shape != (rows, 2):
        return f"{table.dtype} of shape {table.shape} where the index has {rows} nodes"
    parents = table[:, 0]
    above = np.unique(parents[parents >= 0])
    leaves = int(above[0]) if above.size else rows
    if not np.array_equal(above, np.arange(leaves, rows)) or parents.min() < -1:
        return "the parents are not the nodes behind the leaves"
    if bool(((parents >= 0) & (parents <= np.arange(rows))).any()):
        return "a node does not stand after its children"
    return "" if table[:, 1].min() >= 0 else "a node has less than 0 tokens"
