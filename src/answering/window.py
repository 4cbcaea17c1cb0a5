"""What fits into a bounded prompt: of the passages, in their order, as many as have room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import InputError
from ..prompt import Message, Passage
from ..tasks.task import Document


def pasted(documents: Sequence[Document]) -> list[Passage]:
    """Whole documents as passages."""
    return [
        Passage(text=page.text, document=page.id, title=page.title, source="documents")
        for page in documents
    ]


def fitting(tokens: Sequence[int], bound: int, prompt_tokens: Callable[[int], int]) -> int:
    """How many passages, from the first on, a prompt of at most `bound` tokens has room for.

    `tokens` are those of each passage by itself, `prompt_tokens(n)` those of the whole prompt with
    the first n of them. The former are added up first, for they are cheap; the latter, which are
    exact (texts may share a token where they meet, and are numbered), decide. 0 also where the
    prompt is too long without any.
    """
    count, estimate = len(tokens), prompt_tokens(len(tokens))
    if estimate <= bound:
        return count
    while count and estimate > bound:
        count -= 1
        estimate -= tokens[count]
    while count and prompt_tokens(count) > bound:
        count -= 1
    while count + 1 < len(tokens) and prompt_tokens(count + 1) <= bound:
        count += 1
    return count


class Bound:
    """Leaves passages out of prompts of more than `tokens` tokens, the last first.

    `encode` gives the token ids of a chat; `count` the tokens of texts, each asked for once.
    """

    def __init__(
        self,
        tokens: int,
        encode: Callable[[Sequence[Message]], Sequence[int]],
        count: Callable[[Sequence[str]], Sequence[int]],
    ) -> None:
        self.tokens, self._encode, self._count = tokens, encode, count
        self._counted: dict[str, int] = {}

    def kept(
        self, question: str, passages: Sequence[Passage], chat: Callable[..., Sequence[Message]]
    ) -> list[Passage]:
        """The passages that stay; `chat(passages=...)` is the prompt with some of them.

        Raises `InputError` where the prompt is too long without any.
        """

        def prompt_tokens(count: int) -> int:
            return len(self._encode(chat(passages=passages[:count])))

        texts = [passage.text for passage in passages]
        new = [text for text in dict.fromkeys(texts) if text not in self._counted]
        if new:
            self._counted.update(zip(new, self._count(new), strict=True))
        stay = fitting([self._counted[text] for text in texts], self.tokens, prompt_tokens)
        if stay == 0 and (least := prompt_tokens(0)) > self.tokens:
            raise InputError(
                f'the prompt of "{question[:80]}" has {least} tokens without any passage, and '
                f"decoding.context_tokens is {self.tokens}; raise it, or use fewer or shorter shots"
            )
        return list(passages[:stay])
