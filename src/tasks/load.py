"""Where a task comes from: a built-in name, a folder, a file, or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import TaskError, did_you_mean
from ..files import shipped_folder
from .examples import SHARES, ExampleReader, split_examples
from .faults import Faults
from .folder import MANIFEST, load_folder, load_revision
from .hub import PREFIX, read_hub
from .overlap import check_overlap
from .squad import read_squad
from .tables import Table, check_columns, read_table
from .task import Document, Example, Split, Task

__all__ = ["builtin_tasks", "check_overlap", "load_revision", "load_task"]

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


def builtin_tasks() -> dict[str, Path]:
    """The folders of the tasks that ship with wattune, by name."""
    return {
        manifest.parent.name: manifest.parent
        for manifest in sorted((shipped_folder() / "data").glob(f"*/{MANIFEST}"))
    }


def load_task(
    where: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    shares: Sequence[float] = SHARES,
) -> Task:
    """The Task at `where`.

    - a built-in name (``harbour``); it goes before a folder of that name, which is ``./harbour``
    - a folder with a task.yaml
    - a SQuAD v1.1 or 2.0 file (``.json``)
    - a table (``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``): a column of questions and one of
      answers; `columns` maps our names to the file's, ``{"question": "text", "answers": "label"}``
    - ``hub:org/name`` (``#config``, ``@revision``), a data set on the Hugging Face hub, with
      `columns` likewise

    A file without splits is divided by a hash of each example's group or id into train,
    validation and test of `shares` (60, 15 and 25 %); see `split_examples`. A hub data set keeps
    its splits; its validation split is the test where it has no other, and one that has train
    only is divided like a file.

    Raises `TaskError` that names file and line, up to 20 faults at once.
    """
    if isinstance(where, str):
        builtin = builtin_tasks()
        if where in builtin:
            _no_columns(columns, where)
            return load_folder(builtin[where])
        if where.startswith(PREFIX):
            return _from_hub(where, columns, shares)
    path = Path(where).expanduser()
    if path.name == MANIFEST and path.is_file():
        path = path.parent
    if path.is_dir():
        _no_columns(columns, path)
        return load_folder(path)
    if not path.exists():
        raise TaskError(
            f"{where}: no built-in task of that name, and no such file or folder"
            + did_you_mean(str(where), builtin_tasks())
        )
    suffix = path.suffix.lower()
    faults = Faults()
    reader = ExampleReader(faults)
    if suffix == ".json":
        _no_columns(columns, path)
        table = read_squad(path, reader)
    elif suffix in TABLES:
        table = read_table(path, reader, columns)
    else:
        raise TaskError(
            f"{path}: a task is a folder with a {MANIFEST}, a SQuAD file (.json) or a table "
            f"({', '.join(TABLES)})"
        )
    faults.check()
    return _task(path.stem, path, split_examples(table.examples, shares), table.documents)


def _from_hub(address: str, columns: Mapping[str, str] | None, shares: Sequence[float]) -> Task:
    check_columns(columns)
    faults = Faults()
    name, tables = read_hub(address, ExampleReader(faults), columns)
    faults.check()
    documents: dict[str, Document] = {}
    for table in tables.values():
        documents |= table.documents
    if "test" not in tables and "validation" in tables:
        tables["test"] = tables.pop("validation")
    if "test" in tables:
        splits: Mapping[Split, tuple[Example, ...]] = {
            split: tuple(table.examples) for split, table in tables.items()
        }
    else:
        splits = split_examples(tables.get("train", Table()).examples, shares)
    return _task(name, address, splits, documents)


def _task(
    name: str,
    where: str | Path,
    splits: Mapping[Split, tuple[Example, ...]],
    documents: Mapping[str, Document],
) -> Task:
    if not splits.get("test"):
        raise TaskError(f"{where}: no test questions; a task needs at least one")
    return Task(
        name=name,
        train=splits.get("train", ()),
        validation=splits.get("validation", ()),
        test=splits["test"],
        documents=tuple(documents.values()),
    )


def _no_columns(columns: Mapping[str, str] | None, where: str | Path) -> None:
    if columns:
        raise TaskError(
            f"{where}: a column mapping is for tables ({', '.join(TABLES)}, hub:); "
            "this task has no columns"
        )
