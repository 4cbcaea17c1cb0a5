"""What is asked and what is said, as values: a question as the model reads it, and an answer."""

from __future__ import annotations

from dataclasses import dataclass

from ..measure.quality import contained
from ..prompt import Message, Passage
from ..values import Value


class Answer(Value):
    """What a System said, the passages it was given, and the tokens read, written and reused.

    Tokens are None where a server does not tell them; `failed` is why it gave no answer.
    `first_token_s` are the seconds from asking to its first token, retrieval included, None where
    that is not known. `votes` is how many of several samples gave this answer.
    """

    text: str
    passages: tuple[Passage, ...] = ()
    tokens_in: int | None
    tokens_out: int | None
    tokens_reused: int = 0
    first_token_s: float | None = None
    failed: str = ""
    votes: int | None = None

    @property
    def retrieved(self) -> list[str]:
        """The documents of the passages found for this question; those in all prompts are none."""
        return [found.document for found in self.passages if found.source != "documents"]

    @property
    def cited(self) -> tuple[bool, ...]:
        """Of each passage, whether the answer stands in it: where it can be checked, no more."""
        return tuple(bool(contained(found.text, (self.text,))) for found in self.passages)


@dataclass(frozen=True)
class Rendered:
    """One question as the model is asked it."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]
