"""A tree of named entities: an organisation, a catalogue, a taxonomy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TaskError
from ..values import Value
from .faults import Faults

if TYPE_CHECKING:
    import yaml

    from .yaml_nodes import YamlFile


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


ENTITY_KEYS = ("name", "level", "aliases", "roles", "children")
MAX_DEPTH = 64
"""Levels a hierarchy may have; writing it as JSON recurses, and no organisation is deeper."""


def read_hierarchy(path: Path) -> Entity:
    """The tree in a YAML file: ``{name, level, aliases, roles: [{role, person}], children}``.

    Only ``name`` is required. Raises `TaskError` with up to 20 faults at once, each with its line:
    broken YAML, a missing or doubled name, a wrong type, an unknown key.
    """
    from .yaml_nodes import YamlFile

    faults = Faults()
    file = YamlFile(path, faults)
    entity = _entity(file, file.root(), {}, 1)
    faults.check()
    if entity is None:  # a missing entity has always noted why
        raise TaskError(f"{path}: no entity could be read")
    return entity


def _entity(
    file: YamlFile, node: yaml.Node, names: dict[str, tuple[str, int]], depth: int
) -> Entity | None:
    """One node and all under it; `names` holds each name seen, with its line."""
    before = len(file.faults)
    parts = file.mapping(node, "an entity", ENTITY_KEYS)
    if "name" not in parts:
        if len(file.faults) == before:
            file.fault(node, "an entity without a name; give it one (name: ...)")
        return None
    name = file.text(parts["name"], "name")
    if name is not None:
        # The tree is searched without regard to case, so case does not tell two entities apart.
        line = parts["name"].start_mark.line + 1
        earlier = names.setdefault(" ".join(name.casefold().split()), (name, line))
        if earlier[1] != line:
            file.fault(
                parts["name"],
                f'the name "{name}" is already given on line {earlier[1]}; every entity needs a '
                "name of its own (a shared short name can be an alias of both)",
            )
    level = file.text(parts["level"], "level") if "level" in parts else ""
    aliases = file.texts(parts["aliases"], "aliases") if "aliases" in parts else ()
    roles = file.items(parts["roles"], "roles") if "roles" in parts else []
    children = file.items(parts["children"], "children") if "children" in parts else []
    if children and depth >= MAX_DEPTH:
        file.fault(parts["children"], f"more than {MAX_DEPTH} levels; flatten the hierarchy")
        return None
    read_roles = [_role(file, role) for role in roles]
    read_children = [_entity(file, child, names, depth + 1) for child in children]
    return Entity(
        name=name or "",
        level=level or "",
        aliases=aliases,
        roles=tuple(role for role in read_roles if role is not None),
        children=tuple(child for child in read_children if child is not None),
    )


def _role(file: YamlFile, node: yaml.Node) -> Role | None:
    before = len(file.faults)
    parts = file.mapping(node, "a role", ("role", "person"))
    if len(file.faults) > before:
        return None
    for key in ("role", "person"):
        if key not in parts:
            file.fault(node, f"a role needs {key}: write {{role: ..., person: ...}}")
            return None
    role, person = file.text(parts["role"], "role"), file.text(parts["person"], "person")
    return Role(role=role, person=person) if role and person else None
