"""Rows of CSV files, JSON-lines files and data sets on the hub, read as Examples."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StorageError, TaskError, did_you_mean
from ..files import read_text
from ..values import digest
from .chats import read_examples
from .examples import FIELDS, FORMS, UNANSWERABLE, ExampleReader
from .faults import Faults
from .task import Document, Example

COLUMNS = (*FIELDS, *FORMS, "context")
"""What a column of a table can be mapped to; `context` is the passage a question is about."""
_FORMS = (("question", "answers"), ("messages",), ("prompt", "completion"))
LISTS = ("answers", "tags", "evidence")
SEPARATOR = "|"
"""Between several answers, tags or documents in one CSV cell."""


@dataclass
class Table:
    """Examples read from rows, and the documents made of their contexts, by id."""

    examples: list[Example] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)


def read_json_rows(path: Path, faults: Faults) -> Iterator[tuple[str, Any]]:
    """(``file:line``, row) of a JSON-lines file; blank lines are passed over, broken lines noted.

    Raises `TaskError` where the file is missing or not text.
    """
    # Only \n ends a row: str.splitlines would also cut at U+2028 inside a JSON string.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except json.JSONDecodeError as error:
                faults.add(
                    f"{path}:{number}: not a JSON object a line ({error.msg} at column "
                    f"{error.colno})"
                )
            except RecursionError:
                faults.add(f"{path}:{number}: nested too deeply to be read")


def read_csv_rows(
    path: Path, faults: Faults, *, comments: bool = False, header_such_as: str = "question,answer"
) -> Iterator[tuple[str, dict[str, str]]]:
    """(``file:line``, row by column name) of a CSV file with a header, cells empty or not.

    The separator is the one of ``,``, ``;`` and tab that the header has most of. With `comments`,
    rows whose first cell opens with ``#`` are passed over. Raises `TaskError` where the file is
    missing, has no header or is not CSV.
    """
    text = _text(path)
    header_line = next((line for line in text.split("\n") if line.strip()), "")
    separator = max((",", ";", "\t"), key=header_line.count)
    rows = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    header: list[str] = []
    last = 0
    try:
        for cells in rows:
            place, last = f"{path}:{last + 1}", rows.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                twice = sorted({name for name in header if name and header.count(name) > 1})
                if twice:
                    raise TaskError(f'{place}: the column "{twice[0]}" stands twice in the header')
            elif comments and cells[0].lstrip().startswith("#"):
                continue
            elif len(cells) != len(header):
                faults.add(
                    f"{place}: {len(cells)} cells where the header has {len(header)}; "
                    f'put text that contains "{separator}" in double quotes'
                )
            else:
                yield place, {name: cell for name, cell in zip(header, cells, strict=True) if name}
    except csv.Error as error:
        raise TaskError(f"{path}:{rows.line_num}: not CSV ({error})") from error
    if not header:
        raise TaskError(f"{path}: the file is empty; a header such as {header_such_as} is expected")


def read_table(
    path: Path, reader: ExampleReader, columns: Mapping[str, str] | None = None
) -> Table:
    """Examples of a ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file.

    `columns` names the file's columns by ours: ``{"question": "text", "answers": "category"}``;
    other columns are then passed over. Without it the file has our names (``answer`` is taken for
    ``answers``), several answers, tags or documents in a CSV cell stand between ``|``, and rows
    that open with ``#`` are comments. Faults are noted in the reader's `faults`.
    """
    is_csv = path.suffix.lower() in (".csv", ".tsv")
    rows: Iterable[tuple[str, Any]]
    if is_csv:
        rows = read_csv_rows(path, reader.faults, comments=columns is None)
    else:
        rows = read_json_rows(path, reader.faults)
    strict = not is_csv and columns is None
    return read_rows(rows, reader, columns, where=str(path), strict=strict, separated=is_csv)


def read_rows(
    rows: Iterable[tuple[str, Any]],
    reader: ExampleReader,
    columns: Mapping[str, str] | None,
    *,
    where: str,
    strict: bool = False,
    separated: bool = False,
) -> Table:
    """Examples of placed rows; `strict` refuses columns that are not ours, `separated` cuts cells
    at ``|``. Raises `TaskError` where a mapped or needed column is not there at all."""
    mapping = check_columns(columns)
    table = Table()
    checked = False
    for place, row in rows:
        if not isinstance(row, Mapping):
            reader.read(row, place)
            continue
        if not checked and not strict:
            mapping = _resolve(mapping, row, where)
            checked = True
        ours = dict(row) if strict else {key: row.get(name) for key, name in mapping.items()}
        if strict and "answer" in ours and "answers" not in ours:
            ours["answers"] = ours.pop("answer")
        if not strict:
            ours = {key: value if key in FORMS else _plain(value) for key, value in ours.items()}
        if separated:
            for key in LISTS:
                # With a mapping the file is somebody else's: its answers are taken whole.
                if isinstance(ours.get(key), str) and (columns is None or key != "answers"):
                    pieces = str(ours[key]).split(SEPARATOR)
                    ours[key] = [piece for piece in pieces if piece.strip()]
        context = ours.pop("context", None)
        if isinstance(context, str) and context.strip():
            document = Document(id=f"context-{digest(context.strip())}", text=context.strip())
            table.documents[document.id] = document
            ours.setdefault("evidence", None)
            ours["evidence"] = [*(ours["evidence"] or ()), document.id]
            if ours.get("answers") == [] and ours.get("kind") is None:
                ours["kind"] = UNANSWERABLE
        table.examples += read_examples(ours, place, reader)
    return table


def check_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """A column mapping with ``answer`` written ``answers``; unknown names are refused."""
    checked: dict[str, str] = {}
    for key, name in (columns or {}).items():
        ours = "answers" if key == "answer" else key
        if ours not in COLUMNS:
            raise TaskError(f'columns: "{key}" is nothing a task has{did_you_mean(key, COLUMNS)}')
        checked[ours] = name
    return checked


def _resolve(mapping: dict[str, str], row: Mapping[str, Any], where: str) -> dict[str, str]:
    """The mapping, or by default our own names; every column in it stands in the first row."""
    if not mapping:
        mapping = {key: key for key in COLUMNS if key in row}
        if "answer" in row and "answers" not in row:
            mapping["answers"] = "answer"
        # Data sets hold their rows in several forms at once; the first of these is read.
        form = next((form for form in _FORMS if all(key in mapping for key in form)), ())
        if form:
            others = {key for other in _FORMS for key in other} - {*form}
            mapping = {key: name for key, name in mapping.items() if key not in others}
    for key, name in mapping.items():
        if name not in row:
            raise TaskError(f'{where}: no column "{name}" for {key}{did_you_mean(name, row)}')
    for key in ("question", "answers") if not any(key in mapping for key in FORMS) else ():
        if key not in mapping:
            raise TaskError(
                f"{where}: which column holds {key}? There are {', '.join(map(str, row))}; say it "
                f"with a column mapping such as {{{key}: {next(iter(row), 'text')}}}"
            )
    return mapping


def _plain(value: Any) -> Any:
    """Cells of foreign tables: numbers as text, SQuAD's answer objects as lists, "" as absent."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
        return [value] if isinstance(value, str) else list(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except StorageError as error:
        raise TaskError(str(error)) from error
