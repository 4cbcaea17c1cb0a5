"""Files written beside and renamed, so that none is ever half-written; and where the cache lies."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import StorageError

CACHE_VARIABLE = "WATTUNE_CACHE"


def cache_folder() -> Path:
    """The folder of models and prepared stages: ``$WATTUNE_CACHE`` or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("wattune"))


UNWRITABLE = (
    errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR,
    errno.EEXIST, errno.ENAMETOOLONG,
)  # fmt: skip


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a sentence."""
    try:
        yield
    except Exception as error:
        if _is_full(error):
            raise StorageError(
                f"the disk is full: {path} was not written; free some space "
                "(`wattune cache prune` removes prepared weights and keeps their bills) "
                "and run again, finished work is kept"
            ) from error
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); choose another place"
            ) from error
        raise


def _is_full(error: Exception) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError):
        return error.errno in full
    # safetensors writes in Rust and raises an exception of its own, with Rust's wording.
    return any(f"(os error {code})" in str(error) for code in full)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8, LF), whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, flush it to disk and rename it into place."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        # Not mkstemp, whose files are its owner's alone: results are there to be read by others.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(beside, flags, 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


LEFT_OVER_S = 600.0
"""A file beside its place that is older than this is of a process that was killed."""


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written under `folder`, beside its place."""
    for path in folder.rglob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_OVER_S:
                path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for a formula, when a cell of text begins with it: OWASP, "CSV
Injection"."""
_QUOTE = "'"


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows under a header as CSV (comma, LF), empty where a row has nothing or None; names and
    other texts are `harmless`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), restval="", lineterminator="\n")
    writer.writerow({name: harmless(name) for name in writer.fieldnames})
    writer.writerows({name: harmless(cell) for name, cell in row.items()} for row in rows)
    return out.getvalue()


def harmless(cell: Any) -> Any:
    """The cell; text that a spreadsheet would run has an apostrophe before it. So has such text
    that begins with apostrophes: `unquoted` gives back each text as it was, but for its ends of
    lines, which are LF (a CR would end the row, for csv does not quote it)."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"{_QUOTE}{text}" if _is_run(text) else text


def unquoted(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[1:] if cell.startswith(_QUOTE) and _is_run(cell) else cell


def _is_run(cell: str) -> bool:
    return cell.lstrip(_QUOTE).startswith(FORMULA)


def read_json_lines(path: Path) -> list[tuple[int, Any]]:
    """Rows of a JSON-lines file with their line numbers (from 1); blank lines are passed over.

    Raises `StorageError` naming the line that is not JSON.
    """
    rows: list[tuple[int, Any]] = []
    # Only \n ends a row: str.splitlines would also cut at U+2028 inside a JSON string.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                rows.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise StorageError(
                    f"{path}:{number}: not a JSON object a line ({error.msg} at column "
                    f"{error.colno})"
                ) from error
    return rows


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or a `StorageError` that says what is wrong with it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise StorageError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise StorageError(f"{path} is a folder; a file is expected here") from error
    except UnicodeDecodeError as error:
        raise StorageError(
            f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8"
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def shipped_folder() -> Path:
    """The folder of the recipes and the built-in task: in a wheel inside the package, in a
    checkout beside it."""
    package = Path(__file__).parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"
