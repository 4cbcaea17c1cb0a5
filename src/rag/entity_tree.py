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
from .entity_wording import (
    and_list,
    called,
    capital,
    noun_of,
    number_of,
    plural,
    says_level,
    with_article,
)

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
        led = {id(match.entity) for match in matches}
        left = max_words
        for number, match in enumerate(matches):
            sentences = self._sentences(match, max_words, led)
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

    def _sentences(self, match: EntityMatch, most: int, led: set[int]) -> list[list[str]]:
        """What is known of an entity, the most telling first, each from the full to the short form.

        Lists of more than `most` names are not written out: they would not fit. `led` are the
        entities whose roles are told elsewhere; those whose roles are told here join them.
        """
        entity, above = match.entity, match.above
        told: list[list[str]] = [_place(match)]
        if match.via == "person":
            held = [role.role for role in entity.roles if role.person == match.named]
            is_held = (
                f"{match.named} is {and_list(f'the {role}' for role in held)} of {called(entity)}."
            )
            told.insert(0, [f"{_unsure(match)}{is_held}"])
        told += _roles(entity)
        direct = self._children(entity)
        for level, names in direct.items():
            counted = f"It has {number_of(len(names), level)}"
            listed = [f"{counted}: {and_list(names)}."] if len(names) <= most else []
            told.append([*listed, f"{counted}."])
        deeper = [
            number_of(number, level)
            for level, number in self._all_below(entity).items()
            if number > len(direct.get(level, ()))
        ]
        if deeper:
            told.append([f"It has {and_list(deeper)} in all."])
        if above:
            told += self._siblings(entity, above[-1], most)
        # Last, where there is room: who leads the unit that it belongs to. The top is left out
        # unless it is the parent: all belong to it.
        for one in reversed(above[1:] or above):
            if id(one) not in led:
                led.add(id(one))
                told += _roles(one, of=called(one))
        return told

    def _siblings(self, entity: Entity, parent: Entity, most: int) -> list[list[str]]:
        alike = list(self._children(parent)[entity.level])
        alike.remove(entity.name)  # once: another may be called the same
        level = noun_of(entity.level) or "part"
        number = len(alike)
        if not number:
            return []
        if number == 1:
            return [[f"The other {level} of {called(parent)} is {alike[0]}."]]
        counted = f"{capital(called(parent))} has {number} other {plural(level)}."
        if number > most:
            return [[counted]]
        others = and_list(alike)
        return [[f"The other {plural(level)} of {called(parent)} are {others}.", counted]]

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


def _roles(entity: Entity, of: str = "") -> list[list[str]]:
    """A sentence for each role of an entity, told as "its", or as that `of` the entity."""
    people: dict[str, list[str]] = {}
    for role in entity.roles:
        people.setdefault(role.role, []).append(role.person)
    told: list[list[str]] = []
    for name, persons in people.items():
        held, verb = (name, "is") if len(persons) == 1 else (plural(name), "are")
        subject = f"The {held} of {of}" if of else f"Its {held}"
        told.append([f"{subject} {verb} {and_list(persons)}."])
    return told


def _words(text: str) -> int:
    return len(text.split())


def _place(match: EntityMatch) -> list[str]:
    """The path sentence: whole, without other names, then with the parent alone."""
    entity, above = match.entity, match.above
    subject = capital(called(entity)) if says_level(entity) else entity.name
    also = f", also called {and_list(entity.aliases, 'or')}," if entity.aliases else ""
    level = noun_of(entity.level)
    unsure = "" if match.via == "person" else _unsure(match)
    if not above:
        says = f"is the {level} at the top" if level else "stands at the top"
        return [f"{unsure}{subject}{also} {says}.", f"{unsure}{subject} {says}."]
    belongs = f"is {with_article(level)} in" if level else "belongs to"
    whole = " of ".join(called(one) for one in reversed(above))
    return [
        f"{unsure}{subject}{also} {belongs} {whole}.",
        f"{unsure}{subject} {belongs} {whole}.",
        f"{unsure}{subject} {belongs} {called(above[-1])}.",
    ]


def _unsure(match: EntityMatch) -> str:
    """What to say first of a name that is only nearly one, or that several entities bear."""
    said = f'"{match.written}" is taken for {match.named}. ' if match.written else ""
    if not match.others:
        return said
    name = f'"{match.written or match.named}" can mean'
    if match.meant > len(match.others) + 1:
        return f"{said}{name} any of {match.meant}, of which {match.entity.name} is one. "
    others = and_list(match.others, "or")
    return f"{said}{name} {match.entity.name}, described here, or {others}. "


def _by_level(entities: Iterable[Entity]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entity in entities:
        found.setdefault(entity.level, []).append(entity.name)
    return found
