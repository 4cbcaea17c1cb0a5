"""A tree of entities that tells what it knows of those a question names (T-RAG, arXiv 2402.07483).

Each match becomes sentences: its place in the hierarchy, its roles, its members with their
number, its siblings. What stands in the tree is exact, so counts and lists can be answered that no
retrieved passage holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from ..errors import InputError, StorageError
from ..files import read_text, write_text
from ..prompt import Passage
from ..tasks.hierarchy import Entity
from ..values import Value
from .entity_names import EntityMatch, EntityNames

DOCUMENT = "hierarchy"
"""The document id of every passage of a tree."""
FORMAT: Final = 1


class _Saved(Value):
    format: Literal[1]
    hierarchy: Entity


class EntityTree:
    """A hierarchy, searched by the names in a question; with `fuzzy`, by near ones as well."""

    def __init__(self, hierarchy: Entity, fuzzy: float | None = None) -> None:
        self.hierarchy = hierarchy
        self._names = EntityNames(hierarchy, fuzzy)
        # By identity of the entity, which `hierarchy` keeps alive: going through all that is under
        # a root of 100,000 names at each question would take a tenth of a second.
        self._below: dict[int, dict[str, int]] = {}
        self._directly: dict[int, dict[str, list[str]]] = {}

    def save(self, path: Path) -> None:
        """Write the tree as JSON."""
        # What is not given is left out: 100,000 entities are 6 MB, and read in half the time.
        saved = _Saved(format=FORMAT, hierarchy=self.hierarchy)
        write_text(path, saved.model_dump_json(exclude_defaults=True) + "\n")

    @classmethod
    def load(cls, path: Path, fuzzy: float | None = None) -> EntityTree:
        """Read a tree that was saved. Raises `StorageError` where the file is missing or broken."""
        try:
            return cls(_Saved.model_validate_json(read_text(path)).hierarchy, fuzzy)
        except ValidationError as error:
            for fault in error.errors():
                if fault["type"] == "literal_error":
                    raise StorageError(
                        f"{path}: format {fault['input']}, not {FORMAT}; build again"
                    ) from error
            raise StorageError(f"{path}: not a saved entity tree; build it again") from error

    def find(self, question: str) -> list[EntityMatch]:
        """The entities a question names, in its order; see `EntityNames.find`."""
        return self._names.find(question)

    def describe(self, question: str, max_words: int) -> list[Passage]:
        """One passage of sentences for each entity named, the most specific (deepest) first.

        Together they have at most `max_words` words. They are shared evenly among the entities
        that no other entity named lies under; one that only frames another ("the Docks of the
        Authority") has a sentence kept for its place and beyond that what is left. An entity whose
        place cannot be told in what is left has no passage; a list that does not fit is given as
        its number. Nothing named gives an empty list.
        Raises `InputError` for `max_words` < 1.
        """
        if max_words < 1:
            raise InputError(f"max_words is {max_words}; at least 1 is needed")
        matches = sorted(self.find(question), key=lambda match: -len(match.above))[:max_words]
        framing = {id(one) for match in matches for one in match.above}
        matches.sort(key=lambda match: id(match.entity) in framing)
        # Kept for the places of those that frame others, so that none crowds them out.
        kept = [
            _words(_place(match)[-1]) if id(match.entity) in framing else 0 for match in matches
        ]
        sharing = kept.count(0)
        passages: list[tuple[int, Passage]] = []
        left = max_words
        for number, match in enumerate(matches):
            sentences = self._sentences(match, max_words)
            reserve = sum(kept[number + 1 :])
            share = max(0, left - reserve) // max(1, sharing - number)
            text = _fit(sentences, share) or _fit(sentences[:1], left)
            if text:
                left -= _words(text)
                passage = Passage(
                    text=text, document=DOCUMENT, title=match.entity.name, source="tree"
                )
                passages.append((len(match.above), passage))
        return [passage for _, passage in sorted(passages, key=lambda found: -found[0])]

    def _sentences(self, match: EntityMatch, most: int) -> list[list[str]]:
        """What is known of an entity, the most telling first, each from the full to the short form.

        Lists of more than `most` names are not written out: they would not fit.
        """
        entity, above = match.entity, match.above
        told: list[list[str]] = [_place(match)]
        if match.via == "person":
            held = [role.role for role in entity.roles if role.person == match.named]
            is_held = f"{match.named} is {_and(f'the {role}' for role in held)} of {_of(entity)}."
            told.insert(0, [f"{_unsure(match)}{is_held}"])
        people: dict[str, list[str]] = {}
        for role in entity.roles:
            people.setdefault(role.role, []).append(role.person)
        for role_name, persons in people.items():
            is_are = f"{role_name} is" if len(persons) == 1 else f"{plural(role_name)} are"
            told.append([f"Its {is_are} {_and(persons)}."])
        direct = self._children(entity)
        for level, names in direct.items():
            counted = f"It has {_count(len(names), level)}"
            listed = [f"{counted}: {_and(names)}."] if len(names) <= most else []
            told.append([*listed, f"{counted}."])
        deeper = [
            _count(number, level)
            for level, number in self._all_below(entity).items()
            if number > len(direct.get(level, ()))
        ]
        if deeper:
            told.append([f"It has {_and(deeper)} in all."])
        if above:
            told += self._siblings(entity, above[-1], most)
        return told

    def _siblings(self, entity: Entity, parent: Entity, most: int) -> list[list[str]]:
        alike = self._children(parent)[entity.level]
        level = _level(entity.level) or "part"
        number = len(alike) - 1
        if not number:
            return []
        if number == 1:
            other = next(name for name in alike if name != entity.name)
            return [[f"The other {level} of {_of(parent)} is {other}."]]
        counted = f"{_capital(_of(parent))} has {number} other {plural(level)}."
        if number > most:
            return [[counted]]
        others = _and(name for name in alike if name != entity.name)
        return [[f"The other {plural(level)} of {_of(parent)} are {others}.", counted]]

    def _children(self, entity: Entity) -> dict[str, list[str]]:
        """The names directly under an entity, by level."""
        if id(entity) not in self._directly:
            self._directly[id(entity)] = _by_level(entity.children)
        return self._directly[id(entity)]

    def _all_below(self, entity: Entity) -> dict[str, int]:
        """How many entities of each level are under one, at any depth, in the order of the file."""
        if id(entity) not in self._below:
            levels: Counter[str] = Counter()
            waiting = [*reversed(entity.children)]
            while waiting:
                one = waiting.pop()
                levels[one.level] += 1
                waiting.extend(reversed(one.children))
            self._below[id(entity)] = dict(levels)
        return self._below[id(entity)]


def _fit(sentences: Sequence[Sequence[str]], budget: int) -> str:
    """Of each sentence the fullest wording that fits, in order; nothing if the first has none."""
    chosen: list[str] = []
    for wordings in sentences:
        fitting = next((text for text in wordings if _words(text) <= budget), None)
        if fitting is not None:
            chosen.append(fitting)
            budget -= _words(fitting)
        elif not chosen:
            return ""
    return " ".join(chosen)


def _words(text: str) -> int:
    return len(text.split())


def _place(match: EntityMatch) -> list[str]:
    """The path sentence: whole, without other names, then with the parent alone."""
    entity, above = match.entity, match.above
    subject = _capital(_of(entity)) if _says_level(entity) else entity.name
    also = f", also called {_and(entity.aliases, 'or')}," if entity.aliases else ""
    level = _level(entity.level)
    unsure = "" if match.via == "person" else _unsure(match)
    if not above:
        says = f"is the {level} at the top" if level else "stands at the top"
        return [f"{unsure}{subject}{also} {says}.", f"{unsure}{subject} {says}."]
    belongs = f"is {_a(level)} in" if level else "belongs to"
    whole = " of ".join(_of(one) for one in reversed(above))
    return [
        f"{unsure}{subject}{also} {belongs} {whole}.",
        f"{unsure}{subject} {belongs} {whole}.",
        f"{unsure}{subject} {belongs} {_of(above[-1])}.",
    ]


def _unsure(match: EntityMatch) -> str:
    """What to say first of a name that is only nearly one, or that several entities bear."""
    said = f'"{match.written}" is taken for {match.named}. ' if match.written else ""
    if not match.others:
        return said
    name = f'"{match.written or match.named}" can mean'
    if match.meant > len(match.others) + 1:
        return f"{said}{name} any of {match.meant}, of which {match.entity.name} is one. "
    others = _and(match.others, "or")
    return f"{said}{name} {match.entity.name}, described here, or {others}. "


def _of(entity: Entity) -> str:
    """An entity within a sentence: the Towage Unit, the division Operations, Europe."""
    words = entity.name.split()
    if words[:1] in (["the"], ["The"]):
        return " ".join(["the", *words[1:]])
    if not entity.level:
        return entity.name
    if words[0].casefold() == entity.level.casefold() and words[1:2] != ["of"]:
        return entity.name  # Pier 4 has no article
    return (
        f"the {entity.name}" if _says_level(entity) else f"the {_level(entity.level)} {entity.name}"
    )


def _says_level(entity: Entity) -> bool:
    """Whether the name holds its level, as in Towage Unit."""
    words = entity.name.casefold().split()
    return any(word in words for word in entity.level.casefold().split())


def _by_level(entities: Iterable[Entity]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entity in entities:
        found.setdefault(entity.level, []).append(entity.name)
    return found


def _level(level: str) -> str:
    """A level as a common noun; SIG stays SIG."""
    return " ".join(word.lower() if word.istitle() else word for word in level.split())


def _count(number: int, level: str) -> str:
    word = _level(level) or "part"
    return f"{number} {word if number == 1 else plural(word)}"


def plural(noun: str) -> str:
    """The regular English plural: teams, agencies, branches, Heads of Unit."""
    head, of, tail = noun.partition(" of ")
    if head.endswith("y") and head[-2:-1].lower() not in ("a", "e", "i", "o", "u"):
        head = f"{head[:-1]}ies"
    elif head.endswith(("s", "x", "z", "ch", "sh")):
        head = f"{head}es"
    else:
        head = f"{head}s"
    return f"{head}{of}{tail}"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeio" else f"a {noun}"


def _and(items: Iterable[str], word: str = "and") -> str:
    """A, B and C."""
    *first, last = list(items)
    return f"{', '.join(first)} {word} {last}" if first else last


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
