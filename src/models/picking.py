"""The next token of each row: the likeliest, or one drawn, or one that a choice allows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun, InputError
from .row_ends import written_text

if TYPE_CHECKING:
    import torch

    from ..system import Decoding

CACHED_SCORES = 2**19
"""Scores that are looked at together on a CPU: 2 MB, which stay in its cache between two looks."""


class Picker:
    """Picks the next token of each row, greedily at temperature 0, and drawn otherwise.

    `seeds` holds one seed a row. Each row draws with random numbers of its own, so what is drawn
    for it does not depend on the rows beside it. The numbers come from Python's generator and not
    from torch's: it uses the whole seed, and draws the same on every device and in every version.

    With `decoding.choices` each row may only go on with tokens that lead to one of them (greedy
    decoding along a prefix tree, De Cao et al. 2021, arXiv:2010.00904). A choice is written as the
    tokenizer writes it as a text of its own, without special tokens: the answer follows the chat
    template's header, so no space stands before it. Where one choice is the beginning of another,
    the tokens of `ends` compete with those that go on. Raises `InputError` for choices that cannot
    be written or told apart, or not within `decoding.max_tokens`. Choices win over stop strings.
    """

    def __init__(
        self,
        decoding: Decoding,
        *,
        seeds: Sequence[int],
        tokenizer: Any = None,
        ends: frozenset[int],
    ) -> None:
        self._numbers = [random.Random(seed) for seed in seeds] if decoding.temperature else []
        self._decoding = decoding
        self._tree: list[dict[int, int]] = []
        if decoding.choices:
            paths = choice_ids(tokenizer, decoding.choices, ends)
            check_length(decoding, paths)
            self._tree = prefix_tree(decoding.choices, paths, ends)
        self._ends = ends
        self._places = [0] * len(seeds)

    def pick(self, logits: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """The next tokens, remembered, of `rows`: numbers into `seeds`, each at most once.

        `logits` are the scores of the whole vocabulary, of shape ``(len(rows), vocabulary)``, on
        any device and in any precision.
        """
        if not self._tree:
            return self._columns(logits, rows)
        import torch

        at = [self._places[row] for row in rows]
        following = {place: list(self._tree[place]) for place in at}
        most = max(map(len, following.values()))
        table = torch.tensor([ids + [-1] * (most - len(ids)) for ids in following.values()])
        number = {place: n for n, place in enumerate(following)}
        allowed = table[[number[place] for place in at]].to(logits.device)
        # Scores of what may follow, and of nothing else: the rest has probability 0.
        scores = logits.gather(1, allowed.clamp(min=0)).masked_fill(allowed < 0, -float("inf"))
        columns = self._columns(scores, rows)
        tokens = [following[place][n] for place, n in zip(at, columns, strict=True)]
        for row, place, token in zip(rows, at, tokens, strict=True):
            self._places[row] = self._tree[place][token]
        return tokens

    def done(self, row: int) -> bool:
        """Whether a row wrote a choice that nothing longer continues: it needs no end token."""
        return bool(self._tree) and self._tree[self._places[row]].keys() <= self._ends

    def _columns(self, scores: torch.Tensor, rows: Sequence[int]) -> list[int]:
        """The column of `scores` picked in each row."""
        few = CACHED_SCORES // scores.shape[1] if scores.device.type == "cpu" else len(rows)
        few = max(1, few)
        columns: list[int] = []
        for first in range(0, len(rows), few):
            some = scores[first : first + few]
            if self._numbers:
                part = rows[first : first + few]
                numbers = [1.0 - self._numbers[row].random() for row in part]  # in (0, 1]
                columns += draw(some, numbers, self._decoding)
            else:
                columns += likeliest(some)
        return columns


def likeliest(scores: torch.Tensor) -> list[int]:
    """The column of the highest score in each row, the first of equals, as transformers takes it.

    On a CPU by numpy, which finds it six times as fast as torch.
    """
    if scores.device.type != "cpu":
        return [int(column) for column in scores.argmax(dim=-1).tolist()]
    return [int(column) for column in scores.detach().float().numpy().argmax(axis=1)]


def draw(scores: torch.Tensor, numbers: Sequence[float], decoding: Decoding) -> list[int]:
    """A column of each row of `scores` ``(rows, columns)``, drawn where they lie, in float32.

    Each of `numbers`, uniform in ``(0, 1]``, is looked up in the cumulative distribution of its
    row. That is the distribution of transformers' temperature, top-k and top-p, in this order, but
    the whole vocabulary is never sorted, which takes longer than a small model's step; and of
    tokens equally likely at the border of `top_k` only so many are kept. Raises `CannotRun` where
    the scores are not numbers.
    """
    import torch

    scores = scores.float() / decoding.temperature
    order: torch.Tensor | None = None
    if 0 < decoding.top_k < scores.shape[1]:
        scores, order = scores.topk(decoding.top_k)
    likely = scores.softmax(dim=-1)
    if bool(likely[:, 0].isnan().any()):  # then the whole row is
        raise CannotRun(
            "the model's scores are not numbers, so nothing can be drawn from them; take another "
            "precision (dtype: float32) or a higher temperature"
        )
    if order is None and decoding.top_p < 1:
        likely, order = nucleus(likely, decoding.top_p)
    reached = likely.cumsum(dim=-1)
    total = reached[:, -1:]  # 1 but for rounding
    if decoding.top_p < 1:
        last = torch.searchsorted(reached, torch.full_like(total, decoding.top_p))
        total = reached.gather(1, last.clamp(max=reached.shape[1] - 1))
    wanted = torch.tensor(numbers, dtype=torch.float32, device=total.device)[:, None] * total
    columns = torch.searchsorted(reached, wanted)
    # A GPU's sums are rounded apart, and might point to what is ruled out.
    ruled_out = (likely.gather(1, columns) == 0)[:, 0]
    columns[ruled_out] = likely[ruled_out].argmax(dim=-1, keepdim=True)
    drawn: list[int] = (columns if order is None else order.gather(1, columns))[:, 0].tolist()
    return drawn


def nucleus(likely: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest of the probabilities in each row, that reach `top_p` for sure, and their columns.

    They descend: ``(rows, columns)`` twice. More are taken until they reach it in every row.
    """
    width = 0
    while True:
        width = min(max(256, 8 * width), likely.shape[1])
        highest, order = likely.topk(width)
        if width == likely.shape[1] or bool((highest.sum(dim=-1) > top_p).all()):
            return highest, order


def choice_ids(tokenizer: Any, choices: Sequence[str], ends: frozenset[int]) -> list[list[int]]:
    """The tokens of each choice; `InputError` where the tokenizer would not give its text back."""
    texts = [choice.strip() for choice in choices]
    paths: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    for choice, text, path in zip(choices, texts, paths, strict=True):
        before_end = list(itertools.takewhile(lambda token: token not in ends, path))
        read = written_text(tokenizer, before_end).strip()
        if not text or read != text:
            raise InputError(
                f"the choice {choice!r} cannot be an answer of this model: its tokenizer gives "
                f"back {read!r}; word it otherwise"
            )
    return paths


def check_length(decoding: Decoding, paths: Sequence[Sequence[int]]) -> None:
    """Raise `InputError` where `max_tokens` would cut a choice."""
    number, longest = max(enumerate(map(len, paths)), key=lambda pair: pair[1])
    if longest > decoding.max_tokens:
        raise InputError(
            f"max_tokens is {decoding.max_tokens}, and the choice {decoding.choices[number]!r} "
            f"has {longest} tokens; give max_tokens: {longest}"
        )


def prefix_tree(
    choices: Sequence[str], paths: Sequence[Sequence[int]], ends: frozenset[int]
) -> list[dict[int, int]]:
    """The places of a tree: at each, the tokens that may follow, ascending, and where they lead.

    The root is the first place; the last, where nothing follows, is where `ends` lead. Raises
    `InputError` where a choice begins another one and there is no end token to tell them apart.
    """
    tree: list[dict[int, int]] = [{}]
    whole: dict[int, str] = {}
    for choice, path in zip(choices, paths, strict=True):
        place = 0
        for token in path:
            if token not in tree[place]:
                tree[place][token] = len(tree)
                tree.append({})
            place = tree[place][token]
        whole[place] = choice
    for place, choice in whole.items():
        if tree[place] and not ends:
            raise InputError(
                f"the choice {choice!r} is the beginning of another, and this model has no end "
                "token to tell them apart; word it otherwise"
            )
        tree[place].update(dict.fromkeys(ends, len(tree)))
    return [dict(sorted(following.items())) for following in (*tree, {})]
