"""The manifest of a saved System: what stands in its folder, and whether it still stands there.

    my-system/
      system.json            the System, its base by name and revision, each file with its SHA-256
      README.md              the model card; for people and for the hub, so it may be edited
      prompt.yaml            the prompt as a prompt file
      tokenizer/             for programs that take the adapter alone
      adapter/, weights/, index/, tree/, documents/ ...   a stage each, with its bill in stage.json

Merged weights and their tokenizer lie at the top, as any program for transformers expects them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..errors import CannotRun, StorageError
from ..files import file_digest, read_text
from ..models.langchain_factory import NAMED
from ..stages import MANIFEST as STAGE_MANIFEST
from ..stages import StageRef
from ..system import ModelRef, System, parse_system, with_weights
from ..values import Value

MANIFEST = "system.json"
CARD = "README.md"
SCHEMA_VERSION = 1
MOST_BYTES = 16 * 1024**2
"""Of a manifest; one of 10,000 files takes 2 MB."""
KINDS = frozenset(
    {
        ".safetensors",
        ".json",
        ".jsonl",
        ".faiss",
        ".npy",
        ".txt",
        ".jinja",
        ".model",
        ".md",
        ".yaml",
    }
)
"""Endings of files that are read without running anything they hold. Never pickles or code."""
HERE = "."
"""Name of a model that lies in the folder itself."""

_PART = re.compile(r"\w[\w.+@ -]*")
FolderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,60}$")]
StageKey = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


class SavedFile(Value):
    """Size and SHA-256 (hex) of a file as it was saved."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SavedSystem(Value):
    """What system.json says.

    `base` is the model the System was made from; with `merged` its weights are in the folder.
    `embedders` are the revisions of the embedders by name, `stages` the keys by folder, `files` all
    that the System is made of, by path from the folder.
    """

    schema_version: int = SCHEMA_VERSION
    wattune: str | None
    system: dict[str, Any]
    base: ModelRef | None
    merged: bool = False
    embedders: dict[str, str] = {}
    stages: dict[FolderName, StageKey] = {}
    files: dict[str, SavedFile] = {}

    def files_of(self, stage: str) -> dict[str, SavedFile]:
        """The files of a stage's folder, by path from there."""
        return {
            name.removeprefix(f"{stage}/"): facts
            for name, facts in self.files.items()
            if name.startswith(f"{stage}/")
        }


def stages_of(system: System) -> dict[str, StageRef]:
    """The stages a System stands on, each once, by a name for its folder."""
    found: dict[str, StageRef] = {}
    for name, ref in _references(system, ""):
        if ref not in found.values():
            same = sum(known == name or known.startswith(f"{name}-") for known in found)
            found[f"{name}-{same + 1}" if same else name] = ref
    return found


def _references(value: object, name: str) -> Iterator[tuple[str, StageRef]]:
    if isinstance(value, StageRef):
        yield name, value
    elif isinstance(value, tuple):
        for item in value:
            yield from _references(item, name)
    elif isinstance(value, Value):
        own = str(getattr(value, "type", None) or getattr(value, "kind", name))
        for field in type(value).model_fields:
            inner = {"stage": own, "adapters": "adapter"}.get(field, field)
            yield from _references(getattr(value, field), inner)


def read_manifest(folder: Path) -> tuple[SavedSystem, System]:
    """The manifest in `folder`, and the System it holds.

    Raises `StorageError` for one that is damaged, too new, or speaks of other stages than the
    System, `CannotRun` for a System that is asked through an endpoint.
    """
    path = folder / MANIFEST
    if path.is_symlink():
        raise StorageError(f"{path} is a link; a saved system is made of plain files")
    content = read_small_json(path)
    version = content.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise StorageError(
            f"{path}: schema_version is {version!r} and this wattune reads up to {SCHEMA_VERSION}; "
            "update wattune"
        )
    try:
        saved = SavedSystem.model_validate(content)
        system = parse_system(saved.system)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the whole"
        raise StorageError(f"{path}: no manifest of a system ({where}: {fault['msg']})") from error
    if system.kind == "endpoint":  # whose key it would send, and where to, a stranger decided
        with_weights(system, "a saved system")
    check_no_code(system)
    named = {ref.key for ref in stages_of(system).values()}
    if named != set(saved.stages.values()):
        raise StorageError(
            f"{path}: the system stands on the stages {_listed(named)} and the folder holds "
            f"{_listed(saved.stages.values())}; save it again"
        )
    return saved, system


def check_no_code(system: System) -> None:
    """Raise `CannotRun` for a system that calls a function to make its store or embedder: who
    opens a folder from elsewhere has not agreed to run what it names."""
    for source in system.sources:
        name = source.factory if source.type == "langchain" else getattr(source, "embedder", None)
        if name and (source.type == "langchain" or name.startswith(NAMED)):
            raise CannotRun(
                f"the system calls {name.removeprefix(NAMED)} to make its store or embedder, and a "
                "saved system names no code that is run; share its recipe instead"
            )


def read_small_json(path: Path) -> dict[str, Any]:
    """A JSON object of at most 16 MB; `StorageError` for anything else."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise StorageError(
                f"{path} has {size:,} bytes, where at most {MOST_BYTES:,} are expected; it is not "
                "read"
            )
        content = json.loads(read_text(path))
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path}: a JSON object is expected, not a {type(content).__name__}")
    return content


def check_files(folder: Path, saved: SavedSystem) -> None:
    """Compare the folder with its manifest: names, kinds, links, sizes, then digests.

    Raises `StorageError` naming the first file that is not as it was saved, with what was expected
    and what was found; also for files in the folders of stages that the manifest does not know.
    """
    for name, facts in saved.files.items():
        size = _checked(folder, name).stat().st_size
        if size != facts.bytes:
            raise StorageError(
                f"{folder / name} has {size:,} bytes and {MANIFEST} says {facts.bytes:,}: it is "
                "damaged or was changed; copy the folder again"
            )
        if Path(name).name == STAGE_MANIFEST and size > MOST_BYTES:
            raise StorageError(f"{folder / name} has {size:,} bytes; at most {MOST_BYTES:,}")
    looked_at = [path for stage in saved.stages for path in (folder / stage).rglob("*")]
    if saved.merged:  # the top is a model: a file more would change how it is opened
        free = {MANIFEST, CARD}
        looked_at += [p for p in folder.iterdir() if p.name not in free and p.name[0] != "."]
    for path in looked_at:
        name = path.relative_to(folder).as_posix()
        if name not in saved.files and (path.is_symlink() or not path.is_dir()):
            raise StorageError(
                f"{path} is not in {MANIFEST}: here stands what was saved and no more; remove it, "
                "or copy the folder again"
            )
    for name, facts in saved.files.items():
        check_digest(folder / name, facts)


def check_digest(path: Path, facts: SavedFile) -> None:
    """Raise `StorageError` with both digests unless the file is the one that was saved."""
    found = file_digest(path)
    if found != facts.sha256:
        raise StorageError(
            f"{path} is damaged or was changed: its SHA-256 is {found}, and {MANIFEST} says "
            f"{facts.sha256}; copy the folder again"
        )


def check_kind(path: Path) -> None:
    """Raise `StorageError` for a file that no saved system may hold, such as a pickle."""
    if path.suffix not in KINDS:
        raise StorageError(
            f"{path}: a saved system holds {', '.join(sorted(KINDS))} files only; others may run "
            "code when they are read"
        )


def _checked(folder: Path, name: str) -> Path:
    """The path of a file that the manifest names, surely inside of the folder and no link."""
    parts = name.split("/")
    if not all(_PART.fullmatch(part) and not part.endswith((".", " ")) for part in parts):
        raise StorageError(
            f'{folder / MANIFEST} names the file "{name}"; only plain names within the folder are '
            "taken"
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise StorageError(
                f"{path} is a link; a saved system is made of plain files (from the hub: "
                "`hf download org/name --local-dir FOLDER`)"
            )
    check_kind(path)
    if not path.is_file():
        raise StorageError(f"{path} is missing; {MANIFEST} names it: copy the folder again")
    return path


def _listed(keys: object) -> str:
    return ", ".join(sorted(keys)) or "none"  # type: ignore[call-overload]
