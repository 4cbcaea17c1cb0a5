"""Documents of a JSON-lines file, in our keys or in those of LangChain's Document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import did_you_mean
from .document_formats import note_left_out
from .faults import Faults, kind_of
from .front_matter import plain_metadata
from .headings import LONGEST_TITLE, first_title
from .tables import read_json_rows
from .task import Document

KEYS = ("id", "text", "title", "metadata", "page_content", "type")
"""`page_content` is LangChain's `text`; `type` is what LangChain writes beside and says nothing."""


def read_document_rows(path: Path, name: str, faults: Faults) -> Iterator[tuple[str, Document]]:
    """(``file:line``, Document) of each row; faults are noted.

    Only the text is required. A row without an id is called by the file and its line
    (``name/12``); one without a title by its first level-1 heading, if it has one.
    """
    left: dict[str, None] = {}
    for place, row in read_json_rows(path, faults):
        if not isinstance(row, Mapping):
            faults.add(f"{place}: an object with text is expected, not {kind_of(row)}")
            continue
        before = len(faults)
        for key in row:
            if key not in KEYS:
                hint = did_you_mean(str(key), KEYS[:4])
                faults.add(
                    f'{place}: unknown key "{key}" of a document{hint}; what is told about a '
                    "document stands under metadata"
                )
        text = _text(row, "page_content" if "page_content" in row else "text", place, faults)
        own = row.get("id")
        number = own if isinstance(own, int) and not isinstance(own, bool) else None
        own = str(number) if number is not None else _text(row, "id", place, faults, short=True)
        title = _text(row, "title", place, faults, short=True)
        told = row.get("metadata") or {}
        if not isinstance(told, Mapping):
            faults.add(f"{place}: metadata must be an object, not {kind_of(told)}")
        elif text is None and len(faults) == before:
            faults.add(f"{place}: text is missing")
        elif text is not None and len(faults) == before:
            metadata, dropped = plain_metadata((str(key), value) for key, value in told.items())
            left.update(dict.fromkeys(dropped))
            yield (
                place,
                Document(
                    id=own or f"{name}/{place.rpartition(':')[2]}",
                    text=text.strip(),
                    title=title or first_title(text),
                    metadata=metadata,
                ),
            )
    note_left_out(path, list(left), faults)


def _text(
    row: Mapping[Any, Any], key: str, place: str, faults: Faults, *, short: bool = False
) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        faults.add(f"{place}: {key} must be text, not {kind_of(value)}")
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        faults.add(f"{place}: {key} holds half of a character (a lone surrogate such as \\ud800)")
        return None
    if short and len(value) > LONGEST_TITLE:
        faults.add(f"{place}: {key} of {len(value):,} characters; at most {LONGEST_TITLE:,}")
        return None
    return value.strip() if short else value
