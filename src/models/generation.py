"""What is written for a prompt, here or by an endpoint, and what a prompt must keep to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from ..measure.work import Tally
from ..values import Value, canonical_json

if TYPE_CHECKING:
    from ..prompt import Message


class Reply(Value):
    """What was written for one prompt, here or by an endpoint.

    `tokens_in` counts the prompt; `tokens_out` what was generated, up to and including the token
    that ended it; None where a server does not tell them. `tokens_reused` are tokens of the prompt
    whose keys and values were there, computed for another prompt. `first_token_s` are the seconds
    until the answer began: of a prompt asked alone, or where an endpoint streamed it. `failed` is
    why an endpoint gave no answer, empty where there is one.
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


class PromptTooLong(InputError):
    """The prompt of `chat` does not fit into the context window."""

    def __init__(self, sentence: str, chat: Sequence[Message]) -> None:
        super().__init__(sentence)
        self.chat = chat


def check_window(
    prompts: Sequence[Sequence[int]],
    chats: Sequence[Sequence[Message]],
    max_tokens: int,
    window: int | None,
) -> None:
    """Raise `PromptTooLong` when a chat's prompt with its answer exceeds the window, saying by how
    much."""
    for number, prompt in enumerate(prompts, start=1):
        if window is not None and len(prompt) + max_tokens > window:
            raise PromptTooLong(
                f"prompt {number} of {len(prompts)} has {len(prompt)} tokens and {max_tokens} "
                f"are to be written: {len(prompt) + max_tokens - window} more than the "
                f"model's context window of {window}; use fewer shots or passages",
                chats[number - 1],
            )
