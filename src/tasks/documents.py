"""A folder of Markdown, text, HTML, PDF and JSON-lines files, read as Documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import InputError
from ..files import read_text
from .document_formats import Content, read_html, read_markdown, read_pdf
from .document_rows import read_document_rows
from .faults import Faults
from .task import Document

MARKDOWN = (".md", ".markdown")
HTML = (".html", ".htm", ".xhtml")
ROWS = (".jsonl", ".ndjson")
SUFFIXES = (*MARKDOWN, ".txt", *HTML, ".pdf", *ROWS)
KINDS = "Markdown, .txt, HTML, PDF or .jsonl"
"""`SUFFIXES`, for a sentence."""
RESULTS_FOLDER = "runs"
"""Left out where documents lie at the top of a task: results with reports are written there."""
_SHOWN = 5
_OURS = (
    "task.yaml",
    "recipe.yaml",
    "draft.json",
    "questions.csv",
    "hierarchy.yaml",
    "hierarchy.csv",
)
"""Files of a task, which may lie beside its documents: that they are no documents is no news."""


def document_files(folder: Path, *, without: Collection[Path] = ()) -> list[Path]:
    """The files under `folder` that hold documents, in the order of their names; hidden ones are
    passed over, and so is what is in `without` (files and folders). One file stands for itself."""
    return [path for path in _files(folder, without) if path.suffix.lower() in SUFFIXES]


def read_documents(
    folder: Path, faults: Faults, *, without: Collection[Path] = ()
) -> tuple[Document, ...]:
    """Every document under `folder`, empty ones included; faults are added, not raised, and what
    is left out is noted.

    A document's id is its path below the folder without the ending, with ``/`` between parts;
    its title is the first level-1 heading, else the file's name in words. Rows of a JSON-lines
    file have ids of their own (`read_document_rows`).
    """
    found: dict[str, str] = {}
    documents: list[Document] = []
    others: Counter[str] = Counter()
    top = folder if folder.is_dir() else folder.parent
    inside = top.resolve()
    for path in _files(folder, without):
        if path.suffix.lower() not in SUFFIXES:
            if path.name in _OURS:
                continue
            others[path.suffix.lower() or "without ending"] += 1
            continue
        if not path.resolve().is_relative_to(inside):
            faults.add(f"{path}: a link that leads out of {folder}; copy the file here instead")
            continue
        name = path.relative_to(top).with_suffix("").as_posix()
        for place, document in _read(path, name, faults):
            if document.id in found:
                faults.add(
                    f'{place}: the same document id "{document.id}" as {found[document.id]}; '
                    "rename one"
                )
                continue
            found[document.id] = place
            documents.append(document)
    if others:
        told = [f"{kind} ({count})" for kind, count in sorted(others.items(), key=_often)[:_SHOWN]]
        more = ", ..." if len(others) > _SHOWN else ""
        faults.note(
            f"{folder}: {others.total()} file(s) of other kinds are not read: {', '.join(told)}"
            f"{more}."
        )
    return tuple(documents)


def note_empty(documents: Collection[Document], faults: Faults) -> None:
    """Tell how many documents hold no text."""
    empty = [document.id for document in documents if not document.text]
    if empty:
        faults.note(
            f"{len(empty):,} of the documents hold no text and are left out, the first being "
            f"{empty[0]}."
        )


def _files(folder: Path, without: Collection[Path]) -> list[Path]:
    if folder.is_file():
        return [folder]
    return [
        path
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not any(path.is_relative_to(other) for other in without)
    ]


def _read(path: Path, name: str, faults: Faults) -> Iterator[tuple[str, Document]]:
    """(place, Document) of all that a file holds; whatever is wrong with it is a fault."""
    kind = path.suffix.lower()
    try:
        name.encode()
        if kind in ROWS:
            yield from read_document_rows(path, name, faults)
            return
        if kind in HTML:
            content = read_html(path, faults)
        elif kind == ".pdf":
            content = read_pdf(path, faults)
        elif kind in MARKDOWN:
            content = read_markdown(path, read_text(path), faults)
        else:
            content = Content(read_text(path).strip())
    except InputError as error:
        faults.add(str(error))
    except UnicodeEncodeError:
        faults.add(f"{path!r}: the file's name is not UTF-8; rename it")
    except OSError as error:
        faults.add(f"{path}: cannot be read ({error.strerror})")
    else:
        yield (
            str(path),
            Document(
                id=name,
                text=content.text,
                title=content.title or _words(path),
                metadata=content.metadata,
            ),
        )


def _often(kind: tuple[str, int]) -> tuple[int, str]:
    return -kind[1], kind[0]


def _words(path: Path) -> str:
    words = re.sub(r"[-_\s]+", " ", path.stem).strip()
    return words[:1].upper() + words[1:]
