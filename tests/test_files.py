"""Files are written whole or not at all, and faults of a disk become sentences."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path
from typing import NoReturn

import pytest

from wattune.errors import StorageError
from wattune.files import (
    FORMULA,
    cache_folder,
    csv_text,
    folder_bytes,
    read_json_lines,
    read_text,
    shipped_folder,
    storage,
    unquoted,
    write_json,
    write_json_lines,
    write_text,
)


def raising(code: int) -> object:
    """A function that raises the OSError of `code` whatever it is given."""

    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    path = tmp_path / "out" / "a.json"
    write_json(path, {"old": True})
    monkeypatch.setattr(os, step, raising(code))
    with pytest.raises(StorageError, match=r"the disk is full: .*a\.json was not written"):
        write_json(path, {"new": True})
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]
    assert read_text(path) == '{\n  "old": true\n}\n'


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", raising(code))
        with pytest.raises(StorageError, match=r"x\.txt cannot be written .*choose another place"):
            write_text(tmp_path / "x.txt", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions by umask are POSIX")
def test_files_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "x.txt", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o644


def test_an_interrupt_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_json_lines(path, [{"a": "one\u2028two"}, {"b": "é"}])
    assert path.read_bytes().count(b"\n") == 2
    assert read_json_lines(path) == [(1, {"a": "one\u2028two"}), (2, {"b": "é"})]
    path.write_text('{"a": 1}\n\n{"b": \n', encoding="utf-8")
    with pytest.raises(StorageError, match=r"rows\.jsonl:3: not a JSON object a line"):
        read_json_lines(path)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file"):
        read_text(tmp_path / "none")
    with pytest.raises(StorageError, match="is a folder"):
        read_text(tmp_path)
    (tmp_path / "latin").write_bytes("café".encode("latin-1"))
    with pytest.raises(StorageError, match=r"not UTF-8 text \(byte 3\)"):
        read_text(tmp_path / "latin")


def test_the_cache_goes_where_the_variable_says(cache: Path) -> None:
    assert cache_folder() == cache


def test_folders_are_measured_and_recipes_are_found(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "12345")
    write_text(tmp_path / "c.txt", "1")
    assert folder_bytes(tmp_path) == 6
    assert (shipped_folder() / "quickstart.yaml").is_file()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_under_safetensors_is_told_too(tmp_path: Path, code: int) -> None:
    from safetensors import SafetensorError

    with pytest.raises(StorageError, match="the disk is full"), storage(tmp_path):
        raise SafetensorError(f"Error while serializing: I/O error: ... (os error {code})")
    with pytest.raises(SafetensorError), storage(tmp_path):
        raise SafetensorError("Error while serializing: something else")


def test_csv_has_no_cell_that_a_spreadsheet_would_run() -> None:
    texts = [
        "=1+1",
        "+1",
        "-0.5",
        "@SUM(A1)",
        "\t=1",
        "a\r=1",
        "\r\n=1",
        "\n=1",
        "'=1",
        "'tis",
        "a=b",
        "",
    ]
    text = csv_text(["=name", "value"], [{"=name": one, "value": -0.5} for one in texts])
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["'=name", "value"]
    assert not [row for row in rows if row[0].startswith(FORMULA)]
    plain = [one.replace("\r\n", "\n").replace("\r", "\n") for one in texts]
    assert [unquoted(row[0]) for row in rows] == plain
    assert {row[1] for row in rows} == {"-0.5"}  # a number stays one
    assert csv_text(["a", "b", "c"], [{"a": None, "b": "x"}]) == "a,b,c\n,x,\n"
