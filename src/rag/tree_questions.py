"""Questions that follow from a hierarchy, by templates: exact answers, and no model asked.

T-RAG's authors made questions about their organisation's tree in this way (arXiv 2402.07483).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

from ..tasks.drafts import BAR, TREE_KIND, Draft
from ..tasks.hierarchy import Entity, same
from .entity_tree import DOCUMENT, EntityTree
from .entity_wording import and_list, called, capital, noun_of, plural, with_article

LISTED = 7
"""The longest list that is asked for."""
SHOWN_WORDS = 120
"""Of the tree's own sentences, shown to the person who reviews a question."""
WORDINGS = {
    "role": ("Who is the {role} of {one}?", "What is the name of the {role} of {one}?"),
    "people": ("Who are the {roles} of {one}?", "What are the names of the {roles} of {one}?"),
    "person": ("{person} is the {role} of which {level}?", "Which {level} has {person} as {role}?"),
    "within": ("Which {above} does {one} belong to?", "{One} is a part of which {above}?"),
    "count": ("How many {levels} does {one} have?", "What is the number of {levels} in {one}?"),
    "list": ("Which {levels} does {one} have?", "What are the {levels} of {one}?"),
    "two_hop": (
        "Who is the {role} of the {above} that {one} belongs to?",
        "{One} belongs to {an_above}: who is its {role}?",
    ),
}
_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve
"""

_Asked = tuple[str, Sequence[str], dict[str, str]]
"""A key of `WORDINGS`, the accepted answers, and what fills the wording."""


def tree_drafts(hierarchy: Entity, seed: int) -> Iterator[Draft]:
    """The questions of a hierarchy, its kinds (`WORDINGS`) by turns, else as the seed draws them.

    The evidence is ``hierarchy``, the passage what an `EntityTree` tells. Questions about one
    branch, which is an entity under the first that has several, are a family. A person with
    several roles is not asked for, and no name that holds a bar, which parts answers in a table.
    """
    chance = random.Random(f"{seed}:tree")
    tree = EntityTree(hierarchy)
    people = Counter(role.person for entity, _ in hierarchy.walk() for role in entity.roles)
    aliases = Counter(same(name) for entity, _ in hierarchy.walk() for name in entity.aliases)
    kinds: dict[str, list[tuple[_Asked, str]]] = {kind: [] for kind in WORDINGS}
    for entity, above in hierarchy.walk():
        for asked in _asked(entity, above, people, aliases):
            kinds[asked[0]].append((asked, _branch((*above, entity))))
    for found in kinds.values():
        chance.shuffle(found)
    for turn in zip_longest(*kinds.values()):
        for (kind, answers, words), branch in filter(None, turn):
            question = chance.choice(WORDINGS[kind]).format(**words)
            if any(BAR in answer for answer in answers):
                continue
            yield Draft(
                question=question,
                answers=tuple(answers),
                evidence=DOCUMENT,
                passage=" ".join(one.text for one in tree.describe(question, SHOWN_WORDS)),
                kind=TREE_KIND,
                family=branch,
            )


def _asked(
    entity: Entity, above: tuple[Entity, ...], people: Counter[str], aliases: Counter[str]
) -> Iterator[_Asked]:
    """What can be asked about an entity."""
    names = {"one": called(entity), "One": capital(called(entity))}
    level = noun_of(entity.level)
    roles = _roles(entity)
    for role, persons in roles.items():
        if len(persons) == 1:
            yield "role", persons, {**names, "role": role}
        elif len(persons) <= LISTED:
            yield "people", _listings(persons), {**names, "roles": plural(role)}
        for person in persons if level else ():
            if people[person] == 1:
                said = {"person": person, "role": role, "level": level}
                yield "person", _names(entity, aliases), said
    levels: dict[str, list[str]] = {}
    for child in entity.children:
        levels.setdefault(noun_of(child.level) or "part", []).append(child.name)
    for noun, below in levels.items():
        said = {**names, "levels": plural(noun)}
        yield "count", [str(len(below)), *_NUMBERS.split()[len(below) : len(below) + 1]], said
        if 1 < len(below) <= LISTED:
            yield "list", _listings(below), said
    for upper in above[1:]:  # that all belongs to the root is no question
        noun = noun_of(upper.level)
        if noun and [noun_of(one.level) for one in above].count(noun) == 1:
            yield "within", _names(upper, aliases), {**names, "above": noun}
    if len(above) > 1 and (noun := noun_of(above[-1].level)):
        said = {**names, "above": noun, "an_above": with_article(noun)}
        for role, persons in list(_roles(above[-1]).items())[:1]:
            if len(persons) == 1:
                yield "two_hop", persons, {**said, "role": role}


def _branch(line: Sequence[Entity]) -> str:
    """Of a line from the root down, the entity under the first that has several under it."""
    for upper, lower in pairwise(line):
        if len(upper.children) > 1:
            return lower.name
    return line[0].name


def _roles(entity: Entity) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for role in entity.roles:
        found.setdefault(role.role, []).append(role.person)
    return found


def _names(entity: Entity, aliases: Counter[str]) -> list[str]:
    """The name, and the other names that no other entity bears."""
    return [entity.name, *(name for name in entity.aliases if aliases[same(name)] == 1)]


def _listings(names: Sequence[str]) -> list[str]:
    """A list as one answer: as the tree tells it, and with commas alone."""
    return [and_list(names), ", ".join(names)]
