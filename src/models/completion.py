"""The chat completions of OpenAI's interface: a request's fields, a reply's text and tokens.

Form: OpenAI API reference, "Create chat completion" and "Streaming" (2025), of which only what
every compatible server has is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from .generation import Reply

if TYPE_CHECKING:
    from ..endpoint_ref import EndpointRef
    from ..prompt import Message
    from ..system import Decoding


class Broken(Exception):
    """A reply that is none: not JSON, of another form, or cut. Another try may mend it."""


class _Details(BaseModel):
    cached_tokens: Annotated[int, Field(ge=0)] | None = None


class _Usage(BaseModel):
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    completion_tokens: Annotated[int, Field(ge=0)] | None = None
    prompt_tokens_details: _Details | None = None


class _Text(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Text = _Text()
    delta: _Text = _Text()
    finish_reason: str | None = None


class _Whole(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _Piece(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class Completion:
    """A reply: its text, why it ended, its tokens (None where the server does not tell them)."""

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.tokens_reused = 0
        self.first_token_s: float | None = None

    @classmethod
    def of_json(cls, body: bytes) -> Completion:
        """A reply that came in one piece; raises `Broken`."""
        whole = _read(_Whole, body)
        made = cls()
        made.text = whole.choices[0].message.content or ""
        made.finish_reason = whole.choices[0].finish_reason
        made._count(whole.usage)
        return made

    def feed(self, line: str, at_s: float) -> bool:
        """One line of a stream that came after `at_s` seconds; True once it says that it is over.

        Raises `Broken`.
        """
        if not line.startswith("data:"):
            return False
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return True
        piece = _read(_Piece, data.encode())
        for choice in piece.choices[:1]:
            if choice.delta.content and self.first_token_s is None:
                self.first_token_s = at_s
            self.text += choice.delta.content or ""
            self.finish_reason = choice.finish_reason or self.finish_reason
        self._count(piece.usage)
        return False

    def reply(self, text: str) -> Reply:
        """What was written, with `text` as it is to be read."""
        return Reply(
            text=text,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            tokens_reused=self.tokens_reused,
            first_token_s=self.first_token_s,
        )

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            self.tokens_in, self.tokens_out = usage.prompt_tokens, usage.completion_tokens
            details = usage.prompt_tokens_details
            self.tokens_reused = (details.cached_tokens or 0) if details else 0


def _read(form: type[Any], body: bytes) -> Any:
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        broken = error.errors(include_input=False)[0]["type"] == "json_invalid"
        raise Broken(
            "the reply is not JSON" if broken else "the reply is of another form"
        ) from None


def fields(
    ref: EndpointRef,
    messages: Sequence[Message],
    decoding: Decoding,
    seed: int,
) -> dict[str, Any]:
    """The fields of one request; those that are None are not sent.

    What does nothing is left out, for not every server knows every field (`top_k` is none of
    OpenAI's, but vLLM and others have it). `extra` wins.
    """
    drawn = decoding.temperature > 0
    return {
        "model": ref.model,
        "messages": [dict(message) for message in messages],
        "max_tokens": decoding.max_tokens,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p if drawn and decoding.top_p < 1 else None,
        "top_k": decoding.top_k if drawn and decoding.top_k else None,
        "seed": seed if drawn else None,
        "stop": list(decoding.stop) or None,
        "stream": ref.stream or None,
        "stream_options": {"include_usage": True} if ref.stream else None,
        **ref.extra,
    }


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop string after its white space, stripped, as local answers are:
    not every server stops there."""
    text = text.lstrip()
    places = [place for end in stop if (place := text.find(end)) >= 0]
    return text[: min(places, default=len(text))].strip()
