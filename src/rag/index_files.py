"""An index as a folder: the files' names, the manifest that ties them together, their digests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ..errors import StorageError
from ..files import cache_folder, file_digest, read_text, storage, write_json
from ..values import Value, digest
from .chunk_store import ChunkStore
from .index_kinds import forget_places, native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX_FILE = "index.faiss"
CHUNKS_FILE = "chunks.jsonl"
ROWS_FILE = "rows.npy"
MANIFEST_FILE = "manifest.json"
VERIFIED_FOLDER = "verified"
HASHED_ANEW = 16 * 2**20
"""Bytes of a folder up to which digests are computed at every opening: a short wait."""
SETTLED_S = 2.0
"""A file changed within the clock's grain after it was hashed can look the same; what is younger
than this is not taken as verified (git calls such entries racy)."""


class IndexManifest(Value):
    """What an index was made with; a folder whose manifest does not fit is not opened.

    `asked` is what the caller wanted, `factory` FAISS's name for what was made, `why` a sentence on
    the choice. `sha256` and `bytes` hold the digests and the sizes of the other files by name.
    Format 1 had no `rows.npy` and one kind.
    """

    format: Literal[1, 2] = 2
    embedder: str
    revision: str
    dimension: int
    metric: Literal["inner_product"] = "inner_product"
    normalisation: Literal["l2"] = "l2"
    asked: str = "auto"
    kind: Literal["flat", "hnsw", "ivf", "factory"] = "flat"
    factory: str = "IDMap2,Flat"
    why: str = ""
    chunks: int
    documents: int
    sha256: dict[str, str] = {}
    bytes: dict[str, int] = {}


def write_index(
    folder: Path,
    index: Any,
    chunks: ChunkStore,
    ids: NDArray[np.int64],
    manifest: IndexManifest,
) -> IndexManifest:
    """Write the four files; the manifest with their digests. Row i is `chunks[i]`, and `ids[i]` in
    the FAISS index.

    Raises `StorageError` where they cannot be written; what stood there then still does. The files
    take their places one by one, the manifest last: a kill between them leaves a folder that is
    refused.
    """
    import faiss
    import numpy as np

    names = (INDEX_FILE, CHUNKS_FILE, ROWS_FILE)
    with _files_beside(folder, *names, MANIFEST_FILE) as paths:
        forget_places(index)
        faiss.write_index(index, str(paths[0]))
        with paths[1].open("wb") as stream:
            places = chunks.write(stream)
        with paths[2].open("wb") as stream:
            np.save(stream, np.stack([places, ids], axis=1), allow_pickle=False)
        files = dict(zip(names, paths, strict=False))
        facts = {
            "format": 2,
            "sha256": {name: file_digest(path) for name, path in files.items()},
            "bytes": {name: path.stat().st_size for name, path in files.items()},
        }
        manifest = manifest.model_copy(update=facts)
        write_json(paths[3], manifest.plain())
    return manifest


def read_index(
    folder: Path, wanted: Mapping[str, object]
) -> tuple[Any, ChunkStore, NDArray[np.int64], IndexManifest]:
    """What `write_index` wrote, mapped into memory; `wanted` is what the manifest must say.

    Raises `StorageError` where a file is missing or changed, or the manifest says something else.
    """
    import faiss
    import numpy as np

    manifest = _read_manifest(folder, wanted)
    names = (INDEX_FILE, CHUNKS_FILE, *([ROWS_FILE] if manifest.format > 1 else []))
    check_files(folder, MANIFEST_FILE, names, manifest.sha256, manifest.bytes)
    try:
        index = faiss.read_index(str(folder / INDEX_FILE), faiss.IO_FLAG_MMAP_IFC)
        if manifest.format == 1:
            chunks = ChunkStore.open(folder / CHUNKS_FILE)
            ids = np.arange(len(chunks), dtype=np.int64)
        else:
            table = np.load(folder / ROWS_FILE, allow_pickle=False)
            places, ids = np.ascontiguousarray(table.T, dtype=np.int64)
            chunks = ChunkStore.open(folder / CHUNKS_FILE, places)
    except (RuntimeError, ValueError, EOFError) as error:
        raise StorageError(f"{folder}: the index cannot be read; build it again") from error
    fits = index.ntotal == len(ids) if native(index) else index.ntotal >= len(ids)
    if not fits or len(chunks) != manifest.chunks or index.d != manifest.dimension:
        raise StorageError(
            f"{folder}: {index.ntotal} vectors of {index.d} dimensions and {len(chunks)} "
            f"chunks where {MANIFEST_FILE} says {manifest.chunks} of {manifest.dimension}; "
            "build the index again"
        )
    return index, chunks, ids, manifest


def _read_manifest(folder: Path, wanted: Mapping[str, object]) -> IndexManifest:
    """The manifest of the index in `folder`; `wanted` is what its fields must be (None: anything).

    Raises `StorageError` where there is none, or it is that of something else.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise StorageError(f"{path}: there is no index there")
    try:
        manifest = IndexManifest.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise StorageError(
            f"{path}: not the manifest of an index ({where}: {first['msg']}); build the index again"
        ) from error
    for what, value in wanted.items():
        made = getattr(manifest, what)
        if value is not None and made != value:
            raise StorageError(
                f"{folder}: the index was made with {what} {made}, not {value}; build it again"
            )
    return manifest


def check_files(
    folder: Path,
    manifest_file: str,
    names: Collection[str],
    sha256: Mapping[str, str],
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Compare the files `names` of an index with the digests and the sizes in its manifest.

    Digests of a large folder are computed when it is first opened on this machine; afterwards its
    files count as the same while their sizes, times of change and inodes are. What was verified is
    kept in the cache, not in the folder, which may be read-only or hold what was saved and no more.

    Raises `StorageError` naming the file that is missing or not as it was written.
    """
    facts: dict[str, list[object]] = {}
    size = 0
    now = time.time()
    settled = True
    for name in names:
        path = folder / name
        if not path.is_file():
            raise StorageError(f"{path}: there is no such file; build the index again")
        stat = path.stat()
        written = sizes.get(name, stat.st_size)
        if stat.st_size != written:
            raise StorageError(
                f"{path}: the file is not the one that was written ({stat.st_size:,} bytes, and "
                f"{manifest_file} says {written:,}); build the index again"
            )
        facts[name] = [stat.st_size, stat.st_mtime_ns, stat.st_ino, sha256.get(name)]
        size += stat.st_size
        settled = settled and now - stat.st_mtime > SETTLED_S
    of = digest([str(folder.resolve()), manifest_file])
    record = cache_folder() / VERIFIED_FOLDER / f"{of}.json"
    if size > HASHED_ANEW and _recorded(record) == facts:
        return
    for name in names:
        if file_digest(folder / name) != sha256.get(name):
            raise StorageError(
                f"{folder / name}: the file is not the one that was written (its SHA-256 differs "
                f"from {manifest_file}); build the index again"
            )
    if size > HASHED_ANEW and settled:
        with contextlib.suppress(StorageError, OSError):  # hashed again next time
            write_json(record, facts)


def _recorded(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _files_beside(folder: Path, *names: str) -> Iterator[list[Path]]:
    """Paths to write to, one for each name in `folder`; they take their places together at the
    end, or leave nothing. Raises `StorageError` where that cannot be."""
    mark = secrets.token_hex(4)
    beside = [folder / f".{name}.{mark}.tmp" for name in names]
    with storage(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield beside
            for path, name in zip(beside, names, strict=True):
                os.replace(path, folder / name)
        except RuntimeError as error:  # what FAISS raises for every fault of a file
            reason = str(error).strip().splitlines()[-1]
            raise StorageError(f"{folder / INDEX_FILE} was not written: {reason}") from error
        finally:
            for path in beside:
                path.unlink(missing_ok=True)
