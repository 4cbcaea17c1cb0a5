"""Batches, and where a row ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.models.generation import RowEnds, pad_left, plan_batches, shared_prefix
from wattune.models.local import open_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    return open_tokenizer(tiny)


def test_batches_cover_all_within_their_limits() -> None:
    lengths = [5, 40, 12, 39, 7, 300, 12]
    batches = plan_batches(lengths, max_tokens=10, batch_tokens=100, max_rows=3)
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert batches[0] == [5]  # over the budget alone, and first
    for batch in batches[1:]:
        assert len(batch) <= 3
        assert len(batch) * (max(lengths[i] for i in batch) + 10) <= 100
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_even_batches_hold_one_length() -> None:
    lengths = [3, 4, 3, 4, 3]
    batches = plan_batches(lengths, max_tokens=1, batch_tokens=100, max_rows=8, even=True)
    assert batches == [[1, 3], [0, 2, 4]]
    assert plan_batches([], max_tokens=1, batch_tokens=1, max_rows=1) == []


def test_padding_stands_on_the_left() -> None:
    ids, mask = pad_left([[7, 8, 9], [5]], pad=1)
    assert ids.tolist() == [[7, 8, 9], [1, 1, 5]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def feed(tokenizer: Any, texts: list[list[str]], stop: tuple[str, ...]) -> RowEnds:
    """Feed rows piece by piece, a token at a time, as generation would."""
    rows = [
        [i for piece in row for i in tokenizer(piece, add_special_tokens=False)["input_ids"]]
        for row in texts
    ]
    ends = RowEnds(tokenizer, len(rows), ends=frozenset({tokenizer.eos_token_id}), stop=stop)
    for step in range(max(map(len, rows))):
        tokens = [row[step] if step < len(row) else tokenizer.eos_token_id for row in rows]
        done = ends(torch.tensor(tokens)[:, None], None)
        assert done.tolist() == ends.done
    return ends


def test_a_row_ends_at_a_stop_string_and_the_text_before_it_stays(tokenizer: Any) -> None:
    ends = feed(tokenizer, [["the old mill", "\n", "Answer: north"]], ("\n",))
    assert ends.text(0) == "the old mill"
    read = tokenizer.decode(ends.rows[0])
    assert read.endswith("\n")
    assert "Answer" not in read


def test_white_space_before_any_text_does_not_stop(tokenizer: Any) -> None:
    ends = feed(tokenizer, [["\n\n \n", "the mill", "\n", "north"]], ("\n",))
    assert ends.text(0) == "the mill"


def test_an_end_token_ends_a_row_and_is_counted(tokenizer: Any) -> None:
    ends = feed(tokenizer, [["mill", "<|end|>", "more"], ["a much longer answer"]], ())
    assert ends.text(0) == "mill"
    assert ends.rows[0][-1] == tokenizer.eos_token_id
    assert ends.text(1) == "a much longer answer"


@pytest.mark.parametrize("stop", ["Question:", "ünd", "\n\n", "e r"])
def test_stop_strings_over_several_tokens(tokenizer: Any, stop: str) -> None:
    before = "the gate lies by the master's house and " * 3
    ends = feed(tokenizer, [[before + "then", stop, " the river"]], (stop,))
    whole = before + "then" + stop
    assert ends.text(0) == whole[: whole.index(stop)].strip()
    assert "river" not in tokenizer.decode(ends.rows[0])


def test_the_earliest_of_several_stop_strings_cuts(tokenizer: Any) -> None:
    ends = feed(tokenizer, [["mill; gate. north"]], (".", ";"))
    assert ends.text(0) == "mill"


def test_the_check_reads_a_bounded_number_of_tokens(tokenizer: Any) -> None:
    read: list[int] = []

    class Counting:
        def decode(self, ids: list[int], **options: Any) -> str:
            read.append(len(ids))
            return str(tokenizer.decode(ids, **options))

    ends = RowEnds(Counting(), 1, ends=frozenset(), stop=("\n",))
    token = tokenizer("x", add_special_tokens=False)["input_ids"][-1]
    for _ in range(100):
        ends(torch.tensor([[token]]), None)
    assert max(read) <= 1 + 8


def test_a_prefix_is_shared_where_it_is_worth_it() -> None:
    common = list(range(30))
    assert shared_prefix([[*common, 1], [*common, 2, 3], [*common, 1, 4]]) == 30
    assert shared_prefix([common, common]) == 29  # one token of each is left to be read
    assert shared_prefix([[*common, 1]]) == 0  # one prompt shares with nobody
    assert shared_prefix([[1, *common], [2, *common]]) == 0
    assert shared_prefix([common[:10], common[:10]]) == 0  # too little to be worth a copy
    assert shared_prefix([]) == 0
