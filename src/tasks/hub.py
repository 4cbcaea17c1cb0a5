"""Data sets on the Hugging Face hub, read through `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import TaskError
from .examples import ExampleReader
from .tables import Table, read_rows
from .task import Split

PREFIX = "hub:"
_ADDRESS = re.compile(
    r"hub:(?P<name>[\w.-]+(/[\w.-]+)?)(#(?P<config>[\w.-]+))?(@(?P<rev>[\w./-]+))?"
)
_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}


def read_hub(
    address: str, reader: ExampleReader, columns: Mapping[str, str] | None
) -> tuple[str, dict[Split, Table]]:
    """The name and the splits of ``hub:org/name``, ``#config`` and ``@revision`` if wanted.

    Labels that are classes are read as the classes' names. Raises `TaskError` where the address
    is malformed or the data set cannot be had (no network, no such name).
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise TaskError(
            f"{address}: an address on the hub is written hub:org/name, with #config and "
            "@revision where needed"
        )
    import datasets  # type: ignore[import-untyped]

    try:
        loaded = datasets.load_dataset(match["name"], match["config"], revision=match["rev"])
    except Exception as error:  # what is raised differs with each way the network can fail
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TaskError(
            f"{address} cannot be loaded: {reason}; check the name and the network, or export the "
            "data set to a CSV file and give its path"
        ) from error
    tables: dict[Split, Table] = {}
    for split, rows in loaded.items():
        ours = _NAMES.get(str(split))
        if ours is not None and ours not in tables:
            tables[ours] = read_rows(
                _placed(rows, f"{address} {split}"), reader, columns, where=address
            )
    if not tables:
        raise TaskError(
            f"{address}: a split named train, validation or test is needed; there are "
            f"{', '.join(map(str, loaded))}"
        )
    return match["name"], tables


def _placed(rows: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    names = {
        column: feature.names
        for column, feature in rows.features.items()
        if hasattr(feature, "names") and hasattr(feature, "int2str")
    }
    for number, row in enumerate(rows, start=1):
        for column, classes in names.items():
            label = row[column]
            # -1 stands for "not told" in test splits without labels.
            row[column] = classes[label] if label is not None and label >= 0 else None
        yield f"{where} row {number}", row
