"""Batches of prompts, and when a row of a batch has said enough."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..measure.work import Tally
from ..values import Value, canonical_json

if TYPE_CHECKING:
    import torch

    from ..prompt import Message
    from ..system import Decoding


WORTH_SHARING = 16
"""Tokens of a common prefix from which computing it once pays for copying its cache."""


class Reply(Value):
    """What was written for one prompt, here or by an endpoint.

    `tokens_in` counts the prompt; `tokens_out` what was generated, up to and including the token
    that ended it; None where a server does not tell them. `tokens_reused` are tokens of the prompt
    whose keys and values were there, computed for another prompt. `first_token_s` are the seconds
    until the answer began, where an endpoint streamed it. `failed` is why an endpoint gave no
    answer, empty where there is one.
    """

    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_reused: int = 0
    first_token_s: float | None = None
    failed: str = ""


Told = Callable[[int, Reply], None]
"""Told the number of a chat and its reply, as soon as that is there; in any order."""


class Generation(Reply):
    """What a model of this machine wrote: its tokens are known."""

    tokens_in: int
    tokens_out: int


def repeats(messages: Sequence[Sequence[Message]]) -> list[int]:
    """How many equal chats stand before each: what tells the samples of one question apart."""
    seen: Counter[str] = Counter()
    numbers = []
    for chat in messages:
        key = canonical_json(chat)
        numbers.append(seen[key])
        seen[key] += 1
    return numbers


def tally_texts(made: Sequence[Generation]) -> Tally:
    """The tokens of prompts and answers."""
    return Tally(
        tokens_in=sum(one.tokens_in for one in made),
        tokens_out=sum(one.tokens_out for one in made),
        tokens_reused=sum(one.tokens_reused for one in made),
    )


def plan_batches(
    lengths: Sequence[int],
    *,
    max_tokens: int,
    batch_tokens: int,
    max_rows: int,
    even: bool = False,
) -> list[list[int]]:
    """Indices of prompts, grouped into batches, longest first.

    A batch of `n` rows costs ``n * (its longest prompt + max_tokens)`` tokens and stays within
    `batch_tokens` and `max_rows`; a prompt that exceeds the budget alone gets a batch alone.
    Sorting by length keeps padding low, and the longest first lets a lack of memory show at once.
    With `even`, only prompts of equal length share a batch, so that nothing is padded.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if batches:
            batch = batches[-1]
            longest = lengths[batch[0]]
            fits = (len(batch) + 1) * (longest + max_tokens) <= batch_tokens
            if fits and len(batch) < max_rows and (not even or lengths[index] == longest):
                batch.append(index)
                continue
        batches.append([index])
    return batches


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts have in common, one token of each being left over.

    0 where sharing is not worth its copy: for a single prompt, or a few tokens.
    """
    if len(prompts) < 2:
        return 0
    # Whatever the smallest and the largest share, all that sort between them share too.
    rows = [tuple(prompt) for prompt in prompts]
    low, high = min(rows), max(rows)
    limit = min(map(len, prompts)) - 1
    count = next((i for i in range(limit) if low[i] != high[i]), limit)
    return count if count >= WORTH_SHARING else 0


def check_window(prompts: Sequence[Sequence[int]], max_tokens: int, window: int | None) -> None:
    """Raise `InputError` when a prompt with its answer exceeds the window, saying by how much."""
    for number, prompt in enumerate(prompts, start=1):
        if window is not None and len(prompt) + max_tokens > window:
            raise InputError(
                f"prompt {number} of {len(prompts)} has {len(prompt)} tokens and {max_tokens} "
                f"are to be written: {len(prompt) + max_tokens - window} more than the "
                f"model's context window of {window}; use fewer shots or passages"
            )


def generation_settings(decoding: Decoding, ends: frozenset[int], pad: int) -> Any:
    """transformers' settings: greedy at temperature 0, and no penalties that nobody asked for."""
    from transformers import GenerationConfig

    drawn: dict[str, Any] = {}
    if decoding.temperature > 0:
        drawn = {name: getattr(decoding, name) for name in ("temperature", "top_k", "top_p")}
    settings: Any = GenerationConfig
    return settings(
        max_new_tokens=decoding.max_tokens,
        do_sample=decoding.temperature > 0,
        eos_token_id=sorted(ends) or None,
        pad_token_id=pad,
        **drawn,
    )


def pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both ``(rows, longest)``, the prompts' ends aligned."""
    import torch

    longest = max(map(len, rows))
    ids = [[pad] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


class SharedPrefix:
    """The beginning that all prompts share, read once: its ids, and its keys and values."""

    def __init__(self, ids: Sequence[int], cache: Any) -> None:
        self.ids = list(ids)
        self._cache = cache

    def before(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Ids and mask of a batch with the prefix put before its rows, and a cache for it.

        Padding then stands between the prefix and the rest; it is masked, and positions skip it.
        """
        import torch

        rows = len(ids)
        prefix = torch.tensor([self.ids]).expand(rows, -1)
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        ones = torch.ones_like(prefix)
        return torch.cat([prefix, ids], dim=1), torch.cat([ones, mask], dim=1), cache


class RowEnds:
    """Ends each row of a batch at an end token or once a stop string stands in its text.

    Called by `model.generate` after every step, as one of its stopping criteria. It keeps the
    tokens of each row up to and including the one that ended it in `rows`.
    """

    def __init__(
        self, tokenizer: Any, rows: int, *, ends: frozenset[int], stop: Sequence[str]
    ) -> None:
        self.rows: list[list[int]] = [[] for _ in range(rows)]
        self.done = [False] * rows
        self._tokenizer = tokenizer
        self._ends = ends
        self._stop = tuple(stop)
        self._begins: list[int | None] = [None] * rows
        # A token writes at least one byte, so a stop string that the newest token completes lies
        # within as many tokens as it has bytes. Some more cover tokens that decode to nothing and
        # the first of a window, which some tokenizers strip.
        self._span = max((len(text.encode()) for text in self._stop), default=0) + 8

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which rows are done, as booleans of shape ``(rows,)``."""
        import torch

        for row, token in enumerate(input_ids[:, -1].tolist()):
            if not self.done[row]:
                self.rows[row].append(token)
                self.done[row] = token in self._ends or self._stopped(row)
        return torch.tensor(self.done, device=input_ids.device)

    def _stopped(self, row: int) -> bool:
        if not self._stop:
            return False
        ids = self.rows[row]
        begin = self._begins[row]
        if begin is None:
            # White space before any text does not stop: many models open with a newline.
            text = self._decode(ids).lstrip()
            if not text:
                return False
            self._begins[row] = len(ids) - 1
        else:
            first = max(begin, len(ids) - self._span)
            text = self._decode(ids[first:])
            if first == begin:
                text = text.lstrip()
        return any(stop in text for stop in self._stop)

    def text(self, row: int) -> str:
        """The text of a row, cut before the earliest stop string and stripped."""
        text = self._decode(self.rows[row]).lstrip()
        cuts = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        return text[: min(cuts, default=len(text))].strip()

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
