"""Chat messages as token ids, by the model's own chat template where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import ModelError

if TYPE_CHECKING:
    from ..prompt import Message


def chat_ids(
    tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool = True
) -> list[int]:
    """Token ids of a chat.

    With `add_generation_prompt` they end where the model's answer begins. A template that knows
    no system role gets the system text at the head of the first user turn. A model without a
    template gets ``system\\n\\nuser\\n``, where each answer is followed by an empty line, and the
    last, where no answer is to follow, by the end-of-text token, which tuning must teach.
    A mark of the tokenizer's own within a text, such as that of the end of a turn, gets a space, so
    that no document can end its turn. Raises `ModelError` when the template refuses the messages.
    """
    marks = [str(one) for one in tokenizer.added_tokens_decoder.values() if one.special]
    messages = [_without_marks(marks, message) for message in messages]
    if not tokenizer.chat_template:
        return _plain_ids(tokenizer, messages, add_generation_prompt)
    from jinja2.exceptions import TemplateError

    try:
        return _templated(tokenizer, messages, add_generation_prompt)
    except TemplateError as error:
        if len(messages) > 1 and messages[0]["role"] == "system":
            try:
                return _templated(tokenizer, _folded(messages), add_generation_prompt)
            except TemplateError:
                pass
        raise ModelError(f"the model's chat template refuses the messages: {error}") from error


def _without_marks(marks: Sequence[str], message: Message) -> Message:
    text = message["content"]
    for mark in marks:
        if len(mark) > 1 and mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return {"role": message["role"], "content": text}


def _templated(
    tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool
) -> list[int]:
    ids = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        add_generation_prompt=add_generation_prompt,
        tokenize=True,
        return_dict=False,
    )
    return cast("list[int]", ids)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system text put before the first user turn."""
    system, first, *rest = messages
    text = f"{system['content']}\n\n{first['content']}"
    return [{"role": first["role"], "content": text}, *rest]


def _plain_ids(
    tokenizer: Any, messages: Sequence[Message], add_generation_prompt: bool
) -> list[int]:
    ends = {"system": "\n\n", "user": "\n", "assistant": "\n\n"}
    text = "".join(message["content"] + ends[message["role"]] for message in messages)
    answered = not add_generation_prompt and messages and messages[-1]["role"] == "assistant"
    if answered:
        text = text.removesuffix(ends["assistant"])
    ids = cast("list[int]", tokenizer(text, verbose=False)["input_ids"])
    if answered and tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
        ids = [*ids, tokenizer.eos_token_id]
    return ids
