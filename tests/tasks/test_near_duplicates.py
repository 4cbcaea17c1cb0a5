"""Near-duplicates: planted ones are found, others are not, chains are bounded."""

from __future__ import annotations

import random

import pytest

from wattune.errors import InputError
from wattune.tasks.near_duplicates import near_duplicates
from wattune.tasks.similarity import jaccard, word_shingles

DRAW = random.Random(0)
WORDS = [f"word{number}" for number in range(400)]


def text() -> str:
    return " ".join(DRAW.choices(WORDS, k=120))


def test_planted_copies_are_found_and_nothing_else() -> None:
    texts = [text() for _ in range(60)]
    copies = {}
    for number in range(0, 60, 3):
        words = texts[number].split()
        copies[len(texts)] = number
        texts.append(" ".join([*words[:-1], "changed"]).upper())
    pairs = near_duplicates(texts, 0.9)
    assert {other: one for one, other in pairs} == copies
    assert pairs == near_duplicates(texts, 0.9)
    least = min(jaccard(word_shingles(texts[a]), word_shingles(texts[b])) for a, b in pairs)
    assert least >= 0.9


def test_many_equal_texts_give_one_pair_each() -> None:
    assert near_duplicates(["Left blank."] * 500, 0.9) == [(0, at) for at in range(1, 500)]
    assert near_duplicates(["", "", "one"], 0.9) == [(0, 1)]
    assert near_duplicates([], 0.9) == []


def test_what_is_like_a_duplicate_only_is_compared_with_what_is_kept() -> None:
    base = text().split()
    steps = [" ".join([*base[:-cut], *(f"new{n}" for n in range(cut))]) for cut in (1, 9, 17)]
    kept = {one for one, _ in near_duplicates(steps, 0.8)}
    dropped = {other for _, other in near_duplicates(steps, 0.8)}
    assert not kept & dropped


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_thresholds_that_cannot_be(threshold: float) -> None:
    with pytest.raises(InputError, match="near_duplicates is"):
        near_duplicates(["a"], threshold)
