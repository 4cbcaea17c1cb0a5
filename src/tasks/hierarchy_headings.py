"""A hierarchy from the headings of Markdown: of one page, or of all pages of a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import StorageError, TaskError
from ..files import read_text
from .documents import document_files
from .faults import Faults
from .headings import heading
from .hierarchy import MAX_DEPTH, PAGES, Entity, same, several_roots

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_MARKS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")


@dataclass
class _Node:
    """A heading, a page without one above the others, or a folder."""

    name: str
    level: str
    line: int = 0
    below: list[_Node] = field(default_factory=list)


def read_headings(path: Path, faults: Faults) -> Entity | None:
    """The tree of a page's headings, or of the pages of a folder under the folder's name.

    The level of a page's top heading is ``page``, of those under it ``section``, of a folder
    ``folder``. ``#`` in fenced code is no heading. Headings that occur more than once, as
    "Contact" on many pages, get the name of what they stand under, in brackets, and the plain one
    as an alias; so a question for it is told that it is ambiguous. Faults are noted. Raises
    `TaskError` where a page cannot be read.
    """
    if path.is_dir():
        root = _folder(path, faults)
    else:
        tops = _headings(path)
        if not tops:
            faults.add(f"{path}: no heading; a page's hierarchy is made of its headings (# Title)")
            return None
        if len(tops) > 1:
            lines = [(one.name, one.line) for one in tops]
            how = "write one heading above them, and them with one # more"
            faults.add(several_roots(path, lines, how))
            return None
        root = tops[0]
    counts = Counter(same(node.name) for node in _all(root))
    return _entity(root, None, counts, set())


def _folder(folder: Path, faults: Faults) -> _Node:
    """A folder's pages, in the order of their paths, under nodes for it and its subfolders."""
    pages = [path for path in document_files(folder) if path.suffix.lower() in PAGES]
    if not pages:
        faults.add(f"{folder}: there is no Markdown page (.md) in it")
    nodes = {folder: _Node(_in_words(folder), "folder")}
    for page in pages:
        above = [one for one in reversed(page.relative_to(folder).parents) if one.parts]
        if len(above) > MAX_DEPTH // 2:
            faults.add(f"{page}: more than {MAX_DEPTH // 2} folders deep; flatten them")
            continue
        for part in above:
            if folder / part not in nodes:
                node = nodes[folder / part] = _Node(_in_words(part), "folder")
                nodes[(folder / part).parent].below.append(node)
        nodes[page.parent].below.extend(_headings(page))
    return nodes[folder]


def _headings(page: Path) -> list[_Node]:
    """The top headings of a page, each with those under it."""
    tops: list[_Node] = []
    above: list[tuple[int, _Node]] = []
    try:
        text = read_text(page)
    except StorageError as error:
        raise TaskError(str(error)) from error
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        mark = _FENCE.match(line)
        if fence:
            closing = line.strip()
            fence = "" if closing.startswith(fence) and not closing.strip(fence[0]) else fence
        elif mark:
            fence = mark[1]
        elif found := heading(line):
            depth, name = found[0], _plain(found[1])
            if not name:
                continue
            above = [(other, node) for other, node in above if other < depth]
            node = _Node(name, "section" if above else "page", number)
            (above[-1][1].below if above else tops).append(node)
            above.append((depth, node))
    return tops


def _all(node: _Node) -> Iterator[_Node]:
    yield node
    for one in node.below:
        yield from _all(one)


def _entity(node: _Node, parent: str | None, counts: Counter[str], given: set[str]) -> Entity:
    name, aliases = node.name, tuple[str, ...]()
    if counts[same(name)] > 1 and parent is not None:
        name, aliases = f"{node.name} ({parent})", (node.name,)
    number = 1
    while same(name) in given or (number > 1 and counts[same(name)]):
        number += 1
        name, aliases = f"{node.name} ({parent}, {number})", (node.name,)
    given.add(same(name))
    children = tuple(_entity(one, node.name, counts, given) for one in node.below)
    return Entity(name=name, level=node.level, aliases=aliases, children=children)


def _plain(title: str) -> str:
    """A heading without the marks of Markdown."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", title)).split())


def _in_words(path: Path) -> str:
    """A folder's name: rules-of-work is Rules of work."""
    words = re.sub(r"[-_\s]+", " ", path.resolve().name if path.name in ("", "..") else path.name)
    words = words.strip()
    return words[:1].upper() + words[1:]
