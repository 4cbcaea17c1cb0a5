"""Indexes that were cut off, exchanged or forged: told by name, and left as they lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from wattune.errors import StorageError
from wattune.rag.chunking import Chunk
from wattune.rag.index import VectorIndex

FILES = ["index.faiss", "chunks.jsonl", "rows.npy"]


def saved(folder: Path, count: int, dimension: int = 8) -> Path:
    chunks = [
        Chunk(id=f"d{n}#1", document=f"d{n}", title="", text=f"text {n}") for n in range(count)
    ]
    vectors = np.random.default_rng(0).normal(size=(count, dimension))
    VectorIndex.build(chunks, vectors, embedder="e").save(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def vouched(folder: Path, name: str) -> None:
    """Make the manifest say that a file is as it should be, as a forger would."""
    path, data = folder / "manifest.json", (folder / name).read_bytes()
    manifest = json.loads(path.read_text())
    manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    manifest["bytes"][name] = len(data)
    path.write_text(json.dumps(manifest))


def refused(folder: Path, message: str) -> None:
    before = contents(folder)
    with pytest.raises(StorageError, match=message):
        VectorIndex.load(folder, embedder="e")
    assert contents(folder) == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_file_that_was_cut_off(tmp_path: Path, name: str, share: float) -> None:
    path = saved(tmp_path, 40) / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path, rf"{name}: .* manifest\.json says {len(whole):,}\); build the index again")
    vouched(tmp_path, name)
    refused(tmp_path, "build the index again|build it again")
    path.write_bytes(whole)
    vouched(tmp_path, name)
    assert len(VectorIndex.load(tmp_path, embedder="e")) == 40


@pytest.mark.parametrize("name", FILES)
def test_a_manifest_with_another_hash(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, 5) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"][name] = "0" * 64
    path.write_text(json.dumps(manifest))
    refused(tmp_path, rf"{name}: .* SHA-256 differs from manifest\.json\); build the index again")


@pytest.mark.parametrize(("count", "dimension"), [(5, 8), (9, 8), (7, 16)])
def test_the_index_of_other_chunks(tmp_path: Path, count: int, dimension: int) -> None:
    saved(tmp_path, 7)
    foreign = saved(tmp_path / "other", count, dimension) / "index.faiss"
    (tmp_path / "index.faiss").write_bytes(foreign.read_bytes())
    for path in (tmp_path / "other").iterdir():
        path.unlink()
    (tmp_path / "other").rmdir()
    refused(tmp_path, "index.faiss: the file is not the one that was written")
    vouched(tmp_path, "index.faiss")
    refused(tmp_path, rf"{count} vectors of {dimension} dimensions and 7 chunks where")


def test_what_is_no_index_at_all(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    (tmp_path / "index.faiss").write_bytes(b"%PDF-1.7 \x00\xff" * 40)
    vouched(tmp_path, "index.faiss")
    refused(tmp_path, "the index cannot be read; build it again")
