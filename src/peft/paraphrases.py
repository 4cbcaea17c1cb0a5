"""Rewordings of training questions, asked of a model and checked.

A fact that stands once in training is hardly learnt, one that stands in several wordings is
(Ovadia et al., Fine-tuning or retrieval?, arXiv 2312.05934).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..prompt import Message
from ..tasks.similarity import normalised, numbers
from ..tasks.task import Example

if TYPE_CHECKING:
    from .curation import DataSettings

INSTRUCTION = (
    "You reword questions. The reworded question asks for exactly the same thing in other words. "
    "Names and numbers stay as they are. Reply with the reworded question alone, in the language "
    "of the question, and do not answer it."
)
MANNERS = (
    "Begin with another word than the question does.",
    "Make it as short as it can be.",
    "Make it a full and polite sentence.",
    "Use other verbs and nouns where you can.",
    "Change the order: begin with what the question ends with.",
    "Put it as one would ask a colleague aloud.",
)
"""One a rewording, drawn by the seed: asked alike, a model writes alike."""
EXAMPLE = ("When does the library open?", "What are the opening hours of the library?")
"""One worked rewording: small models do not follow the instruction alone."""
SHORTEST, LONGEST = 0.5, 2.0
"""Times the words of the original that a rewording may have."""
STEM = 4
"""Letters in which two words begin alike where they are forms of one; shorter words say little."""
ASKING = (
    "what when where which whose whom does have many much with from that this there will would "
    "could should your into about they their"
)
"""English words of 4 letters or more that are in questions of any content."""


def paraphrased(
    examples: Sequence[Example],
    settings: DataSettings,
    ask: Callable[[Sequence[list[Message]]], Sequence[str]],
    *,
    seed: int,
) -> tuple[list[Example], dict[str, Any]]:
    """The examples, each with the rewordings of its question that are usable behind it.

    `ask` gives the reply of a model to each chat; its temperature should be above 0. A rewording
    is its original with another question and an id of its own (``train-1~2``). The report has
    `asked`, `kept` and `dropped` (how many by reason, see `fault_of`).
    """
    manners = {example.id: _manners(settings.paraphrases, seed, example.id) for example in examples}
    chats = [chat_for(one.question, manner) for one in examples for manner in manners[one.id]]
    replies = iter(ask(chats) if chats else ())
    taken = {normalised(example.question) for example in examples}
    dropped: Counter[str] = Counter()
    made: list[Example] = []
    for example in examples:
        made.append(example)
        for number, _ in enumerate(manners[example.id], start=1):
            question = rewording_in(next(replies))
            fault = fault_of(question, example, taken)
            if fault:
                dropped[fault] += 1
                continue
            taken.add(normalised(question))
            changes = {"id": f"{example.id}~{number}", "question": question}
            made.append(example.model_copy(update=changes))
    kept = len(made) - len(examples)
    return made, {"asked": len(chats), "kept": kept, "dropped": dict(sorted(dropped.items()))}


def chat_for(question: str, manner: str) -> list[Message]:
    """The chat that asks for one rewording."""
    shown, reworded = EXAMPLE
    return [
        {"role": "system", "content": INSTRUCTION},
        {"role": "user", "content": f"Question: {shown}"},
        {"role": "assistant", "content": reworded},
        {"role": "user", "content": f"{manner}\nQuestion: {question}"},
    ]


def rewording_in(reply: str) -> str:
    """The first line of a reply that says something, without a label or quotation marks."""
    for line in reply.splitlines():
        label, colon, behind = line.partition(":")
        if colon and label.strip().casefold() in ("question", "reworded question", "rewording"):
            line = behind
        line = line.strip().strip('"“”*').strip()
        if line:
            return line
    return ""


def fault_of(rewording: str, original: Example, taken: set[str]) -> str:
    """Why a rewording is of no use, "" where it is: `empty`; `known` (equal to a question of
    `taken`, normalised); `length` (not 0.5 to 2 times the words); `no_question_mark`; `numbers`
    (others than in the original); `other_words` (none of weight in common); `tells_answer`."""
    question, plain = original.question, normalised(rewording)
    if not plain:
        return "empty"
    if plain in taken:
        return "known"
    if not SHORTEST <= len(plain.split()) / len(normalised(question).split()) <= LONGEST:
        return "length"
    if question.endswith("?") and not rewording.endswith("?"):
        return "no_question_mark"
    if numbers(rewording) != numbers(question):
        return "numbers"
    weighty = _stems(question)
    if weighty and not weighty & _stems(rewording):
        return "other_words"
    for answer in map(normalised, original.answers):
        if f" {answer} " in f" {plain} " and f" {answer} " not in f" {normalised(question)} ":
            return "tells_answer"
    return ""


def _manners(count: int, seed: int, name: str) -> list[str]:
    """`count` manners, all of them before one comes again."""
    shuffled = random.Random(f"{seed}:{name}").sample(MANNERS, len(MANNERS))
    return [shuffled[number % len(shuffled)] for number in range(count)]


def _stems(text: str) -> set[str]:
    words = normalised(text).split()
    asking = ASKING.split()
    return {word[:STEM] for word in words if len(word) >= STEM and word not in asking}
