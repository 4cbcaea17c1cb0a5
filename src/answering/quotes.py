"""Quotes: a sentence from the passages before the answer, as in RAFT (arXiv 2403.10131).

What is written is the quote, the marker, and the answer: "The desk opens at six. Answer: six".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..measure.quality.text import contained
from ..rag.sentence_windows import sentences
from ..system import System
from ..tasks.task import Example
from .answer import Rendered

if TYPE_CHECKING:
    from .session import Session

MARKER = "Answer:"
"""What stands between the quote and the answer, where the prompt has no marker of its own."""
QUOTE_TOKENS = 96
"""Most tokens of a quote; a longer sentence, often a whole list, is not quoted."""
MOST_TOKENS = 4096
"""The most that `Decoding.max_tokens` may be."""


def targets(
    session: Session, examples: Sequence[Example], rendered: Sequence[Rendered]
) -> list[str]:
    """What a model that learns to quote is to write: quote, marker and canonical answer, or the
    marker and the answer where there is nothing to quote."""
    return [
        f"{quote} {_marker(session.system)} {example.answers[0]}".strip()
        for quote, example in zip(quotes_of(session, examples, rendered), examples, strict=True)
    ]


def quotes_of(
    session: Session, examples: Sequence[Example], rendered: Sequence[Rendered]
) -> list[str]:
    """For each example the sentence of its evidence, among the passages of its prompt, that holds
    an accepted answer; of several the one that shares most words with the question; else "".

    Verbatim but for line breaks, which are spaces: what is written is one line.
    """
    found: list[str] = []
    for example, asked in zip(examples, rendered, strict=True):
        holding = [
            sentence
            for passage in asked.passages
            if passage.source == "index" and passage.document in example.evidence
            for sentence in _sentences(passage.text)
            if contained(sentence, example.answers)
        ]
        tokens = session.count_tokens(holding) if holding else []
        short = [one for one, size in zip(holding, tokens, strict=True) if size <= QUOTE_TOKENS]
        words = _words(example.question)
        found.append(max(short, key=lambda one: len(words & _words(one)), default=""))
    return found


def quoting(system: System) -> System:
    """The system that reads what follows the marker as its answer, with room for the quote.

    A stop that is more than a line break could stand in a quote and is dropped.
    """
    decoding = system.decoding
    tokens = min(decoding.max_tokens + QUOTE_TOKENS, MOST_TOKENS)
    stop = tuple(one for one in decoding.stop if one.isspace())
    return system.model_copy(
        update={
            "prompt": system.prompt.model_copy(update={"answer_after": _marker(system)}),
            "decoding": decoding.model_copy(update={"max_tokens": tokens, "stop": stop}),
        }
    )


def _marker(system: System) -> str:
    """What stands before an answer: the prompt's own marker, if it has one."""
    return system.prompt.answer_after or MARKER


def _sentences(text: str) -> Iterator[str]:
    for sentence in sentences(text):
        table = sentence.lstrip().startswith("|")
        for part in sentence.splitlines() if table else [sentence]:
            yield " ".join(part.split())


def _words(text: str) -> set[str]:
    return {word.strip(".,;:!?\"'()").casefold() for word in text.split()}
