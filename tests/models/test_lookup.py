"""Guesses: what followed the same words before; and single rows, whose text they do not change."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from wattune.models.local import LocalModel
from wattune.models.lookup import Lookup
from wattune.models.row_ends import RowEnds
from wattune.models.rows import Rows
from wattune.models.writer import Writer
from wattune.system import Decoding


def test_what_followed_the_last_two_tokens_is_guessed_else_the_last_one() -> None:
    text = Lookup([1, 2, 3, 4, 9, 2, 7, 1, 2])
    assert text.guess(3) == [3, 4, 9]  # after "1 2", not after the later "2" alone
    assert text.guess(1) == [3]
    assert text.guess(0) == []
    text.add(8)
    assert text.guess(3) == []  # 8 is new
    text.add(2)
    assert text.guess(2) == [8, 2]  # "8 2" is new, "2" last stood before 8


@pytest.mark.parametrize("seed", range(3))
def test_guesses_are_those_of_a_search_through_the_whole_text(seed: int) -> None:
    chance = random.Random(seed)
    ids: list[int] = []
    text = Lookup([])
    for _ in range(300):
        ids.append(chance.randrange(12))
        text.add(ids[-1])
        expected: list[int] = []
        for size in (2, 1):
            ends = [
                at
                for at in range(size, len(ids))
                if len(ids) > size and ids[at - size : at] == ids[-size:]
            ]
            if ends:
                expected = ids[ends[-1] : ends[-1] + 3]
                break
        assert text.guess(3) == expected


@pytest.mark.parametrize("guesses", [0, 1, 3, 7])
@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_tokens=40, stop=()),
        Decoding(max_tokens=40, stop=("e", "o")),
        Decoding(max_tokens=40, stop=(), temperature=0.7),
        Decoding(max_tokens=5, stop=(), temperature=1.0, top_k=3),
        Decoding(max_tokens=12, choices=("north", "north mill", "east")),
    ],
    ids=["greedy", "stops", "drawn", "short", "choices"],
)
def test_a_single_row_writes_the_same_with_and_without_guesses(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, guesses: int, decoding: Decoding
) -> None:
    asked: Any = [{"role": "user", "content": "north mill north mill 7 7 7 north"}]
    passes: list[int] = []
    written: list[int] = []
    step, add = Writer.step, RowEnds.add

    def spy(self: Writer, rows: Rows, ids: Any, fresh: Any, **more: Any) -> Any:
        passes.append(ids.shape[1])
        return step(self, rows, ids, fresh, **more)

    def note(self: RowEnds, row: int, token: int) -> bool:
        written.append(token)
        return add(self, row, token)

    def foresee(self: Lookup, most: int) -> list[int]:
        """Two right tokens, then wrong ones; every third time only wrong ones."""
        at = len(self._ids) - begins
        right = plain_ids[at : at + 2] if len(passes) % 3 else []
        return [*right, 5, 5, 5, 5, 5, 5, 5][:most]

    with LocalModel.open(tiny, dtype="float32", device="cpu") as model:
        begins = len(model.encode_chat(asked))
        model._writer.guesses = 0
        monkeypatch.setattr(RowEnds, "add", note)
        (plain,) = model.generate([asked], decoding, seed=5)
        plain_ids, written[:] = list(written), []
        monkeypatch.setattr(Writer, "step", spy)
        monkeypatch.setattr(Lookup, "guess", foresee)
        model._writer.guesses = guesses
        (made,) = model.generate([asked], decoding, seed=5)
    assert written == plain_ids
    assert (made.text, made.tokens_out) == (plain.text, plain.tokens_out)
    assert max(passes[1:], default=1) <= guesses + 1
    if guesses and len(written) > 4:
        assert len(passes) < made.tokens_out  # right guesses were kept


def test_guesses_are_the_writers_own_number(tiny: Path) -> None:
    with (
        LocalModel.open(tiny, dtype="float32", device="cpu") as whole,
        LocalModel.open(tiny, dtype="bfloat16", device="cpu") as half,
    ):
        assert whole._writer.guesses == 1
        assert half._writer.guesses == 3
