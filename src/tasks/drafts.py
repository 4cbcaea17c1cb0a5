"""Drafted questions: what a model wrote about a passage, read, checked and mended."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from ..measure.quality import contained, normalise
from ..values import Value, digest
from .overlap import NearQuestions
from .similarity import normalised
from .task import Example

PASSAGE, TREE_KIND = "passage", "tree"
"""The kinds of drafted questions: from a passage by a model, from the hierarchy by a template."""
REASONS = {
    "failed": "the endpoint gave no reply",
    "too_long": "the passage is too long for the model",
    "unreadable": "no question with an answer in the reply",
    "no_question": "no question",
    "length": "a question or an answer that is too short or too long",
    "speaks_of_text": "the question speaks of the text",
    "not_in_passage": "the answer does not stand in the passage",
    "tells_answer": "the question tells the answer",
    "known": "asked already",
}
"""Why a reply was dropped, for a person."""
QUESTION_LENGTH, ANSWER_LENGTH = range(8, 201), range(1, 81)
"""Characters, for not every script has words. Longer answers are seldom matched in other words."""
LONGEST_REPLY = 4000
"""Characters of a reply that are read."""
BAR = "|"
"""Parts several answers in a cell, and the columns of a table in Markdown."""

_LABEL = re.compile(r"(?<!\w)(?P<name>question|answer|q|a)[ \t\d*_#.)]*[:：]", re.IGNORECASE)
_AROUND = " \t\"'“”‘’«»*_`"
_MARKS = ("?", "？", "؟")
_ASKING = re.compile(
    r"(?:(?:in|at|on|to|by|for|from|with|under|of|until|since|after|before) )?"
    r"(?:what|when|where|which|who|whom|whose|why|how)\b",
    re.IGNORECASE,
)
_TEXT = re.compile(
    r"\b(?:passage|excerpt|paragraph)s?\b"
    r"|\b(?:the|this|that|these|given|above|following|provided) (?:\w+ )?"
    r"(?:text|document|article|section|context|table|sentence|author)s?\b"
    r"|\baccording to (?:it|them)\b|\bmentioned\b",
    re.IGNORECASE,
)


class Draft(Value):
    """A drafted question: `evidence` is the document its answer follows from, or ``hierarchy``;
    `passage` the text in which the answer stands. Questions of one `family` are never parted
    between training and test; where it is empty that is the document."""

    question: str
    answers: tuple[str, ...]
    evidence: str
    passage: str
    kind: str = PASSAGE
    family: str = ""

    @property
    def id(self) -> str:
        """A digest of question and answers, by which a mended draft is told."""
        return draft_id(self.question, self.answers)


def draft_id(question: str, answers: tuple[str, ...]) -> str:
    """The id of a draft that reads so."""
    return f"d-{digest([question, list(answers)])}"


def pair_in(reply: str) -> tuple[str, str] | None:
    """The first question and the first answer of a reply; None where one of them is missing.

    Both must be labelled, in either order, and stand on a line; bold type, numbers, quotation marks
    and what stands around them are passed over.
    """
    found: dict[str, str] = {}
    # What is before the first label is talk; then label and text by turns.
    _, *parts = _LABEL.split(reply[:LONGEST_REPLY])
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in map(_line, text.splitlines()) if line]
        found.setdefault(name[0].lower(), lines[0] if lines else "")
    question, answer = found.get("q"), found.get("a")
    if not question or not answer:
        return None
    if answer.endswith(".") and answer.count(".") == 1:  # "p.m." keeps its own
        answer = answer[:-1]
    return _with_mark(question), answer


def fault_of(question: str, answer: str, passage: str) -> str:
    """Why a question is of no use for its passage, "" where it is; one of `REASONS`.

    The words that speak of a text are English.
    """
    if not question.endswith(_MARKS):
        return "no_question"
    if len(question) not in QUESTION_LENGTH or len(answer) not in ANSWER_LENGTH:
        return "length"
    if _TEXT.search(question):
        return "speaks_of_text"
    if BAR in answer or not normalise(answer) or not contained(passage, [answer]):
        return "not_in_passage"
    return ""


class Kept:
    """The drafts that are of use, in the order they came; `dropped` counts the others."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.drafts: list[Draft] = []
        self.dropped: Counter[str] = Counter()
        self._taken = {normalised(question) for question in taken}
        self._near = NearQuestions(())

    def drop(self, reason: str) -> None:
        """Count one reply that is of no use."""
        self.dropped[reason] += 1

    def add(self, draft: Draft) -> bool:
        """Take a draft in, unless its question holds its answer or was asked already, in the same
        words or, with the same answer, in nearly the same (`NearQuestions`)."""
        asked = Example(id=draft.id, question=draft.question, answers=draft.answers)
        plain = normalised(draft.question)
        if any(contained(draft.question, [answer]) for answer in draft.answers):
            self.drop("tells_answer")
        elif plain in self._taken or self._near.near(asked):
            self.drop("known")
        else:
            self._taken.add(plain)
            self._near.add(asked)
            self.drafts.append(draft)
            return True
        return False


def reasons(dropped: Mapping[str, int]) -> str:
    """How many were dropped why, the most frequent first, as part of a sentence."""
    often = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count} {REASONS[reason]}" for reason, count in often)


def _line(text: str) -> str:
    # Control characters and halves of surrogate pairs are in no question, and in no UTF-8.
    clean = "".join(" " if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)
    return " ".join(clean.split()).strip(_AROUND)


def _with_mark(question: str) -> str:
    """A question that lacks its mark alone has it; a statement stays one."""
    bare = question.rstrip(" .:;,!" + _AROUND)
    return f"{bare}?" if not question.endswith(_MARKS) and _ASKING.match(bare) else question
