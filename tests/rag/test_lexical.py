"""Search by words: scores by the formula, ties, selections, and files that check each other."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from wattune.errors import InputError, StorageError
from wattune.files import file_digest
from wattune.rag import index_files
from wattune.rag.lexical import FILES, LexicalIndex, words

TEXTS = ["The boat leaves from Pier 4.", "The boat, the boat!", "A shop at Pier 5", "—"]


def test_words_are_without_case_and_keep_single_digits() -> None:
    assert words("At PIER 4, the Straße?") == ["pier", "4", "strasse"]


def test_a_score_is_that_of_bm25() -> None:
    lengths = [len(words(text)) for text in TEXTS]
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))  # "boat" stands in 2 of 4 texts
    average = sum(lengths) / 4

    def expected(times: int, length: int) -> float:
        return idf * times / (times + 1.5 * (1 - 0.75 + 0.75 * length / average))

    [found] = LexicalIndex.build(TEXTS).search(["Which boat?"], 5)
    by_hand = {0: expected(1, lengths[0]), 1: expected(2, lengths[1])}
    assert dict(found) == pytest.approx(by_hand, abs=1e-5)
    assert [row for row, _ in found] == sorted(by_hand, key=lambda row: -by_hand[row])


def test_questions_without_a_known_word_find_nothing() -> None:
    index = LexicalIndex.build(TEXTS)
    assert index.search(["zebra", "", "the", "—"], 3) == [[], [], [], []]
    assert LexicalIndex.build(["...", "—"]).search(["dots", ""], 3) == [[], []]


def test_equal_scores_are_ordered_by_row_even_past_the_cut() -> None:
    index = LexicalIndex.build(["same text"] * 50 + ["other"])
    assert [row for row, _ in index.search(["same"], 3)[0]] == [0, 1, 2]
    assert len(index.search(["same"], 99)[0]) == 50


def test_only_allowed_rows_are_found() -> None:
    index = LexicalIndex.build(TEXTS)
    allowed = np.array([1, 2], dtype=np.int64)
    assert [row for row, _ in index.search(["boat at pier 4"], 4, allowed=allowed)[0]] == [1, 2]
    assert index.search(["4"], 4, allowed=allowed) == [[]]


def test_saved_and_loaded_it_finds_the_same(tmp_path: Path) -> None:
    index = LexicalIndex.build(TEXTS)
    index.save(tmp_path)
    loaded = LexicalIndex.load(tmp_path)
    asked = ["boat at pier 5", "shop"]
    assert loaded.search(asked, 3) == index.search(asked, 3)
    assert len(loaded) == 4
    assert {path.name for path in tmp_path.iterdir()} == {*FILES.values(), "lexical.json"}


@pytest.mark.parametrize("name", [*FILES.values(), "chunks.jsonl"])
def test_a_changed_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "chunks.jsonl").write_text("{}\n")
    LexicalIndex.build(TEXTS).save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StorageError, match="the file is not the one that was written"):
        LexicalIndex.load(tmp_path)
    path.unlink()
    with pytest.raises(StorageError, match=f"{name}: there is no such file"):
        LexicalIndex.load(tmp_path)


def test_a_large_folder_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LexicalIndex.build(TEXTS).save(tmp_path)
    for path in tmp_path.iterdir():
        os.utime(path, ns=(10**18, 10**18))  # long ago
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return file_digest(path)

    monkeypatch.setattr(index_files, "file_digest", counted)
    monkeypatch.setattr(index_files, "HASHED_ANEW", 0)
    LexicalIndex.load(tmp_path)
    LexicalIndex.load(tmp_path)
    assert len(hashed) == len(FILES)
    path = tmp_path / FILES["vocab_name"]
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(StorageError, match=r"SHA-256 differs from lexical\.json"):
        LexicalIndex.load(tmp_path)


def test_what_cannot_be_built_or_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no texts to index"):
        LexicalIndex.build([])
    with pytest.raises(InputError, match="k is 0"):
        LexicalIndex.build(TEXTS).search(["boat"], 0)
    with pytest.raises(StorageError, match="there is no lexical index there"):
        LexicalIndex.load(tmp_path)
    (tmp_path / "lexical.json").write_text("{}")
    with pytest.raises(StorageError, match="not the manifest of a lexical index"):
        LexicalIndex.load(tmp_path)
