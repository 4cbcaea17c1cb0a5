"""Writing a report to a file, in the format that its ending names."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..files import write_bytes
from .contents import Report
from .page import to_html
from .texts import to_csv, to_json, to_markdown

FORMATS = {".html": to_html, ".md": to_markdown, ".csv": to_csv, ".json": to_json}


def check_ending(path: Path) -> str:
    """The ending of a report's file; `InputError` for one that names no format."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{path}: the ending says the format; {', '.join(FORMATS)}")
    return ending


def write_report(report: Report, path: Path | str) -> None:
    """Write a report as .html, .md, .csv or .json, whole or not at all.

    Raises `InputError` for another ending and `CannotRun` where a page is asked for and the
    plotting library is missing.
    """
    path = Path(path)
    text = FORMATS[check_ending(path)](report)
    write_bytes(path, text.encode("utf-8"))  # as it is: the page holds the hashes of its scripts
