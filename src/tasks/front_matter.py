"""What is told about a document beside its text: plain values, and YAML at the top of Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml

from ..yaml_lines import compose_fast
from .headings import LONGEST_TITLE
from .task import Metadata

_FRONT = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TYPED = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))
_DEEPEST = 20
_LONGEST = 50_000
"""Characters of front matter; what is longer is text."""


def plain_metadata(pairs: Iterable[tuple[str, object]]) -> tuple[Metadata, list[str]]:
    """The values that can be metadata, and the names of those that cannot.

    Text, numbers and true or false stay; a list of them is joined by commas; an empty value is
    passed over. What is nested, not finite or longer than 1,000 characters cannot.
    """
    kept: Metadata = {}
    left: list[str] = []
    for name, value in pairs:
        if isinstance(value, list | tuple) and all(_is_plain(item) for item in value):
            value = ", ".join(str(item) for item in value)
        if isinstance(value, str):
            value = " ".join(value.split())
        if value is None or value == "":
            continue
        if _is_plain(name) and _is_plain(value):
            kept[name] = value  # type: ignore[assignment]  # as _is_plain says
        else:
            left.append(name)
    return kept, left


def front_matter(text: str) -> tuple[Metadata, list[str], str]:
    """(metadata, names that could not be kept, the text below) of a Markdown page.

    Front matter is YAML between two lines ``---`` at the very top that holds ``key: value``. Only
    the plain values of its top level are ever made into anything; anything that is not such a
    mapping is text.
    """
    found = _FRONT.match(text[: _LONGEST + 10]) if text.startswith("---") else None
    if found is None:
        return {}, [], text
    try:
        root = compose_fast(found[1], _DEEPEST)
    except (yaml.YAMLError, RecursionError):
        return {}, [], text
    if not isinstance(root, yaml.MappingNode):
        return {}, [], text
    pairs = [(str(key.value), _value(node)) for key, node in root.value]
    metadata, left = plain_metadata(pairs)
    return metadata, left, text[found.end() :]


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        whole = value.encode(errors="ignore").decode() == value  # no halves of characters
        return whole and len(value) <= LONGEST_TITLE
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _value(node: yaml.Node) -> Any:
    """A scalar, or a list of scalars; nothing below is looked at, so no alias can unfold."""
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) if isinstance(item, yaml.ScalarNode) else {} for item in node.value]
    if not isinstance(node, yaml.ScalarNode):
        return {}
    if node.tag in _TYPED:
        with suppress(ValueError, KeyError):  # !!int x, !!bool x
            return yaml.SafeLoader("").construct_object(node)
    return node.value  # text, and dates as they are written
