"""Scores that others published, from a CSV: model,benchmark,metric,score,source,url,date."""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError, did_you_mean
from ..files import read_text
from .model_facts import PublishedScore

NEEDED = ("model", "benchmark", "metric", "score", "source")
COLUMNS = (*NEEDED, "url", "date")


def read_published(path: Path) -> tuple[PublishedScore, ...]:
    """The scores of a CSV with a header; `url` and `date` may be left out or empty.

    Raises `InputError` with every fault and its line, `StorageError` where the file cannot be read.
    """
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    faults: list[str] = []
    scores: dict[tuple[str, ...], PublishedScore] = {}
    try:
        header = [str(name).strip() for name in rows.fieldnames or ()]
        faults += [f"{path}:1: {fault}" for fault in _header_faults(header)]
        rows.fieldnames = header
        for row in () if faults else rows:
            found = list(_faults(row))
            faults += [f"{path}:{rows.line_num}: {fault}" for fault in found]
            if found:
                continue
            cells = {name: row[name].strip() for name in header}
            score = PublishedScore.model_validate({**cells, "score": float(cells["score"])})
            name = (score.model, score.benchmark, score.metric, score.source)
            if name in scores:
                faults.append(f"{path}:{rows.line_num}: {', '.join(name)} stands there twice")
            scores[name] = score
    except csv.Error as error:
        faults.append(f"{path}:{rows.line_num}: no CSV ({error})")
    if faults:
        raise InputError("\n".join(faults))
    if not scores:
        raise InputError(f"{path}: no scores below the header {','.join(COLUMNS)}")
    return tuple(scores.values())


def _header_faults(header: list[str]) -> Iterator[str]:
    if not header:
        yield f"the header is missing; it reads {','.join(COLUMNS)}"
        return
    for name in header:
        if name not in COLUMNS:
            yield f'unknown column "{name}"' + did_you_mean(name, COLUMNS)
    for name in NEEDED:
        if name not in header:
            yield f'the column "{name}" is missing'
    if len(set(header)) < len(header):
        yield "a column stands there twice"


def _faults(row: dict[str, str]) -> Iterator[str]:
    """What is wrong with one row."""
    if None in row:  # where DictReader puts what is beyond the header
        yield "more cells than columns; a comma within a text needs quotes around the text"
        return
    missing = [name for name in NEEDED if not (row.get(name) or "").strip()]
    if missing or None in row.values():
        yield f"{' and '.join(missing) or 'a cell at the end'} is missing"
        return
    try:
        finite = math.isfinite(float(row["score"]))
    except ValueError:
        finite = False
    if not finite:
        yield f'score takes a number, not "{row["score"]:.40}"'
    if row.get("date", "").strip():
        try:
            datetime.date.fromisoformat(row["date"].strip())
        except ValueError:
            yield f'date takes one such as 2025-02-28, not "{row["date"]:.40}"'
    url = row.get("url", "").strip()
    if url and not url.startswith(("https://", "http://")):
        yield f'url begins with https://, and this one is "{url:.40}"'
