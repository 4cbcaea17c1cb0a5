"""YAML read as nodes, so that every fault names its line. Nothing is ever constructed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import yaml

from ..errors import StorageError, TaskError, did_you_mean
from ..yaml_lines import read_node
from .faults import Faults

_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"


class YamlFile:
    """One YAML file: its root node, and readers of nodes that note faults with their lines."""

    def __init__(self, path: Path, faults: Faults) -> None:
        self.path = path
        self.faults = faults

    def root(self) -> yaml.Node:
        """The top node. Raises `TaskError` where the file is missing, empty or not YAML."""
        try:
            node = read_node(self.path, TaskError, fault="not YAML", aliases=False)
        except StorageError as error:
            raise TaskError(str(error)) from error
        if node is None:
            raise TaskError(f"{self.path}: the file is empty; a mapping (key: value) is expected")
        return node

    def place(self, node: yaml.Node) -> str:
        """``file:line`` of a node."""
        return f"{self.path}:{node.start_mark.line + 1}"

    def fault(self, node: yaml.Node, sentence: str) -> None:
        """Note a fault at a node's line."""
        self.faults.add(f"{self.place(node)}: {sentence}")

    def mapping(self, node: yaml.Node, what: str, known: Collection[str]) -> dict[str, yaml.Node]:
        """Values by key, keys without a value left out; unknown and doubled keys are faults."""
        found: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} must be a mapping (key: value), not {_kind(node)}")
            return found
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else _kind(key)
            if name not in known:
                self.fault(key, f'unknown key "{name}"{did_you_mean(name, known)}')
            elif name in seen:
                line = seen[name].start_mark.line + 1
                self.fault(key, f'"{name}" stands twice; it is already on line {line}')
            else:
                seen[name] = key
                if value.tag != _NULL:
                    found[name] = value
        return found

    def text(self, node: yaml.Node, what: str) -> str | None:
        """Text, or None with a fault noted."""
        if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT and node.value.strip():
            return str(node.value).strip()
        if isinstance(node, yaml.ScalarNode) and node.value.strip():
            self.fault(node, f'{what} must be text; write it in quotes: "{node.value}"')
        elif isinstance(node, yaml.ScalarNode):
            self.fault(node, f"{what} is empty")
        else:
            self.fault(node, f"{what} must be text, not {_kind(node)}")
        return None

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """The entries of a list."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.fault(node, f"{what} must be a list, not {_kind(node)}")
        return []

    def texts(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        """A list of texts; one text stands for a list of one."""
        if isinstance(node, yaml.ScalarNode) and node.tag == _TEXT:
            one = self.text(node, what)
            return (one,) if one is not None else ()
        found = (self.text(item, f"each of {what}") for item in self.items(node, what))
        return tuple(text for text in found if text is not None)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if node.tag == _NULL else f'"{node.value}"'
