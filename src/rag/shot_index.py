"""Worked examples that are found by the likeness of their questions, on the same vector index."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import read_text, write_json
from ..prompt import Shot
from ..tasks.task import Example
from .chunking import Chunk
from .index import VectorIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOTS_FILE = "shots.json"


def write_shots(folder: Path, shots: Iterable[Shot]) -> None:
    """Keep the shots of a stage in its folder."""
    write_json(folder / SHOTS_FILE, [shot.plain() for shot in shots])


def read_shots(folder: Path) -> tuple[Shot, ...]:
    """The shots that a stage keeps; `StorageError` where they cannot be read."""
    return tuple(Shot(**row) for row in json.loads(read_text(folder / SHOTS_FILE)))


def others(shots: Iterable[Shot], example: Example) -> list[Shot]:
    """The shots that were not taken from `example` and do not ask what it asks."""
    return [s for s in shots if s.id != example.id and s.question != example.question]


class ShotIndex:
    """Shots, and a `VectorIndex` of their questions; row i belongs to shot i."""

    def __init__(self, index: VectorIndex, shots: Sequence[Shot]) -> None:
        self._index, self._shots = index, tuple(shots)
        ids = Counter(shot.id for shot in self._shots)
        questions = Counter(shot.question for shot in self._shots)
        self._most_left_out = max(ids.values()) + max(questions.values())

    @classmethod
    def build(
        cls, shots: Sequence[Shot], vectors: NDArray[Any], *, embedder: str, revision: str
    ) -> ShotIndex:
        """Index `vectors` (n, d) of the questions of n shots, made by `embedder` at `revision`.

        Raises `InputError` as `VectorIndex.build` does.
        """
        # Numbered, so that of equally near ones the earlier comes first, whatever their ids.
        rows = [
            Chunk(id=f"{number:09d}", document=shot.id, title="", text=shot.question)
            for number, shot in enumerate(shots)
        ]
        index = VectorIndex.build(rows, vectors, embedder=embedder, revision=revision)
        return cls(index, shots)

    def save(self, folder: Path) -> None:
        """Write the shots and the files of the index; `StorageError` where that cannot be."""
        write_shots(folder, self._shots)
        self._index.save(folder)

    @classmethod
    def load(cls, folder: Path, *, embedder: str, revision: str | None = None) -> ShotIndex:
        """Open what `save` wrote, for questions embedded by `embedder`; `StorageError` as
        `VectorIndex.load`."""
        index = VectorIndex.load(folder, embedder=embedder, revision=revision)
        return cls(index, read_shots(folder))

    def nearest(
        self, examples: Sequence[Example], vectors: NDArray[Any], k: int
    ) -> list[list[Shot]]:
        """The `k` shots whose questions are nearest to each example's, the nearest last, without
        the example itself; fewer where there are no more. `vectors` (n, d) are those of the
        examples' questions.

        The rule is that of Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?"
        (arXiv 2101.06804), on unit vectors: the highest cosine.
        """
        found = self._index.search(vectors, k + self._most_left_out)
        return [
            others((self._shots[row] for row, _ in hits), example)[:k][::-1]
            for example, hits in zip(examples, found, strict=True)
        ]
