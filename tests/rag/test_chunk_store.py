"""Chunks in memory, in a file, and both at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wattune.errors import InputError, StorageError
from wattune.rag.chunk_store import ChunkStore
from wattune.rag.chunking import Chunk
from wattune.rag.retriever import rows_where
from wattune.tasks.task import Metadata


def chunk(name: str, text: str) -> Chunk:
    return Chunk(id=f"{name}#1", document=name, title="T", text=text)


CHUNKS = [chunk("a", "one\ntwo"), chunk("b", "\u2028 and ü"), chunk("c", "three")]


def written(path: Path, store: ChunkStore) -> ChunkStore:
    with path.open("wb") as stream:
        places = store.write(stream)
    return ChunkStore.open(path, places)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    store = written(tmp_path / "chunks.jsonl", ChunkStore.of(CHUNKS))
    assert list(store) == CHUNKS
    assert store[-1] == CHUNKS[2]
    assert store[1:] == CHUNKS[1:]
    assert list(store.plain()) == [one.plain() for one in CHUNKS]
    assert list(ChunkStore.open(tmp_path / "chunks.jsonl")) == CHUNKS  # places found anew
    with pytest.raises(IndexError):
        store[3]


def test_lines_and_given_chunks_together_are_written_as_one(tmp_path: Path) -> None:
    more = [chunk("d", "four"), chunk("e", "five")]
    store = written(tmp_path / "one", ChunkStore.of(CHUNKS)).plus(more).without(np.array([0, 3]))
    expected = [CHUNKS[1], CHUNKS[2], more[1]]
    assert list(store) == expected
    again = written(tmp_path / "two", store)
    assert list(again) == expected
    assert again._given == ()


def test_an_empty_file_and_a_place_outside(tmp_path: Path) -> None:
    path = tmp_path / "chunks.jsonl"
    path.write_bytes(b"")
    assert len(ChunkStore.open(path)) == 0
    with pytest.raises(StorageError, match="begins outside of the file"):
        ChunkStore.open(path, np.array([5]))


def test_a_line_that_is_no_chunk(tmp_path: Path) -> None:
    path = tmp_path / "chunks.jsonl"
    path.write_text('{"id": 3}\n')
    with pytest.raises(StorageError, match="chunk 0 of the index is not a chunk"):
        ChunkStore.open(path)[0]


def test_metadata_of_lines_and_of_given_chunks(tmp_path: Path) -> None:
    told: list[Metadata] = [
        {"lang": "en"}, {}, {"lang": "de"}, {"lang": "en"}, {"metadata": "x", "y": 1}, {"y": "\""}
    ]  # fmt: skip
    text = 'It says "metadata": {"lang": "nl"}}'
    chunks = [
        Chunk(id=str(n), document="d", title="", text=text, metadata=metadata)
        for n, metadata in enumerate(told)
    ]
    path = tmp_path / "chunks.jsonl"
    with path.open("wb") as stream:
        ChunkStore.of(chunks).write(stream)
    store = ChunkStore.open(path).plus(chunks[:1])
    assert list(store.metadata()) == [*told, {"lang": "en"}]
    assert list(ChunkStore.open(path).metadata()) == [chunk.metadata for chunk in store[:-1]]
    assert rows_where(store, {"lang": "en"}).tolist() == [0, 3, 6]
    with pytest.raises(InputError, match="their metadata have lang, metadata, y"):
        rows_where(store, {"lang": "nl"})


def test_metadata_of_lines_written_with_other_spaces(tmp_path: Path) -> None:
    line = '{"metadata":{"n":%d},"id":"a","document":"d","title":"","text":"x"}\n'
    path = tmp_path / "chunks.jsonl"
    path.write_text("".join(line % n for n in range(3)))
    assert list(ChunkStore.open(path).metadata()) == [{"n": 0}, {"n": 1}, {"n": 2}]
