"""Prepared stages: folders named by the hash of all that determines them, with their bills.

A stage is built in ``<key>.partial`` under a lock and renamed when whole, so that a killed build
leaves nothing that passes for finished, and two builders of one stage do the work once. What a
killed build can go on from (checkpoints, and what was spent on them) lies in ``<key>.unfinished``,
until the stage is finished.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import StorageError
from .files import cache_folder, folder_bytes, read_text, storage, write_text
from .measure.record import Bill
from .measure.work import NO_WORK, Work
from .values import Value

MANIFEST = "stage.json"
UNFINISHED = ".unfinished"


class StageRef(Value):
    """A prepared stage by its key; the cache knows where its folder lies."""

    key: str


class StageManifest(Value):
    """What a stage is and what it cost when it was made."""

    key: str
    strategy: str
    inputs: dict[str, Any]
    bill: Bill
    work: Work = NO_WORK
    peak_memory_bytes: int | None = None
    artefact_bytes: int = 0
    details: dict[str, Any] = {}
    created_at: str = ""


class StageStore:
    """The stages of one cache folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_folder() / "stages"

    def folder(self, stage: StageRef) -> Path:
        """Where a finished stage lies; `StorageError` when it was pruned or never made."""
        folder = self.root / stage.key
        if not folder.is_dir():
            raise StorageError(
                f"prepared stage {stage.key} is not in the cache; run its recipe again to make it"
            )
        return folder

    def manifest(self, key: str) -> StageManifest | None:
        """The manifest of a finished stage, or None where there is none that can be read."""
        path = self.root / key / MANIFEST
        if not path.is_file():
            return None
        try:
            content = json.loads(read_text(path))
            content["bill"].setdefault("net_energy_j", None)  # made before there was a baseline
            return StageManifest.model_validate(content)
        except (ValueError, KeyError, TypeError, StorageError):
            return None

    @contextlib.contextmanager
    def building(self, key: str) -> Iterator[Path | None]:
        """An empty folder to build the stage in, or None when it is finished by now.

        The builder writes its files and calls `finish`; leaving without it keeps nothing.
        """
        from filelock import FileLock

        lock = FileLock(self.root / f"{key}.lock")
        with storage(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            if self.manifest(key) is not None:
                yield None
                return
            partial = self.root / f"{key}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            with storage(partial):
                partial.mkdir(parents=True)
            try:
                with storage(partial):
                    yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        finally:
            lock.release()

    def unfinished_folder(self, key: str) -> Path:
        """What outlives a killed build of the stage; made by who first writes into it."""
        return self.root / f"{key}{UNFINISHED}"

    def finish(self, partial: Path, manifest: StageManifest) -> StageManifest:
        """Write the manifest, rename the folder into place, and drop what was unfinished."""
        measured = manifest.model_copy(update={"artefact_bytes": folder_bytes(partial)})
        write_text(partial / MANIFEST, measured.model_dump_json(indent=2) + "\n")
        final = self.root / manifest.key
        shutil.rmtree(final, ignore_errors=True)  # a damaged one, else `building` had yielded None
        partial.rename(final)
        shutil.rmtree(self.unfinished_folder(manifest.key), ignore_errors=True)
        return measured

    def prune(self) -> tuple[int, int]:
        """Remove all stages' files and keep their bills; how many, and how many bytes."""
        count = freed = 0
        kept = self.root / "pruned"
        for folder in sorted(self.root.glob("*")):
            if not (folder / MANIFEST).is_file():
                continue
            size = folder_bytes(folder)
            write_text(kept / f"{folder.name}.json", read_text(folder / MANIFEST))
            shutil.rmtree(folder)
            count, freed = count + 1, freed + size
        return count, freed

    def unfinished(self) -> list[Path]:
        """The folders of builds that were killed, or are going on."""
        return sorted(self.root.glob(f"*{UNFINISHED}"))

    def prune_unfinished(self) -> tuple[int, int]:
        """Remove what killed builds left; how many, and how many bytes. Those going on stay."""
        from filelock import FileLock, Timeout

        count = freed = 0
        for folder in self.unfinished():
            lock = FileLock(self.root / f"{folder.name.removesuffix(UNFINISHED)}.lock")
            with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                size = folder_bytes(folder)
                shutil.rmtree(folder)
                count, freed = count + 1, freed + size
        return count, freed
