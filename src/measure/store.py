"""Records on disk: `<name>-<key>.json` beside `<name>-<key>.answers.jsonl`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ..errors import InputError, StorageError
from ..files import read_json_lines, read_text, write_json, write_json_lines
from .migrate import migrate
from .record import Record, ScoredAnswer

KEY_DIGITS = 8
ANSWERS = ".answers.jsonl"
_NAME = re.compile(r"[^\x00-\x1f/\\:*?\"<>|]{1,120}")


def record_path(folder: Path, name: str, key: str) -> Path:
    """Where the record of a run lies. Raises `InputError` for a name no file can carry."""
    if not _NAME.fullmatch(name) or name[0] in ". " or name[-1] in ". ":
        raise InputError(
            f'run name "{name}" cannot be a file name; use up to 120 letters, digits, "-", "_" '
            'and "."'
        )
    return folder / f"{name}-{key[:KEY_DIGITS]}.json"


def write_record(folder: Path, record: Record, answers: Sequence[ScoredAnswer]) -> Path:
    """Write the answers, then the record: where a record lies, its run is complete.

    Returns the record's path. Raises `StorageError` where the folder cannot be written.
    """
    path = record_path(folder, record.name, record.key)
    write_json_lines(answers_path(path), (answer.plain() for answer in answers))
    write_json(path, record.plain())
    return path


def answers_path(record_file: Path) -> Path:
    """The answers file beside a record file."""
    return record_file.with_name(record_file.name.removesuffix(".json") + ANSWERS)


def find_record(folder: Path, name: str, key: str) -> Record | None:
    """The finished record of a run that was made before, or None."""
    path = record_path(folder, name, key)
    if not path.is_file():
        return None
    record = _read(path, required=True)
    # The file name holds eight digits of the key; the record holds all of them.
    return record if record and record.key == key and record.status == "done" else None


def load_records(path: Path | str) -> list[Record]:
    """All records under a folder (in order of their paths), or the one in a file.

    Other JSON files in a folder are passed over. Raises `StorageError` naming the file that is
    damaged, or that a newer wattune has written. Records of older schemas are migrated in memory
    (see `migrate`); their files stay as they are.
    """
    return [record for _, record in record_files(path)]


def record_files(path: Path | str) -> list[tuple[Path, Record]]:
    """What `load_records` gives, each record with the file it lies in."""
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.json") if not file.name.startswith("."))
    else:
        files = [path]
    records = ((file, _read(file, required=not path.is_dir())) for file in files)
    return [(file, record) for file, record in records if record is not None]


def load_answers(place: Path | str, record: Record) -> list[ScoredAnswer]:
    """The answers of a record; `place` is the folder it lies in, or its file."""
    place = Path(place)
    file = record_path(place, record.name, record.key) if place.is_dir() else place
    path = answers_path(file)
    answers: list[ScoredAnswer] = []
    for number, row in read_json_lines(path):
        try:
            answers.append(ScoredAnswer.model_validate(row))
        except ValidationError as error:
            raise StorageError(f"{path}:{number}: not an answer ({_first(error)})") from error
    return answers


def _read(path: Path, *, required: bool) -> Record | None:
    """The record in a file; None for other JSON, which is an error where a record is required.

    A file is taken for a record, damaged or not, by the fields only a record has, or, where it is
    not JSON at all, by the answers file beside it.
    """
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        if path.suffix != ".json":
            raise StorageError(f"{path} is no record; give a folder of records") from error
        if not required and not answers_path(path).is_file():
            return None
        raise StorageError(
            f"{path}:{error.lineno}: the record is damaged ({error.msg}); delete it and run again"
        ) from error
    if not (isinstance(content, dict) and {"schema_version", "name", "key"} <= content.keys()):
        if required or answers_path(path).is_file():
            raise StorageError(f"{path}: not a record; a file written by a run is expected")
        return None
    try:
        return Record.model_validate(migrate(content))
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from error
    except ValidationError as error:
        raise StorageError(
            f"{path}: the record is damaged ({_first(error)}); delete it and run again"
        ) from error


def _first(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
