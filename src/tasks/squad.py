"""SQuAD v1.1 and 2.0 JSON files: paragraphs become documents, questions Examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import StorageError, TaskError
from ..files import read_text
from .examples import UNANSWERABLE, ExampleReader
from .faults import kind_of
from .tables import Table
from .task import Document


def read_squad(path: Path, reader: ExampleReader) -> Table:
    """The questions of a SQuAD file with their paragraphs as documents and as evidence.

    A paragraph's id is its article's title and its number there (``Oxygen/3``). Questions marked
    ``is_impossible`` (2.0) get the kind "unanswerable" and the refusal as their answer. Faults
    inside are noted with their place (``data[0].paragraphs[2]``).
    Raises `TaskError` where the file is not JSON or not SQuAD.
    """
    try:
        content = json.loads(read_text(path))
    except StorageError as error:
        raise TaskError(str(error)) from error
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg})") from error
    except RecursionError as error:
        raise TaskError(f"{path}: nested too deeply to be read") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("data"), list):
        raise TaskError(
            f"{path}: a .json file is read as SQuAD, an object with a list under data; "
            "rows of questions go in a .jsonl or .csv file"
        )
    table = Table()
    for number, article in enumerate(content["data"]):
        place = f"{path}: data[{number}]"
        title = article.get("title") if isinstance(article, Mapping) else None
        title = title if isinstance(title, str) and title.strip() else f"Article {number + 1}"
        for at, paragraph in enumerate(_list(reader, article, "paragraphs", place)):
            where = f"{place}.paragraphs[{at}]"
            _paragraph(reader, table, paragraph, where, title.replace("_", " ").strip(), at + 1)
    return table


def _paragraph(
    reader: ExampleReader, table: Table, paragraph: Any, place: str, title: str, number: int
) -> None:
    questions = _list(reader, paragraph, "qas", place)
    if not isinstance(paragraph, Mapping):
        return
    text = paragraph.get("context")
    if not isinstance(text, str) or not text.strip():
        reader.faults.add(f"{place}: context must be text, not {kind_of(text)}")
        return
    slug = re.sub(r"[^\w.-]+", "-", title).strip("-")
    name = f"{slug}/{number}"
    while name in table.documents:  # two articles of one title
        name += "+"
    table.documents[name] = Document(id=name, text=text.strip(), title=title)
    for at, asked in enumerate(questions):
        where = f"{place}.qas[{at}]"
        answers = [
            answer.get("text") if isinstance(answer, Mapping) else answer
            for answer in _list(reader, asked, "answers", where)
        ]
        if not isinstance(asked, Mapping):
            continue
        row: dict[str, Any] = {
            "id": asked.get("id"),
            "question": asked.get("question"),
            "answers": answers,
            "evidence": [name],
        }
        if asked.get("is_impossible") is True:
            # 2.0 may list "plausible" answers elsewhere; the right one is to refuse.
            row |= {"answers": [], "kind": UNANSWERABLE}
        example = reader.read(row, where)
        if example is not None:
            table.examples.append(example)


def _list(reader: ExampleReader, holder: Any, key: str, place: str) -> list[Any]:
    if not isinstance(holder, Mapping):
        reader.faults.add(f"{place}: an object with {key} is expected, not {kind_of(holder)}")
        return []
    found = holder.get(key)
    if not isinstance(found, list):
        reader.faults.add(f"{place}: {key} must be a list, not {kind_of(found)}")
        return []
    return found
