"""Which entities of a hierarchy does a question name? Token n-grams in a dict, then near ones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..tasks.hierarchy import Entity
from .fuzzy_names import FuzzyNames

Via = Literal["name", "alias", "person"]

_TOKEN = re.compile(r"\w[\w+#]*(?:'\w+)*")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters that Unicode does not take apart into a plain one and an accent."""
_WORDS = """
a all am an and any are as at be but by can do for from had has have he her his how i if in into is
it its may me my no not of on one or our out she so than that the their them then they this to up us
was we were what when where which who whom whose why will with you
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
"""Words of every question: an entity called IT or US is meant only where it is written so."""


MEANT = 20
"""Entities given for one name; a name that more share tells nothing of any of them."""
LISTED = 4
"""Other entities that a match names; of more their number is told."""


@dataclass(frozen=True)
class EntityMatch:
    """An entity that a question names.

    `above` are its ancestors, the root first; `named` is the name that was found, as the hierarchy
    writes it; `meant` is how many entities that name may mean, and `others` are the first of those
    besides this one. `written` is what the question has where that is only nearly the name, and
    "" where it is the name.
    """

    entity: Entity
    above: tuple[Entity, ...]
    named: str
    via: Via
    others: tuple[str, ...] = ()
    meant: int = 1
    written: str = ""


class EntityNames:
    """The names, aliases and people of a hierarchy by their tokens.

    A name is compared without case, accents and possessive 's, and always as whole words. Scripts
    written without spaces are compared by whole runs of letters. With `fuzzy`, what is left of a
    question is compared to names that are nearly the same (see `FuzzyNames`).
    """

    def __init__(self, hierarchy: Entity, fuzzy: float | None = None) -> None:
        self.nodes: list[tuple[Entity, tuple[Entity, ...]]] = list(hierarchy.walk())
        self._names: dict[str, list[int]] = {}
        self._longest: dict[str, int] = {}  # words of the longest name that opens with a word
        for number, (entity, _) in enumerate(self.nodes):
            for _, name in _all_names(entity):
                words = tokens(name)
                if not words:
                    continue
                numbers = self._names.setdefault(" ".join(words), [])
                if numbers[-1:] != [number]:
                    numbers.append(number)
                if self._longest.get(words[0], 0) < len(words):
                    self._longest[words[0]] = len(words)
        self._fuzzy = None if fuzzy is None else FuzzyNames(self._names, self._longest, fuzzy)

    def find(self, question: str) -> list[EntityMatch]:
        """The entities named, in the order of the question; of names that overlap the longest.

        Each entity is given once. A person stands for the entities where they have a role. Of the
        entities that share a name the first 20 are given.
        """
        words = tokens(question)
        spans: list[tuple[int, int, str]] = []
        for at, word in enumerate(words):
            last = min(at + self._longest.get(word, 0), len(words))
            for end in range(at + 1, last + 1):
                key = " ".join(words[at:end])
                if key in self._names:
                    spans.append((at - end, at, key))
        taken: set[int] = set()
        chosen: list[tuple[int, str, tuple[str, ...]]] = []
        for minus, at, key in sorted(spans):
            places = range(at, at - minus)
            if taken.isdisjoint(places) and (
                key not in FUNCTION_WORDS or self._as_written(key, question)
            ):
                taken.update(places)
                chosen.append((at, "", (key,)))
        if self._fuzzy is not None:
            chosen += self._fuzzy.find(words, taken)
        matches: dict[int, EntityMatch] = {}
        for _, written, keys in sorted(chosen):
            for number, match in self._meant(keys, written):
                matches.setdefault(number, match)
        return list(matches.values())

    def _meant(self, keys: tuple[str, ...], written: str) -> Iterator[tuple[int, EntityMatch]]:
        """The entities that a stretch of the question may mean, those that bear the name first."""
        found: dict[int, tuple[Via, str]] = {}
        meant = sum(len(self._names[key]) for key in keys)
        for key in keys:
            for number in self._names[key][:MEANT]:
                found.setdefault(number, self._name_of(number, key))
        titled = [number for number, (via, _) in found.items() if via != "person"]
        for number, (via, name) in found.items():
            entity, above = self.nodes[number]
            others: list[str] = []
            if via != "person" and len(titled) > 1:
                others = [self.nodes[one][0].name for one in titled if one != number]
            count = max(meant - len(found), 0) + len(titled) if others else 1
            yield (
                number,
                EntityMatch(entity, above, name, via, tuple(others[:LISTED]), count, written),
            )

    def _name_of(self, number: int, key: str) -> tuple[Via, str]:
        """Which of an entity's names has these tokens."""
        return next(
            (via, name)
            for via, name in _all_names(self.nodes[number][0])
            if " ".join(tokens(name)) == key
        )

    def _as_written(self, key: str, question: str) -> bool:
        names = {self._name_of(number, key)[1] for number in self._names[key][:MEANT]}
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question) for name in names)


def _all_names(entity: Entity) -> Iterable[tuple[Via, str]]:
    yield "name", entity.name
    for alias in entity.aliases:
        yield "alias", alias
    for role in entity.roles:
        yield "person", role.person


def tokens(text: str) -> list[str]:
    """Words for comparison: "Café Tug Team's" gives ``["cafe", "tug", "team"]``."""
    if not text.isascii():
        text = text.replace("\u2019", "'")
        parts = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(mark for mark in parts if not unicodedata.combining(mark))
        text = text.translate(_LETTERS)
    return [word.removesuffix("'s") for word in _TOKEN.findall(text.lower())]
