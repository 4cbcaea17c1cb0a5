"""Situation: what practitioners weigh before they have measured anything, as questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from ..values import Value


class Situation(Value):
    """The answers to the questionnaire.

    `work`: facts of one's own, a way to reply (form, tone, style), or labels to give. `examples`
    are questions with right answers; `memory_gb` is that of the machine (of its GPU, if it has
    one), None where it is not known. `wrong_answers`: worse than none, or no worse.
    """

    work: Literal["facts", "replies", "labels"]
    documents: Literal["none", "few", "many"]
    hierarchy: bool
    examples: Annotated[int, Field(ge=0)]
    changes: Literal["never", "yearly", "monthly", "weekly", "daily"]
    answers_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    waiting: Literal["any", "seconds", "under a second"]
    privacy: Literal["any", "on-premises"]
    memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    citations: bool
    expertise: bool
    wrong_answers: Literal["worse than none", "no worse"]
    min_quality: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass(frozen=True)
class Question:
    """What is asked in the terminal: a default where people may not know, and what else may be
    written."""

    text: str
    default: str
    choices: tuple[str, ...] = ()


_YES_NO = ("yes", "no")


def _one_of(field: str) -> tuple[str, ...]:
    return get_args(Situation.model_fields[field].annotation)


QUESTIONS: Mapping[str, Question] = {
    "work": Question(
        "What must it know or do: facts of your own, a way to reply, or labels?", "facts",
        _one_of("work"),
    ),
    "min_quality": Question("What share of answers must be right, 0 to 1?", "unknown"),
    "documents": Question(
        "Do documents hold the answers: none, a few (they fit in one prompt), or many?", "many",
        _one_of("documents"),
    ),
    "hierarchy": Question("Is there a hierarchy, such as units or a catalogue?", "no", _YES_NO),
    "examples": Question("How many questions with right answers do you have?", "0"),
    "changes": Question("How often do the facts change?", "never", _one_of("changes")),
    "answers_per_day": Question("How many answers a day?", "100"),
    "waiting": Question("How long may one answer take?", "seconds", _one_of("waiting")),
    "privacy": Question("May questions leave your machines: any, or on-premises?", "on-premises",
                        _one_of("privacy")),
    "memory_gb": Question("How many GB of memory does the machine (its GPU) have?", "unknown"),
    "citations": Question("Must an answer name its source?", "no", _YES_NO),
    "wrong_answers": Question("Is a wrong answer worse than none?", "worse than none",
                              _one_of("wrong_answers")),
    "expertise": Question("Has somebody there tuned a model before?", "no", _YES_NO),
}  # fmt: skip
"""In the order in which they are asked: accuracy first, as people do."""

Ask = Callable[[Question], str]


def asked(given: Mapping[str, Any], ask: Ask) -> dict[str, Any]:
    """The content of a `Situation`: what was given, and the rest by asking."""
    found = dict(given)
    for name, question in QUESTIONS.items():
        if found.get(name) == question.default == "unknown":
            found[name] = None
        if name not in found:
            found[name] = _content(ask(question), question)
    return found


def _content(text: str, question: Question) -> Any:
    """An answer as YAML would have it."""
    if question.choices == _YES_NO:
        return text == "yes"
    if question.choices:
        return text
    if text.strip().lower() == question.default == "unknown":
        return None
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text  # the Situation says what is expected
