"""The summaries of a tree, from its leaves up; what is known or was kept is not made again."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..effort import Effort
from ..errors import StorageError
from ..files import read_json_lines, write_json_lines
from ..measure.record import Bill
from ..values import digest
from .chunking import ARROW, Chunk
from .extractive import Below
from .tree_shapes import Tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUMMARIES_FILE = "summaries.jsonl"
SEVERAL = "several documents"
"""The document of a summary of more than one: no evidence names it, so it never counts as one."""

Summarise = Callable[[Sequence[Below]], Sequence[tuple[str, bool]]]
"""Nodes -> a summary of each, and whether it is worth keeping: one that only stands in for another
is not."""


class KeptSummaries:
    """Summaries by what they are of, written in parts as they are made.

    A build that was killed goes on from the parts in `effort.folder`; `known` are those of an
    older tree. `made` holds all that were asked for, the last part having what they cost.
    """

    def __init__(self, effort: Effort, known: Mapping[str, str] | None = None) -> None:
        self._effort, self._known = effort, dict(known or {})
        self.made: dict[str, str] = {}
        self._parts = 0
        spent = None
        for path in sorted(effort.folder.glob("summaries-*.jsonl")):
            self._parts += 1
            with contextlib.suppress(StorageError, ValidationError, KeyError, TypeError):
                rows = [row for _, row in read_json_lines(path)]
                bill = Bill.model_validate(rows[-1]["spent"])
                self._known |= _by_key(rows[:-1])
                spent = bill
        if spent is not None:
            effort.carry(spent)

    def find(self, key: str) -> str | None:
        """A summary that is known, which is then one of `made`."""
        text = self.made.get(key) or self._known.get(key)
        if text is not None:
            self.made[key] = text
        return text

    def keep(self, more: Mapping[str, str]) -> None:
        """Write a part: what was made since the last one, and what all has cost by now."""
        self.made |= more
        rows = [{"key": key, "text": text} for key, text in more.items()]
        spent = {"spent": self._effort.spent().plain()}
        name = f"summaries-{self._parts:06}.jsonl"
        write_json_lines(self._effort.folder / name, [*rows, spent])
        self._parts += 1
        self._effort.note()

    def save(self, folder: Path) -> None:
        """Write those of this tree, for the next one to begin with."""
        rows = ({"key": key, "text": text} for key, text in self.made.items())
        write_json_lines(folder / SUMMARIES_FILE, rows)


def known_summaries(folder: Path) -> dict[str, str]:
    """What `KeptSummaries.save` wrote into a stage; nothing where it cannot be read."""
    with contextlib.suppress(StorageError, KeyError, TypeError):
        return _by_key([row for _, row in read_json_lines(folder / SUMMARIES_FILE)])
    return {}


def _by_key(rows: Sequence[Any]) -> dict[str, str]:
    return {str(row["key"]): str(row["text"]) for row in rows}


def summarised(
    tree: Tree,
    chunks: Sequence[Chunk],
    vectors: NDArray[np.float32],
    *,
    summarise: Summarise,
    kept: KeptSummaries,
    how: object,
    tokens: int,
    count_tokens: Callable[[str], int],
    batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Chunk]:
    """The nodes of `tree` above its leaves as chunks, in their order; `vectors` (n, d) are the
    leaves'. Ids are ``summary/``, the level from 1 and a number from 1.

    A summary has at most `tokens`, the headings of its section included. It is known by a digest
    of `how` it is made and of all that lies below it: where one leaf changes, the nodes above it
    are summarised anew, and no others. `batch` nodes are summarised together, and then kept.
    """
    places = _places(tree, chunks)
    heads = [_head(title, tokens, count_tokens) for _, title in places]
    keys = _keys(tree, chunks, [how, tokens], heads)
    centroids = _centroids(tree, vectors)
    texts = [chunk.body for chunk in chunks] + [""] * len(heads)
    done = 0
    for nodes in _batches(tree, batch):
        missing = []
        for node in nodes:
            at = node - tree.leaves
            texts[node] = kept.find(keys[at]) or ""
            if not texts[node]:
                below = tuple(texts[child] for child in tree.children(node).tolist())
                room = tokens - count_tokens(heads[at]) if heads[at] else tokens
                missing.append((node, Below(below, centroids[at], room)))
        if missing:
            made = summarise([below for _, below in missing])
            new = {}
            for (node, _), (text, worth_keeping) in zip(missing, made, strict=True):
                texts[node] = text
                if worth_keeping:
                    new[keys[node - tree.leaves]] = text
            kept.keep(new)
        done += len(nodes)
        if progress is not None:
            progress(done, len(heads))
    return _as_chunks(tree, places, heads, texts)


def _batches(tree: Tree, most: int) -> Iterator[list[int]]:
    """The nodes above the leaves, those of a level together, from the lowest on."""
    nodes = range(tree.leaves, len(tree))
    levels = tree.levels.tolist()
    ordered = sorted(nodes, key=levels.__getitem__)
    for _, level in itertools.groupby(ordered, key=levels.__getitem__):
        while part := list(itertools.islice(level, most)):
            yield part


def _places(tree: Tree, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
    """Of each node above the leaves the document that all its leaves come from, or `SEVERAL`, and
    the title that they share."""
    below = [(chunk.document, chunk.title.split(ARROW)) for chunk in chunks]
    found: list[tuple[str, list[str]] | None] = [*below, *[None] * (len(tree) - tree.leaves)]
    for node, parent in enumerate(tree.parents.tolist()):
        if parent < 0:
            continue
        here, before = found[node], found[parent]
        assert here is not None  # a node stands after its children
        if before is None:
            found[parent] = here
        elif before[0] != here[0]:
            found[parent] = (SEVERAL, [])
        else:
            pairs = zip(before[1], here[1], strict=False)
            shared = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
            found[parent] = (here[0], [name for name, _ in shared])
    return [(of[0], ARROW.join(of[1])) for of in found[tree.leaves :] if of is not None]


def _head(title: str, tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The title as a summary opens with it, or nothing where it would take half of the room."""
    return f"{title}\n\n" if title and count_tokens(title) <= tokens // 2 else ""


def _keys(tree: Tree, chunks: Sequence[Chunk], how: object, heads: Sequence[str]) -> list[str]:
    """A digest of each node above the leaves: of how it is made and of all that lies below."""
    keys = [digest(chunk.text) for chunk in chunks]
    for node in range(tree.leaves, len(tree)):
        below = [keys[child] for child in tree.children(node).tolist()]
        keys.append(digest([how, heads[node - tree.leaves], below]))
    return keys[tree.leaves :]


def _centroids(tree: Tree, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the leaves below each node above them, scaled to unit length."""
    import numpy as np

    sums = np.zeros((len(tree) - tree.leaves, vectors.shape[1]), dtype=np.float32)
    held = np.flatnonzero(tree.parents[: tree.leaves] >= 0)
    np.add.at(sums, tree.parents[held] - tree.leaves, vectors[held])
    for node in range(tree.leaves, len(tree)):  # a node stands after its children
        parent = int(tree.parents[node])
        if parent >= 0:
            sums[parent - tree.leaves] += sums[node - tree.leaves]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _as_chunks(
    tree: Tree, places: Sequence[tuple[str, str]], heads: Sequence[str], texts: Sequence[str]
) -> list[Chunk]:
    numbers: Counter[int] = Counter()
    made = []
    levels = tree.levels[tree.leaves :].tolist()
    for level, (document, title), head, text in zip(
        levels, places, heads, texts[tree.leaves :], strict=True
    ):
        numbers[level] += 1
        name = f"summary/{level}/{numbers[level]}"
        made.append(Chunk(id=name, document=document, title=title, text=head + text))
    return made
