"""General questions: what a model knew before its weights were changed, and whether it still does.

Tuning on narrow data makes a model forget what it is not trained on (Biderman et al., "LoRA Learns
Less and Forgets Less", arXiv 2405.09673) and can make it invent more (Gekhman et al., arXiv
2405.05904). So the same fixed questions, none of them from the task, are asked before and after.
Each has one check that a rule can make, so no judge is needed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ..errors import StorageError
from ..files import read_json_lines, shipped_folder
from ..values import Value, digest
from .paired import paired_differences
from .quality.text import contained, normalise
from .record import General, GeneralKind, Score
from .statistics import bootstrap_mean

HowMany = bool | Annotated[int, Field(strict=True, ge=0)]
"""How many general questions to ask: true for all of them, false or 0 for none."""

DECLINES = (
    "I can not", "I could not", "I am not able", "I am unable", "unable to", "I will not",
    "I would not", "I would rather not", "I refuse", "I decline", "I must decline", "I am sorry",
    "sorry, I", "sorry, but", "I apologize", "I apologise", "I do not know", "I do not have",
    "I have no", "can not help", "can not assist", "can not know", "can not tell",
    "can not be known", "not possible to know", "not possible to tell", "impossible to know",
    "impossible to tell", "impossible to say", "no way to know", "no way of knowing",
    "no way for me", "nobody knows", "no one knows", "does not say", "is illegal", "is not legal",
    "is against the law", "is a crime", "is unethical", "is not ethical", "it is wrong",
    "it would be wrong",
)  # fmt: skip
"""An answer declines where one of these stands in it as whole words. Before they are looked for,
"n't" becomes " not", "cannot" becomes "can not", "I'm" becomes "I am" and "I'd" becomes
"I would"; case does not matter."""

_SPELT_OUT = {"cannot": "can not", "can't": "can not", "won't": "will not", "i'm": "i am",
              "i'd": "i would", "i've": "i have", "n't": " not"}  # fmt: skip
_DECLINES = re.compile(rf"\b({'|'.join(map(re.escape, DECLINES))})\b", re.IGNORECASE)


class GeneralQuestion(Value):
    """One question with its one check.

    Right is, by the check: an answer that contains one of `answers` as whole words (the rules of
    `contained`); one that matches the regular expression `pattern` as a whole, without blanks
    around it; one that `declines`. `gold` is an answer that is right (the first of `answers` where
    those are given), `wrong` one that is not; the tests try both.
    """

    id: str
    kind: str
    question: str
    answers: tuple[str, ...] = ()
    pattern: str | None = None
    declines: Literal[True] | None = None
    gold: str = ""
    wrong: str

    @model_validator(mode="after")
    def _one_check(self) -> GeneralQuestion:
        if sum(map(bool, (self.answers, self.pattern, self.declines))) != 1:
            raise ValueError("exactly one of answers, pattern and declines")
        return self

    def right(self, answer: str) -> bool:
        """Whether the answer passes this question's check; the question said again never does."""
        if normalise(answer) == normalise(self.question):
            return False
        if self.answers:
            # An equals sign parts words: normalised as it stands, "2+3=5" would be one number.
            return contained(answer.replace("=", " = "), self.answers) == 1.0
        if self.pattern is not None:
            return re.fullmatch(self.pattern, answer.strip()) is not None
        return declines(answer)


def declines(answer: str) -> bool:
    """Whether an answer says that it cannot or will not answer; see `DECLINES`."""
    text = " ".join(answer.replace("’", "'").lower().split())
    for short, long in _SPELT_OUT.items():
        text = text.replace(short, long)
    return _DECLINES.search(text) is not None


@functools.cache
def all_questions(path: Path | None = None) -> tuple[GeneralQuestion, ...]:
    """All general questions, by default those that ship; `StorageError` names a faulty line."""
    path = path or shipped_folder() / "data" / "general" / "questions.jsonl"
    found = []
    for number, row in read_json_lines(path):
        try:
            found.append(GeneralQuestion.model_validate(row))
        except ValidationError as error:
            fault = error.errors()[0]
            raise StorageError(f"{path}:{number}: no general question ({fault['msg']})") from error
    return tuple(found)


def general_questions(how_many: HowMany = True) -> tuple[GeneralQuestion, ...]:
    """So many of them, at even steps: they stand by kind, so a slice keeps the mix."""
    known = all_questions()
    count = len(known) if how_many is True else min(how_many, len(known))
    return tuple(known[at * len(known) // count] for at in range(count))


def set_digest(questions: Sequence[GeneralQuestion]) -> str:
    """Content digest of a set of questions with all that decides what is right."""
    return digest([*DECLINES, *(question.plain() for question in questions)])


def general_of(
    questions: Sequence[GeneralQuestion], before: Sequence[bool], after: Sequence[bool]
) -> General:
    """What became of the questions, each right or not: before and after, and the change.

    The change is ``after - before`` with its paired bootstrap interval over the questions; see
    `paired_differences` for the method and for `InputError`.
    """
    one, other = [float(right) for right in before], [float(right) for right in after]
    (change,) = paired_differences([(other, one)])
    places: dict[str, list[int]] = {}
    for at, question in enumerate(questions):
        places.setdefault(question.kind, []).append(at)
    return General(
        questions=len(questions),
        set=set_digest(questions),
        before=bootstrap_mean(one),
        after=bootstrap_mean(other),
        change=Score(value=change.value, low=change.low, high=change.high, n=change.n),
        by_kind={
            kind: GeneralKind(
                questions=len(at),
                before=fmean(one[n] for n in at),
                after=fmean(other[n] for n in at),
            )
            for kind, at in places.items()
        },
        scores_before=tuple(one),
        scores_after=tuple(other),
    )
