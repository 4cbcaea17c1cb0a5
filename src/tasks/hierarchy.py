"""A tree of named entities: an organisation, a catalogue, a taxonomy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import TaskError
from ..values import Value
from .faults import Faults


class Role(Value):
    """Somebody's place at an entity."""

    role: str
    person: str


class Entity(Value):
    """One node: its name, level, other names, roles, and the entities under it."""

    name: str
    level: str = ""
    aliases: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    children: tuple[Entity, ...] = ()

    def walk(self, above: tuple[Entity, ...] = ()) -> Iterator[tuple[Entity, tuple[Entity, ...]]]:
        """Every entity from here down, each with its ancestors (the root first), in file order."""
        yield self, above
        for child in self.children:
            yield from child.walk((*above, self))


MAX_DEPTH = 64
"""Levels a hierarchy may have; writing it as JSON recurses, and no organisation is deeper."""
YAML = (".yaml", ".yml", ".json")
TABLES = (".csv", ".tsv")
PAGES = (".md", ".markdown")


def read_hierarchy(path: Path) -> Entity:
    """The tree in a file, by its ending, or in the headings of a folder of Markdown pages.

    - YAML: ``{name, level, aliases, roles: [{role, person}], children}``, or names alone, each
      with a mapping or a list of those under it; see `hierarchy_yaml`.
    - CSV, TSV: one row an entity, with its parent; see `hierarchy_table`.
    - Markdown: the headings; see `hierarchy_headings`.

    Raises `TaskError` with up to 20 faults at once, each with its line.
    """
    from .hierarchy_headings import read_headings
    from .hierarchy_table import read_links
    from .hierarchy_yaml import read_tree

    ending = path.suffix.lower()
    faults = Faults()
    if path.is_dir() or ending in PAGES:
        entity = read_headings(path, faults)
    elif ending in TABLES:
        entity = read_links(path, faults)
    elif ending in YAML:
        entity = read_tree(path, faults)
    else:
        raise TaskError(
            f"{path}: a hierarchy is a YAML file, a table ({', '.join(TABLES)}), a Markdown page "
            "or a folder of such pages"
        )
    faults.check()
    if entity is None:  # a missing entity has always noted why
        raise TaskError(f"{path}: no entity could be read")
    return entity


class Names:
    """The names of a hierarchy that have been read, with the place of each.

    The tree is searched without regard to case, so case does not tell two entities apart.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lines: dict[str, int] = {}

    def add(self, name: str, path: Path, line: int) -> bool:
        """Whether the name is new; one that is not is noted as a fault."""
        earlier = self._lines.get(same(name))
        if earlier is None:
            self._lines[same(name)] = line
            return True
        self._faults.add(
            f'{path}:{line}: the name "{name}" is already given on line {earlier}; every entity '
            "needs a name of its own (a shared short name can be an alias of both)"
        )
        return False


def same(name: str) -> str:
    """What two spellings of one name have in common."""
    return " ".join(name.casefold().split())


def several_roots(path: Path, roots: list[tuple[str, int]], how: str) -> str:
    """The fault of a file with more than one entity at the top: `roots` are (name, line)."""
    shown = ", ".join(f'"{name}" (line {line})' for name, line in roots[:4])
    more = f" and {len(roots) - 4} more" if len(roots) > 4 else ""
    return (
        f"{path}:{roots[1][1]}: {len(roots)} entities stand at the top: {shown}{more}; "
        f"a hierarchy has one root: {how}"
    )
