"""How entities and their levels are put into sentences."""

from __future__ import annotations

from collections.abc import Iterable

from ..tasks.hierarchy import Entity


def called(entity: Entity) -> str:
    """An entity within a sentence: the Towage Unit, the division Operations, Europe."""
    words = entity.name.split()
    if words[:1] in (["the"], ["The"]):
        return " ".join(["the", *words[1:]])
    if not entity.level:
        return entity.name
    if words[0].casefold() == entity.level.casefold() and words[1:2] != ["of"]:
        return entity.name  # Pier 4 has no article
    return (
        f"the {entity.name}" if says_level(entity) else f"the {noun_of(entity.level)} {entity.name}"
    )


def says_level(entity: Entity) -> bool:
    """Whether the name holds its level, as in Towage Unit."""
    words = entity.name.casefold().split()
    return any(word in words for word in entity.level.casefold().split())


def noun_of(level: str) -> str:
    """A level as a common noun; SIG stays SIG."""
    return " ".join(word.lower() if word.istitle() else word for word in level.split())


def number_of(number: int, level: str) -> str:
    """3 teams, 1 team."""
    word = noun_of(level) or "part"
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


def with_article(noun: str) -> str:
    """A team, an office."""
    return f"an {noun}" if noun[:1].lower() in "aeio" else f"a {noun}"


def and_list(items: Iterable[str], word: str = "and") -> str:
    """A, B and C."""
    *first, last = list(items)
    return f"{', '.join(first)} {word} {last}" if first else last


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
