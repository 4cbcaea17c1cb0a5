"""Cases of generation.py: the prompts, as chats, as token ids and as text."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from wattune.prompt import Message, Passage, PromptTemplate, Shot
from wattune.tasks.load import load_task
from wattune.tasks.task import Example, Task

OURS, PLAIN, LM_EVAL = "wattune", "generate", "lm-eval"
SHARED_TOKENS = 180
"""Tokens that the prompts of the few-shot cases have in common, at least."""
SEED = 4

Ids = Sequence[int]


@dataclass(frozen=True)
class Prompt:
    """One question as every peer gets it: as messages, and as the ids and the text they become."""

    chat: list[Message]
    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Case:
    """Prompts to be answered at once, or `one_by_one` on one opened model. `targets` is how many
    times as fast as a peer this project wants to be."""

    name: str
    prompts: tuple[Prompt, ...]
    max_tokens: int
    targets: dict[str, float] = field(default_factory=dict)
    one_by_one: bool = False

    def warm_up(self, rendered: Callable[[list[Message]], Prompt]) -> list[Prompt]:
        """Other prompts of the same size, which share nothing with these: the words are turned
        round, so that whoever keeps what prompts have in common finds none of it kept."""
        first = self.prompts[: max(1, min(16, len(self.prompts) // 8))]
        return [rendered([turned_round(message) for message in one.chat]) for one in first]


def turned_round(message: Message) -> Message:
    """The message with its words in the opposite order."""
    words = " ".join(reversed(message["content"].split()))
    return {"role": message["role"], "content": words}


def renderer(tokenizer: Any) -> Callable[[list[Message]], Prompt]:
    """From a chat to its ids by our own template code, and to the text that has these ids.

    Raises `ValueError` where the text, read with its special tokens, would have others.
    """
    from wattune.models.chat import chat_ids

    def rendered(chat: list[Message]) -> Prompt:
        ids = chat_ids(tokenizer, chat)
        text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        same_ids(ids, tokenizer(text, add_special_tokens=False)["input_ids"], "the text")
        return Prompt(chat, tuple(ids), text)

    return rendered


def same_ids(expected: Ids, found: Ids, of: str) -> None:
    """Raises `ValueError` where a peer would read other tokens."""
    if list(expected) != list(found):
        raise ValueError(f"{of} has {len(found)} other token ids than the prompt's {len(expected)}")


def lengths(prompts: Iterable[Ids]) -> tuple[int, int, int]:
    """How many tokens the prompts have, how many must be read when each beginning that some share
    is read once, and the sum of these tokens' places, counted from 1: the pairs that attention
    looks at."""
    rows = sorted(tuple(prompt) for prompt in prompts)
    total = sum(map(len, rows))
    read = places = 0
    for before, row in pairwise([(), *rows]):
        known = common(before, row)
        read += len(row) - known
        places += (len(row) * (len(row) + 1) - known * (known + 1)) // 2
    return total, read, places


def common(one: Ids, other: Ids) -> int:
    """How many leading tokens two prompts share."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def all_cases(
    rendered: Callable[[list[Message]], Prompt], xquad: Path | None, *, quick: bool
) -> list[Case]:
    """The cases; those of xquad only with its file. `quick` takes fewer prompts."""
    many, single = (40, 8) if quick else (200, 30)
    task = load_task("harbour")
    chosen, shots = few_shots(task, rendered)
    asked = questions(task, without=shots)

    def chats(examples: Sequence[Example], given: Sequence[Shot]) -> tuple[Prompt, ...]:
        return tuple(
            rendered(chosen.render(e.question, refusal=task.refusal, shots=given)) for e in examples
        )

    found = [Case("few-shot", chats(asked[:many], shots), 24, {LM_EVAL: 4.0})]
    if xquad is not None:
        for name, per_passage, target in (
            ("xquad, passages shared", None, 2.0),
            ("xquad, none shared", 1, 1.5),
        ):
            made = tuple(map(rendered, passage_chats(xquad, many, per_passage)))
            found.append(Case(name, made, 32, {LM_EVAL: target}))
    # Other questions than those of the batch.
    for name, given in (("realtime, zero-shot", ()), ("realtime, few-shot", shots)):
        made = chats(asked[-single:], given)
        found.append(Case(name, made, 24, {PLAIN: 1.3}, one_by_one=True))
    return found


def few_shots(
    task: Task, rendered: Callable[[list[Message]], Prompt]
) -> tuple[PromptTemplate, tuple[Shot, ...]]:
    """As many training examples as make prompts share `SHARED_TOKENS` tokens."""
    template = PromptTemplate()
    examples = random.Random(SEED).sample(task.train, len(task.train))
    shots: tuple[Shot, ...] = ()
    for example in examples:
        shots += (Shot(id=example.id, question=example.question, answer=example.answers[0]),)
        pair = [
            rendered(template.render(question, refusal=task.refusal, shots=shots)).ids
            for question in ("Who?", "Where?")
        ]
        if common(*pair) >= SHARED_TOKENS:
            return template, shots
    raise ValueError(f"{task.name} has too few training examples for {SHARED_TOKENS} tokens")


def questions(task: Task, *, without: Sequence[Shot]) -> list[Example]:
    """All questions but the shots, each once, in an order of their own."""
    shown = {shot.question for shot in without}
    every = {e.question: e for e in (*task.train, *task.validation, *task.test)}
    left = [example for question, example in every.items() if question not in shown]
    return random.Random(SEED).sample(left, len(left))


def passage_chats(xquad: Path, count: int, per_passage: int | None) -> list[list[Message]]:
    """`count` questions of a SQuAD file, each with its own passage: at most `per_passage` of one
    (all of its questions where that is None)."""
    task = load_task(str(xquad))
    template = PromptTemplate()
    asked: dict[str, list[Example]] = {}
    for example in (*task.train, *task.validation, *task.test):
        asked.setdefault(example.evidence[0], []).append(example)
    documents = random.Random(SEED).sample(task.documents, len(task.documents))
    chats = [
        template.render(
            example.question,
            refusal=task.refusal,
            passages=[Passage(text=document.text, document=document.id)],
        )
        for document in documents
        for example in asked.get(document.id, [])[:per_passage]
    ]
    if len(chats) < count:
        raise ValueError(f"{xquad} gives {len(chats)} questions where {count} are asked for")
    return chats[:count]
