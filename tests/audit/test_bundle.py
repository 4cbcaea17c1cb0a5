"""Bundles: made alike, read with suspicion, and nothing left behind where one is refused."""

from __future__ import annotations

import hashlib
import json
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.audit import bundle as room
from wattune.audit.bundle import MANIFEST, Manifest, extract, write_bundle
from wattune.errors import InputError, StorageError

FILES = {"recipe.yaml": b"name: it\n", "task/a b.md": b"# Page\n" * 500, "task/\xe4.txt": b""}
ABOUT = Manifest(kind="recipe", name="it", wattune="0.1.0")


def nothing(manifest: Manifest, folder: Path) -> None:
    """A check that finds all well."""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made.zip"
    write_bundle(path, ABOUT, FILES)
    return path


def forged(
    path: Path,
    files: dict[str, bytes],
    *,
    told: dict[str, bytes] | None = None,
    entry: Callable[[zipfile.ZipInfo], None] = lambda info: None,
    **changes: Any,
) -> Path:
    """An archive as a stranger could make it; `told` is what its manifest says of the files."""
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (files if told is None else told).items()
    }
    about = {**ABOUT.plain(), "files": listed, **changes}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(about))
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            entry(info)
            archive.writestr(info, content)
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_went_in_comes_out(tmp_path: Path, made: Path) -> None:
    manifest = extract(made, tmp_path / "there", nothing)
    found = {
        path.relative_to(tmp_path / "there").as_posix(): path.read_bytes()
        for path in (tmp_path / "there").rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert (manifest.name, manifest.kind, set(manifest.files)) == ("it", "recipe", set(FILES))
    assert left(tmp_path) == {"made.zip", "there"}


def test_equal_content_gives_an_equal_archive(tmp_path: Path, made: Path) -> None:
    other = tmp_path / "other.zip"
    write_bundle(other, ABOUT, dict(reversed(FILES.items())))
    assert other.read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../out", "a/../../out", "/etc/out", "a//b", "./a", "a/./b", "..", "C:out", "a\\..\\out",
        ".hidden", "a/.ssh/key", "con", "a/NUL.txt", "end.", "end ", "new\nline", "bell\x07",
        "x" * 201, "/".join(["d" * 100] * 5), "a?", 'q"',
    ],
)  # fmt: skip
def test_names_stay_within_the_folder(tmp_path: Path, name: str) -> None:
    path = forged(tmp_path / "bad.zip", {name: b"x"})
    with pytest.raises(StorageError):
        extract(path, tmp_path / "there", nothing)
    assert left(tmp_path) == {"bad.zip"}
    assert not (tmp_path.parent / "out").exists()
    with pytest.raises(InputError, match=r"to be packed .* file name"):
        write_bundle(tmp_path / "own.zip", ABOUT, {name: b"x"})


def as_link(info: zipfile.ZipInfo) -> None:
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize(
    ("forgery", "sentence"),
    [
        ({"files": {"a": b"/etc/passwd"}, "entry": as_link}, "plain files"),
        ({"files": {"a/": b""}}, "plain files"),
        ({"files": {"a": b"x"}, "told": {"a": b"y"}}, "damaged or was changed"),
        ({"files": {"a": b"xx"}, "told": {"a": b"y"}}, "damaged or was changed"),
        ({"files": {"a": b"x"}, "told": {}}, "not in both"),
        ({"files": {}, "told": {"a": b"x"}}, "not in both"),
        ({"files": {"A": b"x", "a": b"y"}}, "one file on some systems"),
        ({"files": {"\u00e4": b"x", "a\u0308": b"y"}}, "one file on some systems"),
        ({"files": {"a": b"x", "a/b": b"y"}}, "lies in what is a file"),
        ({"files": {"a": b"x"}, "schema_version": 2}, "update wattune"),
        ({"files": {"a": b"x"}, "kind": "code"}, "no manifest of a bundle"),
        ({"files": {"a": b"x"}, "surprise": 1}, "no manifest of a bundle"),
        ({"files": {"a": b"x"}, "name": "red \x1b[31m"}, "no manifest of a bundle"),
    ],
)
def test_a_forged_archive_is_refused(
    tmp_path: Path, forgery: dict[str, Any], sentence: str
) -> None:
    path = forged(tmp_path / "bad.zip", **forgery)
    with pytest.raises(StorageError, match=sentence):
        extract(path, tmp_path / "there", nothing)
    assert left(tmp_path) == {"bad.zip"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path: Path, made: Path) -> None:
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("recipe.yaml", "name: other")
    with pytest.raises(StorageError, match="two files of one name"):
        extract(made, tmp_path / "there", nothing)


def test_a_bomb_is_not_unpacked(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = forged(tmp_path / "bomb.zip", {"a": bytes(10_000_000)})
    assert bomb.stat().st_size < 20_000
    monkeypatch.setattr(room, "MOST_BYTES", 1_000_000)
    with pytest.raises(StorageError, match="holds at most"):
        extract(bomb, tmp_path / "there", nothing)
    # What an archive says of its sizes is not believed either.
    patched = bytearray(bomb.read_bytes())
    size = (10_000_000).to_bytes(4, "little")
    assert patched.count(size) == 2
    bomb.write_bytes(bytes(patched).replace(size, (10).to_bytes(4, "little")))
    with zipfile.ZipFile(bomb) as archive:
        about = json.loads(archive.read(MANIFEST))
    about["files"]["a"]["bytes"] = 10
    lying = tmp_path / "lying.zip"
    with zipfile.ZipFile(lying, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(about))
        info = zipfile.ZipInfo("a")
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, bytes(10_000_000))
    lying.write_bytes(lying.read_bytes().replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(StorageError):
        extract(lying, tmp_path / "there", nothing)
    monkeypatch.setattr(room, "MOST_FILES", 2)
    with pytest.raises(StorageError, match="holds at most"):
        extract(made, tmp_path / "there", nothing)
    assert "there" not in left(tmp_path)


def test_no_flipped_byte_passes_for_the_content(tmp_path: Path, made: Path) -> None:
    draw = random.Random(0)
    whole = made.read_bytes()
    refused = 0
    for number in range(300):
        broken = bytearray(whole)
        broken[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        made.write_bytes(bytes(broken[: draw.randrange(len(whole))] if number % 5 == 0 else broken))
        there = tmp_path / f"there-{number}"
        try:
            extract(made, there, nothing)
        except StorageError:
            refused += 1
            assert not there.exists()
            continue
        for name, content in FILES.items():  # a byte that means nothing, such as a time
            assert (there / name).read_bytes() == content
    assert refused > 150


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "it.zip"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"no bundle|there is no bundle\.json"):
        extract(path, tmp_path / "there", nothing)
    with pytest.raises(InputError, match="there is no such file"):
        extract(tmp_path / "nowhere.zip", tmp_path / "there", nothing)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, made: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    extract(made, there, nothing)
    with pytest.raises(InputError, match="new or empty"):
        extract(made, there, nothing)
    with pytest.raises(InputError, match="new or empty"):
        extract(made, made, nothing)


def test_what_a_check_refuses_is_not_put_into_place(tmp_path: Path, made: Path) -> None:
    def refuse(manifest: Manifest, folder: Path) -> None:
        assert (folder / "recipe.yaml").is_file()
        raise StorageError("no")

    with pytest.raises(StorageError, match="no"):
        extract(made, tmp_path / "there", refuse)
    assert left(tmp_path) == {"made.zip"}


def test_a_bundle_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_bundle(tmp_path / "it.zip", ABOUT, {"a": tmp_path / "gone"})
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "it.zip", ABOUT, FILES)
    assert left(tmp_path) == {"file"}
