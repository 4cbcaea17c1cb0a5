"""The cache of vectors: what is embedded, what is found, and what it first cost."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune.answering import vectors as module
from wattune.answering.vectors import CachedEmbedder, VectorCache
from wattune.errors import ModelError, StorageError
from wattune.job import Job
from wattune.measure.record import Phase
from wattune.measure.work import NO_WORK, Work
from wattune.models.sentence_embedder import SentenceEmbedder
from wattune.runner import Runner
from wattune.strategies import RAG

FORK = multiprocessing.get_context("fork")
PHASE = Phase(duration_s=8.0, energy_j=80.0)
TEXTS = ["the old mill", "the gate of the harbour by the river", "north", "the old mill", ""]


@pytest.fixture
def cache_of_vectors(tmp_path: Path) -> Iterator[VectorCache]:
    made = VectorCache(tmp_path / "here" / "vectors.sqlite")
    yield made
    made.close()


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a model is given as a document."""
    seen: list[str] = []
    documents = SentenceEmbedder._documents

    def watched(self: SentenceEmbedder, texts: list[str]) -> Any:
        seen.extend(texts)
        return documents(self, texts)

    monkeypatch.setattr(SentenceEmbedder, "_documents", watched)
    return seen


@pytest.fixture
def cached(
    runner: Runner, cache_of_vectors: VectorCache, embedder: str, embedded: list[str]
) -> CachedEmbedder:
    """The tiny embedder of the pool, with a cache."""
    runner.pool.vectors = cache_of_vectors
    made = runner.pool.embedder(embedder)
    assert isinstance(made, CachedEmbedder)
    return made


def test_no_text_is_embedded_twice(cached: CachedEmbedder, embedded: list[str]) -> None:
    plain = cached.uncached().encode_documents(TEXTS)
    del embedded[:]
    done: list[int] = []
    first = cached.encode_documents(TEXTS, progress=done.append)
    assert sorted(embedded) == sorted(set(TEXTS))
    assert sum(done) == len(TEXTS)
    assert first.dtype == np.float32
    assert np.allclose(first, plain, atol=1e-5)
    again = cached.encode_documents([*reversed(TEXTS), "south"], progress=done.append)
    assert embedded[4:] == ["south"]
    assert np.array_equal(again[:5], first[::-1])
    assert sum(done) == 2 * len(TEXTS) + 1
    assert cached.encode_documents([]).shape == (0, cached.dimensions) == (0, 16)


def test_questions_are_not_kept(
    cached: CachedEmbedder, embedded: list[str], cache_of_vectors: VectorCache
) -> None:
    assert cached.encode_queries(["Who?"]).shape == (1, 16)
    assert cache_of_vectors.count() == 0
    assert cached.count_tokens("north") == cached.uncached().count_tokens("north")
    assert cached.max_tokens == 64


def test_an_index_of_one_changed_document_embeds_only_what_changed(
    ferry: Any,
    base: Any,
    runner: Runner,
    cached: CachedEmbedder,
    embedded: list[str],
    embedder: str,
) -> None:
    def built(task: Any) -> Any:
        del embedded[:]
        rag = RAG(embedder=embedder, chunk_tokens=48, overlap_tokens=4)
        job = Job(name="a", strategies=(rag,), task=task, system=base)
        _, (bill,) = runner.builder.prepare(job)
        return bill

    first = built(ferry)
    assert len(embedded) == first.details["chunks"] > 1
    assert first.spent == first.attributed
    changed = [
        page.model_copy(update={"text": "A fare is five crowns."}) if page.id == "fares" else page
        for page in ferry.documents
    ]
    second = built(replace(ferry, documents=tuple(changed)))
    assert len(embedded) == 1
    assert "five crowns" in embedded[0]
    assert second.attributed.duration_s > second.spent.duration_s
    assert second.work.flops == pytest.approx(first.work.flops, rel=0.2)
    assert second.work.flops > 0


def test_first_joules_come_with_a_hit_and_are_not_spent(cache_of_vectors: VectorCache) -> None:
    cache, vector = cache_of_vectors, np.ones(3, dtype=np.float32)
    start = cache.mark()
    batch = cache.begin()
    cache.settle(batch, {b"a": vector, b"b": vector}, [30, 10], PHASE)
    cache.worth(batch, Work(flops=8.0, flops_method="counted", bytes_moved=4.0))
    cache.use(cache.find([b"a"]))
    assert cache.recalled_since(start).vectors == 0  # where it was made it costs once
    later = cache.mark()
    for _ in range(2):
        cache.use(cache.find([b"a", b"none"]))
    found = cache.recalled_since(later)
    assert (found.replies, found.vectors) == (0, 1)
    assert [(phase.duration_s, phase.energy_j) for phase in found.phases] == [(6.0, 60.0)]
    assert found.added_to(Phase(duration_s=1.0, energy_j=5.0)).duration_s == 7.0
    assert (found.work.flops, found.work.bytes_moved, found.work.tokens_in) == (6.0, 3.0, 0)
    other = VectorCache(cache.path)
    other.use(other.find([b"b"]))
    assert other.recalled_since(0).work.flops == 2.0
    assert np.array_equal(other.find([b"b"])[b"b"].made, vector)
    other.close()


def test_replies_and_vectors_are_recalled_together(
    runner: Runner, cached: CachedEmbedder, cache_of_vectors: VectorCache
) -> None:
    from wattune.answering.responses import ResponseCache

    runner.pool.responses = ResponseCache(cache_of_vectors.path.with_name("r.sqlite"))
    before = runner.pool.mark()
    cached.encode_documents(TEXTS)
    made = runner.pool.work_since(before)
    mark = runner.pool.mark()
    assert runner.pool.recalled_since(mark).work == NO_WORK
    cached.encode_documents(TEXTS)
    found = runner.pool.recalled_since(mark)
    assert (found.replies, found.vectors, len(found.phases)) == (0, 4, 1)
    assert found.phases[0].duration_s == pytest.approx(runner.meter.phases["embed"].duration_s)
    assert found.work.flops == pytest.approx(made.flops)
    assert runner.pool.work_since(mark).flops == 0


def test_who_is_stopped_goes_on_where_it_stopped(
    cached: CachedEmbedder, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"north {number:03d}" for number in range(20)]
    cached.uncached().group = cached.group = 4

    def stop(done: int) -> None:
        if len(embedded) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached.encode_documents(texts, progress=stop)
    del embedded[:]
    monkeypatch.setattr(module, "PORTION_S", 0.0)  # each group is a portion
    vectors = cached.encode_documents(texts)
    assert len(embedded) == 8
    assert np.allclose(vectors, cached.uncached().encode_documents(texts), atol=1e-5)
    assert len(cached._cache.find([cached._key(text) for text in texts])) == 20


def test_another_embedder_has_other_vectors(
    cached: CachedEmbedder, runner: Runner, cache_of_vectors: VectorCache
) -> None:
    other = CachedEmbedder(cached.uncached(), "other", cache_of_vectors, runner.meter)
    assert cached._key("a") != other._key("a")
    assert cached._key("a") != cached._key("b")
    assert cached._key("\ud800")  # half a character, as broken files have it


class _Given(SentenceEmbedder):
    """Gives the vectors it is told, whatever the text."""

    def __init__(self, inner: SentenceEmbedder, vector: Sequence[float]) -> None:
        super().__init__(inner.model)
        self.vector = vector

    def _documents(self, texts: list[str]) -> Any:
        return np.array([self.vector] * len(texts), dtype=np.float32)


def test_what_is_no_number_or_of_another_width_is_refused(
    cached: CachedEmbedder, runner: Runner, cache_of_vectors: VectorCache
) -> None:
    inner = cached.uncached()
    assert isinstance(inner, SentenceEmbedder)

    def encode(vector: Sequence[float], texts: list[str]) -> Any:
        made = CachedEmbedder(_Given(inner, vector), "x", cache_of_vectors, runner.meter)
        return made.encode_documents(texts)

    with pytest.raises(ModelError, match='not finite for the text "north"'):
        encode([1.0, float("nan")], ["north"])
    assert cache_of_vectors.count() == 0
    encode([1.0, 0.0], ["north"])
    with pytest.raises(ModelError, match=r"of 2 and of 3 dimensions.*cache prune --vectors"):
        encode([1.0, 0.0, 0.0], ["north", "south"])


def write_and_die(path: Path) -> None:
    cache = VectorCache(path)
    for name in (b"a", b"b"):
        cache.settle(cache.begin(), {name: np.ones(3, dtype=np.float32)}, [1], PHASE)
        if name == b"a":
            continue
        os.kill(os.getpid(), signal.SIGKILL)


def write_many(path: Path, name: bytes) -> None:
    cache = VectorCache(path)
    for number in range(40):
        vector = np.full(3, number, dtype=np.float32)
        cache.settle(
            cache.begin(), {name + bytes([number]): vector, b"both": vector}, [1, 1], PHASE
        )
    cache.close()


def run_each(*given: tuple[Any, ...]) -> list[int | None]:
    workers = [FORK.Process(target=target, args=rest) for target, *rest in given]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [worker.exitcode for worker in workers]


def test_others_may_write_and_die(cache_of_vectors: VectorCache) -> None:
    path = cache_of_vectors.path
    assert run_each((write_and_die, path)) == [-signal.SIGKILL]
    found = cache_of_vectors.find([b"a", b"b"])
    assert [kept.share for kept in found.values()] == [1.0, 1.0]
    assert run_each((write_many, path, b"x"), (write_many, path, b"y")) == [0, 0]
    assert cache_of_vectors.count() == 2 + 81


def test_damage_and_a_full_disk_are_sentences(tmp_path: Path) -> None:
    path, said = tmp_path / "vectors.sqlite", list[str]()
    path.write_bytes(b"no database at all" * 300)
    cache = VectorCache(path, said.append)
    assert cache.find([b"a"]) == {}
    assert "is damaged: it is vectors.sqlite.damaged now" in said[0]
    cache.settle(cache.begin(), {b"a": np.ones(3, dtype=np.float32)}, [0], PHASE)
    cache._database.do(lambda db: db.execute("UPDATE vectors SET vector = x'0102'"))
    assert cache.find([b"a"]) == {}  # a part of a number
    cache._database.do(lambda db: db.execute("PRAGMA max_page_count = 8").fetchone())
    with pytest.raises(StorageError, match=r"the disk is full: .* was not written"):
        cache.settle("b", {b"b": np.ones(90_000, dtype=np.float32)}, [1], PHASE)
    cache.close()


def test_the_command_line_tells_and_removes_them(wattune: Any, cache: Path) -> None:
    kept = VectorCache()
    kept.settle(kept.begin(), {b"a": np.ones(3, dtype=np.float32)}, [1], PHASE)
    kept.close()
    row = next(row for row in wattune("cache", "info").out.splitlines() if "vectors" in row)
    assert "(1 vectors)" in row
    assert str(cache / "vectors.sqlite") in row
    assert wattune("cache", "prune", "--vectors").out.startswith("removed the kept vectors, 0.")
    assert not (cache / "vectors.sqlite").exists()
    assert "(0 vectors)" in wattune("cache", "info").out


def test_without_a_cache_nothing_is_kept(runner: Runner, embedder: str, cache: Path) -> None:
    made = runner.pool.embedder(embedder)
    assert made.uncached() is made
    made.encode_documents(TEXTS)
    assert not (cache / "vectors.sqlite").exists()
