"""Bundle: a zip of plain files with a manifest of their digests, read as if a stranger had made it.

Equal content gives an equal archive (fixed times, sorted names). Reading trusts nothing: names stay
inside the folder, links and files that the manifest does not know are refused, sizes are limited
and digests compared, and nothing that was read is ever run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ..artefact.manifest import SavedFile
from ..errors import InputError, StorageError
from ..files import storage
from ..values import Value

MANIFEST = "bundle.json"
SCHEMA_VERSION = 1
MOST_BYTES = 2 * 1024**3
"""Of all files together, unpacked."""
MOST_FILES = 50_000
MOST_MANIFEST_BYTES = 32 * 1024**2
LONGEST_NAME = 400
PIECE = 1024**2
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""

_PART = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]{1,200}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that mean a device on Windows, whatever their folder and ending."""
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
    OverflowError,
)  # fmt: skip
"""What zipfile raises where an archive is damaged, or made so."""


Kind = Literal["recipe", "records"]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,400}$")]
"""Text that may be shown in a terminal, whoever wrote it."""


class Needed(Value):
    """A model that a packed recipe names: where it is from, and what pins its weights."""

    name: Line
    origin: Literal["catalogue", "folder", "hub", "endpoint"]
    revision: Line | None


class Manifest(Value):
    """What bundle.json says: what is in the bundle, and size and SHA-256 of each file.

    Of a recipe also the `models` that it names, and the keys that were `left_out` as they are of
    the machine it was packed on.
    """

    schema_version: int = SCHEMA_VERSION
    kind: Kind
    name: Line
    wattune: Line | None
    models: tuple[Needed, ...] = ()
    left_out: tuple[Line, ...] = ()
    files: dict[str, SavedFile] = {}


def write_bundle(path: Path, about: Manifest, files: Mapping[str, Path | bytes]) -> Manifest:
    """Write `files` by their names in the bundle, and `about` with their digests, whole or not at
    all; the manifest that was written.

    Raises `InputError` for files that `extract` would refuse: more than a bundle may hold, or names
    that not every system can write. Raises `StorageError` where `path` cannot be written.
    """
    names = sorted(files)
    try:
        _check_files(path, {name: _size(content) for name, content in files.items()})
    except StorageError as error:
        raise InputError(f"what is to be packed makes no bundle: {error}") from error
    saved: dict[str, SavedFile] = {}
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(beside, "x") as archive:
                for packed in names:
                    given = files[packed]
                    # Read once: a ledger may be written meanwhile.
                    content = given if isinstance(given, bytes) else given.read_bytes()
                    digest = hashlib.sha256(content).hexdigest()
                    saved[packed] = SavedFile(bytes=len(content), sha256=digest)
                    archive.writestr(_info(packed), content, compresslevel=9)
                made = about.model_copy(update={"files": saved})
                text = json.dumps(made.plain(), indent=2, ensure_ascii=False) + "\n"
                archive.writestr(_info(MANIFEST), text, compresslevel=9)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return made


def extract(path: Path, folder: Path, check: Callable[[Manifest, Path], None]) -> Manifest:
    """Unpack a bundle into `folder`, which is new or empty; its manifest.

    `check` sees the unpacked files before they are put into place, and raises where they are not
    what the manifest says. Raises `InputError` for a folder that holds something, `StorageError`
    for a file that is no bundle, is damaged, or would write where it should not; then nothing is
    left behind.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a bundle that `wattune pack` wrote")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; give a new or empty folder")
    with _told(path), zipfile.ZipFile(path) as archive:
        manifest = _manifest(path, archive)
        members = {info.filename: info for info in archive.infolist()}
        with storage(folder), _partial(folder) as partial:
            for name, facts in manifest.files.items():
                _write(archive, members[name], facts, partial / name)
            check(manifest, partial)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
            partial.rename(folder)
    return manifest


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file
            raise
        raise StorageError(
            f"{path}: no bundle, or a damaged one ({error}); copy it again"
        ) from error


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A folder beside, which is removed where it was not renamed into place."""
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """The manifest, when all that the archive holds is as it says."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        raise StorageError(f"{path}: there is no {MANIFEST} in it; `wattune pack` makes bundles")
    if len(set(names)) < len(names):
        raise StorageError(f"{path}: it holds two files of one name")
    for info in infos:
        _check_entry(path, info)
    about = archive.getinfo(MANIFEST)
    if about.file_size > MOST_MANIFEST_BYTES:
        raise StorageError(f"{path}: its {MANIFEST} has {about.file_size:,} bytes, too many")
    with archive.open(about) as stream:
        text = stream.read(MOST_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        raise StorageError(f"{path}: no manifest of a bundle ({where}: {fault['msg']})") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise StorageError(
            f"{path}: a bundle of version {manifest.schema_version} and this wattune reads up to "
            f"{SCHEMA_VERSION}; update wattune"
        )
    if {*manifest.files, MANIFEST} != set(names):
        odd = sorted({*manifest.files, MANIFEST} ^ set(names))[0]
        raise StorageError(f'{path}: "{odd}" stands in the archive or in {MANIFEST}, not in both')
    _check_files(path, {name: facts.bytes for name, facts in manifest.files.items()})
    for info in infos:
        told = manifest.files.get(info.filename)
        if told is not None and info.file_size != told.bytes:
            raise StorageError(
                f"{path}: {info.filename} has {info.file_size:,} bytes and {MANIFEST} says "
                f"{told.bytes:,}; it is damaged or was changed"
            )
    return manifest


def _check_entry(path: Path, info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        raise StorageError(
            f'{path}: "{info.filename}" is a link, a folder or a device; a bundle holds plain files'
        )
    if info.flag_bits & 1:
        raise StorageError(f'{path}: "{info.filename}" is encrypted; a bundle is not')
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise StorageError(f'{path}: "{info.filename}" is packed in a way that bundles are not')


def _check_files(path: Path, sizes: Mapping[str, int]) -> None:
    """Raise `StorageError` unless a bundle may hold files of these names and bytes."""
    for name in sizes:
        _check_name(name, path)
    _check_apart(path, sizes)
    _check_sizes(sizes, path)


def _check_name(name: str, path: Path) -> None:
    """Raise `StorageError` for a name that could mean a place outside of the folder, is hidden, or
    that not every system can write."""
    for part in name.split("/"):
        if (
            not _PART.fullmatch(part)
            or part.startswith((".", " "))
            or part.endswith((".", " "))
            or _DEVICE.fullmatch(part)
        ):
            raise StorageError(
                f'{path}: the file name "{name}" is not taken: names stay within the folder, are '
                "not hidden, and can be written on any system"
            )
    if len(name) > LONGEST_NAME:
        raise StorageError(f"{path}: a file name of {len(name)} characters; rename it")


def _check_apart(path: Path, names: Iterable[str]) -> None:
    """Raise `StorageError` where two names are one on some system, or a file is a folder too."""
    seen: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", name).casefold()
        if plain in seen:
            raise StorageError(f'{path}: "{seen[plain]}" and "{name}" are one file on some systems')
        seen[plain] = name
    for plain, name in seen.items():
        parts = plain.split("/")
        if any("/".join(parts[:end]) in seen for end in range(1, len(parts))):
            raise StorageError(f'{path}: "{name}" lies in what is a file')


def _check_sizes(files: Mapping[str, int], path: Path) -> None:
    size = sum(files.values())
    if size > MOST_BYTES or len(files) > MOST_FILES:
        raise StorageError(
            f"{path}: {len(files):,} files of {size:,} bytes; a bundle holds at most "
            f"{MOST_FILES:,} of {MOST_BYTES:,} bytes together"
        )


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, facts: SavedFile, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    found, size = hashlib.sha256(), 0
    with archive.open(info) as source, to.open("xb") as target:
        while piece := source.read(PIECE):
            size += len(piece)
            if size > facts.bytes:
                break
            found.update(piece)
            target.write(piece)
    if size != facts.bytes or found.hexdigest() != facts.sha256:
        raise StorageError(
            f"{info.filename} is damaged or was changed: its SHA-256 is {found.hexdigest()}, and "
            f"{MANIFEST} says {facts.sha256}; copy the bundle again"
        )


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # wherever it is made
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info
