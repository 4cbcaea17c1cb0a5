"""A hierarchy in YAML: entities with keys, or names alone, nested."""

from __future__ import annotations

from pathlib import Path

import yaml

from .faults import Faults
from .hierarchy import MAX_DEPTH, Entity, Names, Role, several_roots
from .yaml_nodes import YamlFile

NULL = "tag:yaml.org,2002:null"
ENTITY_KEYS = ("name", "level", "aliases", "roles", "children")


def read_tree(path: Path, faults: Faults) -> Entity | None:
    """The tree of a YAML file; faults are noted.

    A mapping with one of our keys at the top is an entity with keys. Any other is names alone:
    ``Port: {Marine: [Tugs, Pilots], Cargo: }``, the names under each as a mapping or a list.
    Raises `TaskError` where the file is missing, empty or not YAML.
    """
    file = YamlFile(path, faults)
    root, names = file.root(), Names(faults)
    if _has_keys(root) or isinstance(root, yaml.ScalarNode):
        return _entity(file, root, names, 1)
    before = len(faults)
    roots = _named(file, root, names, 1)
    if len(roots) > 1:
        tops = [(entity.name, line) for entity, line in roots]
        faults.add(several_roots(path, tops, "indent them under one more name, that of the whole"))
    elif not roots and len(faults) == before:
        file.fault(root, "there is no name in it")
    return roots[0][0] if len(roots) == 1 else None


def _has_keys(node: yaml.Node) -> bool:
    """Whether it is an entity with keys, or a list that opens with one."""
    if isinstance(node, yaml.SequenceNode):
        return bool(node.value) and _has_keys(node.value[0])
    return isinstance(node, yaml.MappingNode) and any(
        isinstance(key, yaml.ScalarNode) and key.value in ENTITY_KEYS for key, _ in node.value
    )


def _named(file: YamlFile, node: yaml.Node, names: Names, depth: int) -> list[tuple[Entity, int]]:
    """The entities of a mapping, a list or a name, each with its line."""
    if isinstance(node, yaml.SequenceNode):
        found = []
        for item in node.value:
            if isinstance(item, yaml.SequenceNode):
                file.fault(item, "a list in a list; give the inner one a name (name: [...])")
            else:
                found += _named(file, item, names, depth)
        return found
    pairs = node.value if isinstance(node, yaml.MappingNode) else [(node, None)]
    if len(pairs) == 1 and pairs[0][1] is None and pairs[0][0].tag == NULL:
        return []  # a name with nothing under it
    read = []
    for key, below in pairs:
        name = file.text(key, "a name")
        if name is None:
            continue
        line = key.start_mark.line + 1
        if below is not None and name in ENTITY_KEYS:
            file.fault(
                key,
                f'"{name}" is a key of entities with keys; write all of them so '
                "(name: ..., children: [...])",
            )
            continue
        if depth > MAX_DEPTH:
            file.fault(key, f"more than {MAX_DEPTH} levels; flatten the hierarchy")
            break
        names.add(name, file.path, line)
        children = _named(file, below, names, depth + 1) if below is not None else []
        read.append((Entity(name=name, children=tuple(one for one, _ in children)), line))
    return read


def _entity(file: YamlFile, node: yaml.Node, names: Names, depth: int) -> Entity | None:
    """One entity with keys, and all under it."""
    before = len(file.faults)
    parts = file.mapping(node, "an entity", ENTITY_KEYS)
    if "name" not in parts:
        if len(file.faults) == before:
            file.fault(node, "an entity without a name; give it one (name: ...)")
        return None
    name = file.text(parts["name"], "name")
    if name is not None:
        names.add(name, file.path, parts["name"].start_mark.line + 1)
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
