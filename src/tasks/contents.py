"""What a folder holds that `wattune init` makes a task of: documents and a tree of entities."""

from __future__ import annotations

from pathlib import Path

from ..errors import TaskError
from ..values import Value
from .documents import RESULTS_FOLDER, note_empty, read_documents
from .draft_review import DRAFT_FILE, DRAFT_REPORT
from .faults import Faults
from .folder import MANIFEST, SPLITS
from .hierarchy import Entity, read_hierarchy
from .task import Document

HIERARCHY_FILE = "hierarchy.yaml"


class Contents(Value):
    """What a folder holds that a task is made of; `documents` are those with text, `source` is
    where they lie."""

    source: Path
    documents: tuple[Document, ...]
    hierarchy: Entity | None


def read_contents(folder: Path, faults: Faults, *, questions: Path | None = None) -> Contents:
    """The documents of ``folder/documents`` where that exists, else of the folder itself, and the
    tree in its hierarchy.yaml; faults are noted.

    Raises `TaskError` where there is no such folder, or where it is a task already.
    """
    if not folder.is_dir():
        raise TaskError(f"{folder}: there is no such folder; `init` takes a folder of documents")
    if (folder / MANIFEST).exists():
        raise TaskError(
            f"{folder} is a task already ({MANIFEST}); edit its files, or move {MANIFEST} away"
        )
    below = folder / "documents"
    source = below if below.is_dir() else folder
    without = [folder / RESULTS_FOLDER] if source == folder else []
    ours = (*(f"{split}.jsonl" for split in SPLITS), HIERARCHY_FILE, DRAFT_FILE, DRAFT_REPORT)
    without += [folder / name for name in ours]
    without += [questions] if questions else []
    found = read_documents(source, faults, without=without)
    note_empty(found, faults)
    tree = folder / HIERARCHY_FILE
    hierarchy = None
    if tree.is_file():
        try:
            hierarchy = read_hierarchy(tree)
        except TaskError as error:
            faults.add(str(error))
    documents = tuple(document for document in found if document.text)
    return Contents(source=source, documents=documents, hierarchy=hierarchy)
