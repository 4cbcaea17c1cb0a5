"""A LangChain store as a source of passages: opened, filled where its chunks are ours, asked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..context_sources import LangChainSource
from ..errors import CannotRun
from ..models.langchain_store import Entry, Found
from ..prompt import Passage
from ..values import canonical_json

if TYPE_CHECKING:
    from ..models.langchain_store import LangchainStore
    from .pool import Pool

GROUP = 128
"""Chunks put in, or asked for, at once; some servers take at most so many."""
SAMPLE = 1024
"""Ids of a filled store that are looked for when it is opened: all of a small one."""
MOST = 2048
"""Chunks looked at in a store that holds others beside ours."""
KEY = "wattune"
"""Where the metadata of a text in a store has our id: not all stores give their own back."""
_NAMES = uuid.UUID("5d3f8a52-9c0e-4b57-8f0d-2f6f0d6a9a61")

Finder = Callable[[str], list[Passage]]


def entry_of(chunk: dict[str, Any]) -> Entry:
    """A chunk, as plain data, as a store holds it.

    Its id is a digest of all of the chunk, in the form of a UUID, which every store takes: a
    changed chunk is another one, and two runs that put in the same disturb nobody.
    """
    key = str(uuid.uuid5(_NAMES, canonical_json(chunk)))
    names = {"document": chunk["document"], "title": chunk["title"], "chunk": chunk["id"]}
    return Entry(key, chunk["text"], {**chunk.get("metadata", {}), **names, KEY: key})


def fill(
    store: LangchainStore,
    chunks: Iterable[dict[str, Any]],
    progress: Callable[[int], None] | None = None,
) -> int:
    """Put in the chunks that the store does not hold, or all where it cannot tell; how many.

    `progress` is told how many more are in. A fill that was killed goes on where it was.
    """
    put = 0
    for group in _groups(map(entry_of, chunks)):
        held = store.holds([entry.id for entry in group]) or set()
        missing = [entry for entry in group if entry.id not in held]
        if missing:
            store.put(missing)
        put += len(missing)
        if progress is not None:
            progress(len(group))
    return put


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while group := list(islice(rest, GROUP)):
        yield group


def open_store(source: LangChainSource, pool: Pool) -> Finder:
    """From a question to its passages; the store is opened, and filled where it lost our chunks.

    What filling costs then is part of opening, as `pool.loads` has it.
    """
    store = pool.store(source.factory)
    find = _finder(source, pool, store) if source.stage else _stranger(store, source.k)

    def good(question: str) -> list[Passage]:
        found = find(question)
        if source.threshold is None:
            return found
        if any(passage.score is None for passage in found):
            raise CannotRun(
                f"langchain_rag.threshold is {source.threshold:g}, and {source.factory} tells no "
                "scores that could be compared with it; leave threshold out"
            )
        return [passage for passage in found if (passage.score or 0.0) >= source.threshold]

    return good


def _stranger(store: LangchainStore, k: int) -> Finder:
    """A store that somebody else filled: what it gives is what there is."""
    return lambda question: [_passage(found) for found in store.search(question, k)]


def _passage(found: Found) -> Passage:
    """A document is known by its metadata's `document`, else `source`, else by its id."""
    of = found.metadata
    return Passage(
        text=found.text,
        document=str(of.get("document") or of.get("source") or found.id),
        id=found.id,
        title=str(of.get("title") or ""),
        score=found.score,
        metadata=of,
    )


def _finder(source: LangChainSource, pool: Pool, store: LangchainStore) -> Finder:
    """A store that holds the chunks of a stage, and perhaps others, which are passed over."""
    from ..rag.chunk_store import ChunkStore
    from ..rag.index_files import CHUNKS_FILE

    assert source.stage is not None
    chunks = ChunkStore.open(pool.stages.folder(source.stage) / CHUNKS_FILE)
    mark = pool.mark()
    with pool.meter.phase("load") as phase:
        rows = {entry_of(chunk).id: row for row, chunk in enumerate(chunks.plain())}
        put = 0 if _is_filled(store, list(rows)) else fill(store, chunks.plain())
    if put or source.filling not in pool.loads:
        pool.loads[source.filling] = pool.with_endpoints(phase.result, mark)

    def find(question: str) -> list[Passage]:
        wanted = source.k
        while True:
            found = store.search(question, wanted)
            ours = [(rows[key], one) for one in found if (key := one.metadata.get(KEY)) in rows]
            if len(ours) >= source.k or len(found) < wanted or wanted >= MOST:
                return [_own(row, one) for row, one in ours[: source.k]]
            wanted = min(4 * wanted, MOST)

    def _own(row: int, found: Found) -> Passage:
        chunk = chunks[row]  # as it was put in, whatever a server made of it
        return Passage(
            text=chunk.text,
            document=chunk.document,
            id=chunk.id,
            title=chunk.title,
            score=found.score,
            metadata=chunk.metadata,
        )

    return find


def _is_filled(store: LangchainStore, ids: Sequence[str]) -> bool:
    """Whether the store holds these ids, as far as `SAMPLE` of them tell; True where it cannot
    tell, for it was filled when the stage was made."""
    sample = list(ids[:: -(-len(ids) // SAMPLE)]) if ids else []
    for start in range(0, len(sample), GROUP):
        group = sample[start : start + GROUP]
        held = store.holds(group)
        if held is None:
            return True
        if not held.issuperset(group):
            return False
    return True
