"""How a system behaves: whether it refuses, invents, keeps a format, and says the same thing when
the same thing is asked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Literal

from .metric import Item, Tools, Values
from .text import comparable, contained, normalise, overlap

Outcome = Literal["correct", "wrong", "refused", "refused_rightly", "hallucinated"]
_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)


def refused(text: str, refusal: str) -> bool:
    """Whether the answer opens with the refusal sentence ("don't" reads as "do not").

    Words after it do not matter when they begin a new sentence; "I do not know the date, but ..."
    is not the refusal "I do not know."
    """
    wanted = normalise(_NOT.sub(" not", refusal))
    sentences = re.split(r"(?<=[.!?])\s+|\n+", _NOT.sub(" not", text.strip()))
    opening = (normalise(" ".join(sentences[:count])) for count in range(1, len(sentences) + 1))
    return bool(wanted) and wanted in opening


def declined(text: str, refusals: Sequence[str]) -> bool:
    """Whether nothing was answered: one of the refusal sentences, or no characters at all.

    SQuAD 2.0 (Rajpurkar et al., "Know What You Don't Know", ACL 2018) too takes the empty string
    for abstaining.
    """
    return not text.strip() or any(refused(text, refusal) for refusal in refusals)


def outcome(item: Item) -> Outcome:
    """What became of a question.

    Where an answer was to be had: correct (an accepted answer is contained), refused, or wrong.
    Where none was: refused_rightly or hallucinated.
    """
    if not item.answerable:
        return "refused_rightly" if item.refused else "hallucinated"
    if contained(item.text, item.answers):
        return "correct"
    return "refused" if item.refused else "wrong"


def refusal(item: Item) -> float | None:
    """1.0 where an answer was to be had and was refused."""
    return float(outcome(item) == "refused") if item.answerable else None


def hallucination(item: Item) -> float | None:
    """1.0 where no answer was to be had and one was given; an answerable question has none."""
    return None if item.answerable else float(outcome(item) == "hallucinated")


def format_kept(item: Item) -> float | None:
    """1.0 where the whole answer, without blanks around it, matches the question's `format`."""
    if item.format is None:
        return None
    return float(re.fullmatch(item.format, item.text.strip()) is not None)


def agreement(items: Sequence[Item], tools: Tools) -> dict[str, Values]:
    """Mean token F1 over all pairs of answers to rewordings of one question, 0 to 1.

    Elazar et al., "Measuring and Improving Consistency in Pretrained Language Models", TACL 2021,
    count the pairs of rewordings that are answered alike; for free text Raj et al., "Measuring
    Reliability of Large Language Models through Semantic Consistency", arXiv 2211.05853, put a
    similarity in place of equality. Right or wrong does not matter.

    A group of two or more gives one value, which stands at its first question, so that the mean
    and its interval are over groups.
    """
    groups: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        if item.group is not None:
            groups.setdefault(item.group, []).append(at)
    values: Values = [None] * len(items)
    for members in groups.values():
        pairs = list(itertools.combinations(members, 2))
        if pairs:
            alike = sum(_alike(items[one].text, items[other].text) for one, other in pairs)
            values[members[0]] = alike / len(pairs)
    return {"agreement": values}


def _alike(one: str, other: str) -> float:
    said, again = comparable(one), comparable(other)
    return 1.0 if said == again else overlap(said.split(), again.split())
