"""Summaries of a tree, kept and resumed; the tree saved, opened and searched within a budget."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune.effort import Effort
from wattune.errors import StorageError
from wattune.measure.record import Bill
from wattune.rag.chunking import Chunk
from wattune.rag.extractive import MOST_SENTENCES, Below, Extractive
from wattune.rag.index import VectorIndex
from wattune.rag.lexical import LexicalIndex
from wattune.rag.summaries import SEVERAL, KeptSummaries, known_summaries, summarised
from wattune.rag.summary_index import NODES_FILE, SummaryIndex
from wattune.rag.tree_shapes import Tree, grown


def words(text: str) -> int:
    return len(text.split())


def embed(texts: Sequence[str]) -> Any:
    """A vector of each text by its words; texts that share words are near."""
    vectors = np.zeros((len(texts), 256), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace(".", " ").split():
            vectors[row, hashlib.md5(word.encode()).digest()[0]] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def pages(count: int = 30, each: int = 3) -> list[Chunk]:
    return [
        Chunk(
            id=f"d{d}#{n}",
            document=f"d{d}",
            title=f"Page {d}",
            text=f"Page {d}\n\nWard{d} has room{n}. In room{n} of ward{d} is item{d}x{n}.",
        )
        for d in range(count)
        for n in range(each)
    ]


class Counting:
    """Extractive summaries that count what they are asked for, and may be killed."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked = 0
        self.dies_after = dies_after
        self.largest = 0
        self._extractive = Extractive(embed, words)

    def __call__(self, below: Sequence[Below]) -> list[tuple[str, bool]]:
        if self.dies_after is not None and self.asked >= self.dies_after:
            raise KeyboardInterrupt
        self.asked += len(below)
        self.largest = max([self.largest, *(len(node.texts) for node in below)])
        return [(text, True) for text in self._extractive(below)]


def made(
    chunks: list[Chunk], kept: KeptSummaries, summarise: Any, shape: Any = "windows"
) -> tuple[Tree, list[Chunk]]:
    vectors = embed([chunk.text for chunk in chunks])
    tree = grown(shape, chunks, vectors, fan=4, seed=0)
    return tree, summarised(
        tree, chunks, vectors, summarise=summarise, kept=kept, how="test", tokens=16,
        count_tokens=words, batch=8,
    )  # fmt: skip


def kept_in(folder: Path, known: dict[str, str] | None = None, joules: float = 0.0) -> Any:
    effort = Effort(folder, lambda: Bill(energy_j=joules, duration_s=1.0, net_energy_j=joules))
    return KeptSummaries(effort, known), effort


def opened(chunks: list[Chunk], folder: Path, shape: Any = "windows") -> SummaryIndex:
    kept, _ = kept_in(folder / "effort")
    tree, nodes = made(chunks, kept, Counting(), shape)
    both = [*chunks, *nodes]
    index = VectorIndex.build(both, embed([node.text for node in both]), embedder="words")
    tokens = np.array([words(node.text) for node in both], dtype=np.int64)
    SummaryIndex(index, tree, tokens).save(folder)
    return SummaryIndex.load(folder, embedder="words")


def test_summaries_name_their_level_document_and_title(tmp_path: Path) -> None:
    chunks = pages(5)
    tree, nodes = made(chunks, kept_in(tmp_path)[0], Counting())
    assert [node.id for node in nodes][:5] == [f"summary/1/{n}" for n in range(1, 6)]
    assert [node.document for node in nodes[:5]] == [f"d{n}" for n in range(5)]
    assert nodes[0].title == "Page 0"
    assert nodes[0].text.startswith("Page 0\n\n")
    assert nodes[-1].document == SEVERAL
    assert nodes[-1].title == ""
    assert all(0 < words(node.text) <= 16 for node in nodes)
    assert len(nodes) == len(tree) - len(chunks)


def test_the_sentences_nearest_to_the_centroid_in_the_order_of_the_text() -> None:
    text = "Boats sail north. Boats sail at dawn. Mice eat cheese. Boats sail."
    [near] = embed(["boats sail"])
    [summary] = Extractive(embed, words)([Below((text,), near, 9)])
    assert summary == "Boats sail north. Boats sail at dawn. Boats sail."
    [short] = Extractive(embed, words)([Below((text,), near, 2)])
    assert short == "Boats sail."
    [cut] = Extractive(embed, words)([Below(("one two three four five six",), near, 4)])
    assert 0 < words(cut) <= 4


def test_a_node_has_a_bounded_number_of_sentences_embedded() -> None:
    seen: list[int] = []

    def told(texts: Sequence[str]) -> Any:
        seen.append(len(texts))
        return embed(texts)

    text = " ".join(f"This is number {n}." for n in range(1000))
    [summary] = Extractive(told, words)([Below((text,), embed(["number"])[0], 12)])
    assert seen == [MOST_SENTENCES]
    assert words(summary) == 12


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path) -> None:
    chunks = pages(30)
    whole = Counting()
    _, expected = made(chunks, kept_in(tmp_path / "whole")[0], whole)
    killed = Counting(dies_after=16)
    with pytest.raises(KeyboardInterrupt):
        made(chunks, kept_in(tmp_path / "again", joules=7.0)[0], killed)
    rest = Counting()
    kept, effort = kept_in(tmp_path / "again", joules=1.0)
    _, nodes = made(chunks, kept, rest)
    assert (killed.asked, rest.asked) == (16, whole.asked - 16)
    assert nodes == expected
    assert effort.carried == Bill(energy_j=7.0, duration_s=1.0, net_energy_j=7.0)


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    chunks = pages(30)
    first = Counting()
    made(chunks, kept_in(tmp_path)[0], first)
    parts = sorted(tmp_path.glob("summaries-*"))
    parts[0].write_text("{broken", encoding="utf-8")
    again = Counting()
    made(chunks, kept_in(tmp_path)[0], again)
    assert 0 < again.asked <= 8 < first.asked


@pytest.mark.parametrize("shape", ["windows", "headings"])
def test_only_what_is_above_a_change_is_summarised_anew(tmp_path: Path, shape: Any) -> None:
    chunks = pages(40)
    kept, _ = kept_in(tmp_path / "one")
    tree, _ = made(chunks, kept, Counting(), shape)
    kept.save(tmp_path)
    changed = list(chunks)
    changed[31] = chunks[31].model_copy(update={"text": chunks[31].text + " Lately a cat."})
    again = Counting()
    after, _ = kept_in(tmp_path / "two", known_summaries(tmp_path))
    made(changed, after, again, shape)
    above, node = 0, 31
    while (node := int(tree.parents[node])) >= 0:
        above += 1
    assert again.asked == above
    assert len(after.made) == len(kept.made)  # those that are no longer used are gone


def test_nothing_is_known_of_a_stage_without_summaries(tmp_path: Path) -> None:
    assert known_summaries(tmp_path) == {}


@pytest.mark.parametrize("shape", ["windows", "headings", "clusters"])
def test_a_planted_leaf_is_found_both_ways(tmp_path: Path, shape: Any) -> None:
    tree = opened(pages(40), tmp_path, shape)
    question = embed(["ward17 has room2"])
    (flat,) = tree.collapsed(["?"], question, 60)
    (down,) = tree.top_down(question, 60, 8)
    assert flat[0].document == down[0].document == "d17"
    assert all(not passage.id.startswith("summary/") for passage in down)


@pytest.mark.parametrize("budget", [16, 17, 40, 100, 10_000])
def test_the_budget_is_kept_and_used(tmp_path: Path, budget: int) -> None:
    tree = opened(pages(20), tmp_path)
    questions = embed(["ward3 room1", "item7x2", "Page 5", "no such thing"])
    for found in (
        *tree.collapsed([""] * 4, questions, budget),
        *tree.top_down(questions, budget, 99),
    ):
        assert found
        assert sum(words(passage.text) for passage in found) <= budget
        scores = [passage.score for passage in found]
        assert scores == sorted(scores, key=lambda score: -(score or 0.0))
    if budget == 10_000:
        (all_leaves,) = tree.top_down(questions[:1], budget, 99)
        assert len(all_leaves) == 60


def test_a_summary_above_what_was_taken_is_passed_over(tmp_path: Path) -> None:
    tree = opened(pages(10), tmp_path)
    (found,) = tree.collapsed(["?"], embed(["ward3 room1 item3x1"]), 10_000)
    rows = {chunk.id: row for row, chunk in enumerate(tree.index.chunks)}
    before: set[int] = set()
    for passage in found:
        assert rows[passage.id] not in before
        node = rows[passage.id]
        while (node := int(tree.tree.parents[node])) >= 0:
            before.add(node)
    assert sum(not passage.id.startswith("summary/") for passage in found) == 30


def test_questions_together_and_alone_find_the_same(tmp_path: Path) -> None:
    tree = opened(pages(12), tmp_path)
    questions = embed([f"ward{n} room{n % 3}" for n in range(12)])
    flat, down = tree.collapsed(["?"] * 12, questions, 50), tree.top_down(questions, 50, 3)
    assert flat == [found for one in questions for found in tree.collapsed(["?"], one[None], 50)]
    assert down == [found for one in questions for found in tree.top_down(one[None], 50, 3)]


def test_by_words_too_a_name_is_found_that_no_vector_knows(tmp_path: Path) -> None:
    tree = opened(pages(12), tmp_path)
    tree.lexical = LexicalIndex.build(chunk.text for chunk in tree.index.chunks)
    nowhere = embed(["nothing of the kind"])
    (worded,) = tree.collapsed(["room1 of ward7"], nowhere, 60)
    assert worded[0].document == "d7"
    tree.save(tmp_path)
    again = SummaryIndex.load(tmp_path, embedder=tree.index.manifest.embedder, by_words=True)
    assert again.collapsed(["room1 of ward7"], nowhere, 60) == [worded]


def test_one_chunk_is_a_tree(tmp_path: Path) -> None:
    tree = opened(pages(1, each=1), tmp_path)
    assert len(tree.tree) == tree.tree.leaves == 1
    (flat,), (down,) = tree.collapsed(["x"], embed(["x"]), 99), tree.top_down(embed(["x"]), 99, 1)
    assert [passage.id for passage in flat] == [passage.id for passage in down] == ["d0#0"]


def broken(table: Any, how: str) -> Any:
    if how == "short":
        return table[:-1]
    if how == "floats":
        return table.astype(np.float64)
    if how == "cycle":
        table[-1, 0] = len(table) - 1
    if how == "order":
        table[0, 0], table[-2, 0] = len(table) - 1, len(table) - 3
    if how == "far":
        table[0, 0] = len(table) + 5
    if how == "tokens":
        table[3, 1] = -1
    return table


@pytest.mark.parametrize("how", ["short", "floats", "cycle", "order", "far", "tokens"])
def test_a_tree_that_does_not_fit_is_told(tmp_path: Path, how: str) -> None:
    opened(pages(12), tmp_path)
    table = broken(np.load(tmp_path / NODES_FILE), how)
    np.save(tmp_path / NODES_FILE, table)
    with pytest.raises(StorageError, match="build the tree again"):
        SummaryIndex.load(tmp_path, embedder="words")


def test_a_file_that_is_no_array_is_told(tmp_path: Path) -> None:
    opened(pages(3), tmp_path)
    for content in (b"", b"\x93NUMPY", b"nonsense"):
        (tmp_path / NODES_FILE).write_bytes(content)
        with pytest.raises(StorageError, match="cannot be read"):
            SummaryIndex.load(tmp_path, embedder="words")
    (tmp_path / NODES_FILE).unlink()
    with pytest.raises(StorageError, match=NODES_FILE):
        SummaryIndex.load(tmp_path, embedder="words")
