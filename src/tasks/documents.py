"""A folder of Markdown and text files, read as Documents."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..errors import StorageError
from ..files import read_text
from .faults import Faults
from .task import Document

SUFFIXES = (".md", ".txt")
RESULTS_FOLDER = "runs"
"""Left out where documents lie at the top of a task: results with reports are written there."""

_HEADING = re.compile(r"^ {0,3}#\s+(.+?)\s*#*\s*$", re.MULTILINE)


def document_files(folder: Path, *, without: Collection[Path] = ()) -> list[Path]:
    """The .md and .txt files under `folder` in the order of their names; hidden ones are passed
    over, and so are the folders in `without`."""
    return [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not any(path.is_relative_to(other) for other in without)
    ]


def read_documents(
    folder: Path, faults: Faults, *, without: Collection[Path] = ()
) -> tuple[Document, ...]:
    """Every document under `folder`, empty ones included; faults are noted, not raised.

    A document's id is its path below the folder without the ending, with ``/`` between parts;
    its title is the first level-1 heading, else the file's name in words.
    """
    found: dict[str, Path] = {}
    documents: list[Document] = []
    inside = folder.resolve()
    for path in document_files(folder, without=without):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if not path.resolve().is_relative_to(inside):
            faults.add(f"{path}: a link that leads out of {folder}; copy the file here instead")
            continue
        if name in found:
            faults.add(f'{path}: the same document id "{name}" as {found[name]}; rename one')
            continue
        found[name] = path
        try:
            text = read_text(path)
        except StorageError as error:
            faults.add(str(error))
            continue
        documents.append(Document(id=name, text=text.strip(), title=_title(path, text)))
    return tuple(documents)


def _title(path: Path, text: str) -> str:
    heading = _HEADING.search(text) if path.suffix.lower() == ".md" else None
    if heading:
        return heading[1]
    words = re.sub(r"[-_\s]+", " ", path.stem).strip()
    return words[:1].upper() + words[1:]
