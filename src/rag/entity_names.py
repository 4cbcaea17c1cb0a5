"""Which entities of a hierarchy does a question name? Exact token n-grams in a dict."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..tasks.hierarchy import Entity

Via = Literal["name", "alias", "person"]

_TOKEN = re.compile(r"\w[\w+#]*(?:'\w+)*")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters that Unicode does not take apart into a plain one and an accent."""
_FUNCTION_WORDS = """
a all am an and any are as at be but by can do for from had has have he her his how i if in into is
it its may me my no not of on one or our out she so than that the their them then they this to up us
was we were what when where which who whom whose why will with you
"""
_COMMON = frozenset(_FUNCTION_WORDS.split())
"""Words of every question: an entity called IT or US is meant only where it is written so."""


@dataclass(frozen=True)
class EntityMatch:
    """An entity that a question names.

    `above` are its ancestors, the root first; `named` is the name that was found, as the hierarchy
    writes it; `others` are the entities that an ambiguous name may mean as well.
    """

    entity: Entity
    above: tuple[Entity, ...]
    named: str
    via: Via
    others: tuple[str, ...] = ()


class EntityNames:
    """The names, aliases and people of a hierarchy by their tokens.

    A name is compared without case, accents and possessive 's, and always as whole words. Scripts
    written without spaces are compared by whole runs of letters.
    """

    def __init__(self, hierarchy: Entity) -> None:
        self.nodes: list[tuple[Entity, tuple[Entity, ...]]] = list(hierarchy.walk())
        self._names: dict[str, list[tuple[int, Via, str]]] = {}
        lengths: dict[str, set[int]] = {}
        for number, (entity, _) in enumerate(self.nodes):
            for via, name in _all_names(entity):
                words = tokens(name)
                if not words:
                    continue
                entries = self._names.setdefault(" ".join(words), [])
                if all(number != other for other, _, _ in entries):
                    entries.append((number, via, name))
                    lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {word: tuple(sorted(found)) for word, found in lengths.items()}

    def find(self, question: str) -> list[EntityMatch]:
        """The entities named, in the order of the question; of names that overlap the longest.

        Each entity is given once. A person stands for the entities where they have a role.
        """
        words = tokens(question)
        spans: list[tuple[int, int, str]] = []
        for at, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                if at + length <= len(words):
                    key = " ".join(words[at : at + length])
                    if key in self._names:
                        spans.append((-length, at, key))
        taken: set[int] = set()
        chosen: list[tuple[int, str]] = []
        for minus, at, key in sorted(spans):
            places = range(at, at - minus)
            if taken.isdisjoint(places) and (key not in _COMMON or self._as_written(key, question)):
                taken.update(places)
                chosen.append((at, key))
        matches: dict[int, EntityMatch] = {}
        for _, key in sorted(chosen):
            entries = self._names[key]
            titled = [number for number, via, _ in entries if via != "person"]
            for number, via, name in entries:
                entity, above = self.nodes[number]
                others: tuple[str, ...] = ()
                if via != "person" and len(titled) > 1:
                    others = tuple(self.nodes[one][0].name for one in titled if one != number)
                matches.setdefault(number, EntityMatch(entity, above, name, via, others))
        return list(matches.values())

    def _as_written(self, key: str, question: str) -> bool:
        return any(
            re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question)
            for _, _, name in self._names[key]
        )


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
