"""Loading: a saved System checked, its stages put into the cache, and the System as a value.

Nothing of the folder is opened by torch, FAISS or transformers before its sizes, digests, kinds
and its base have been checked. That tells of damage, not of malice: whoever can write the files
can write their digests too. So what is read are formats that hold no code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError, StorageError
from ..files import file_digest
from ..measure.record import Bill
from ..models.fetch import resolve
from ..models.folders import folder_revision
from ..stages import MANIFEST as STAGE_MANIFEST
from ..stages import StageManifest, StageRef, StageStore
from ..system import LocalSystem, ModelRef, System, parse_system
from ..tasks.task import REFUSAL
from ..values import digest
from .manifest import (
    HERE,
    MANIFEST,
    SavedFile,
    check_digest,
    check_files,
    read_manifest,
    read_small_json,
)
from .saving import ADAPTER_CONFIG

ADAPTER_WEIGHTS = "adapter_model.safetensors"
NOT_CONTENT = {STAGE_MANIFEST, ADAPTER_CONFIG}
"""Files of a stage that may differ where it is the same: a bill, and how the base is called."""

Say = Callable[[str], None]


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a saved System, or an adapter of PEFT alone."""
    return (folder / MANIFEST).is_file() or is_adapter(folder)


def is_adapter(folder: Path) -> bool:
    """Whether a folder is an adapter as PEFT saves it."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def model_ref(name: str, say: Say | None = None) -> ModelRef:
    """Which weights `name` means, fetched where they are not here; `ModelError` as `resolve`.

    Named so that a record finds the same weights from anywhere, and after the hub has moved on.
    """
    found = resolve(name, kind="causal_lm", progress=say)
    pinned = {
        "folder": str(found.folder), "hub": f"{found.name}@{found.revision}", "catalogue": name
    }[found.source]  # fmt: skip
    return ModelRef(name=pinned, revision=found.revision)


def load_saved(
    folder: Path,
    *,
    base: str | None = None,
    stages: StageStore | None = None,
    say: Say | None = None,
) -> System:
    """The System that `save_system` wrote into `folder`, or a System of the adapter there.

    Its stages are put into the cache under their keys; one that is there with other content gets a
    key of its own. `base` names the base model where it lies elsewhere than it did. Raises
    `StorageError` for a folder that is not as it was saved, `ModelError` for a base or an embedder
    that cannot be had in the revision it was made with.
    """
    store = stages or StageStore()
    if not (folder / MANIFEST).is_file():
        return _adapter(folder, base, store, say)
    saved, system = read_manifest(folder)
    check_files(folder, saved)
    plain = system.plain()
    if isinstance(system, LocalSystem):
        if system.model.name == HERE:
            here = folder.resolve()
            model = ModelRef(name=str(here), revision=folder_revision(here))
        else:
            model = _base(folder, system.model, base, say)
        plain["model"] = model.plain()
    for name, revision in saved.embedders.items():
        _check_embedder(folder, name, revision)
    keys = {
        key: _adopt(store, folder / stage, key, saved.files_of(stage))
        for stage, key in saved.stages.items()
    }
    return parse_system(_with_keys(plain, keys))


def _base(folder: Path, wanted: ModelRef, base: str | None, say: Say | None) -> ModelRef:
    """The base as it is here; refused unless it is the one that the folder was made with."""
    asked = base or wanted.name
    try:
        found = model_ref(asked, say)
    except ModelError as error:
        raise ModelError(
            f"{folder} stands on {wanted.name} at revision {wanted.revision}, which is not to be "
            f"had here: {error}; say where it lies: load_system(folder, base=...)"
        ) from error
    if found.revision != wanted.revision:
        raise ModelError(
            f"{folder} stands on {wanted.name} at revision {wanted.revision}, and {asked} has "
            f"revision {found.revision}; give the model it was made with: "
            "load_system(folder, base=...)"
        )
    return found


def _check_embedder(folder: Path, name: str, revision: str) -> None:
    try:
        found = resolve(name).revision
    except ModelError as error:
        raise ModelError(f"{folder} retrieves with {name}: {error}") from error
    if found != revision:
        raise ModelError(
            f"{folder} retrieves with {name} at revision {revision}, and here it has revision "
            f"{found}"
        )


def _adopt(store: StageStore, source: Path, key: str, files: Mapping[str, SavedFile]) -> str:
    """Put a stage into the cache, whole or not at all; the key it has there."""
    manifest = StageStore(source.parent).manifest(source.name)
    if manifest is None or manifest.key != key:
        raise StorageError(f"{source / STAGE_MANIFEST}: not the manifest of stage {key}")
    content = {name: facts.sha256 for name, facts in files.items() if name not in NOT_CONTENT}
    # Only what was made here, and equally, keeps its key: else a folder from elsewhere would stand
    # in for what later runs are to build, with the joules of another machine.
    if store.manifest(key) is None or not _holds(store.root / key, content):
        key = digest({"stage": key, "content": content})
    with store.building(key) as partial:
        if partial is not None:
            for name, facts in files.items():
                if name == STAGE_MANIFEST:  # `finish` writes it
                    continue
                target = partial / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target)
                check_digest(target, facts)  # it may have been changed since it was looked at
            store.finish(partial, manifest.model_copy(update={"key": key}))
    return key


def _holds(folder: Path, content: Mapping[str, str]) -> bool:
    return all(
        (folder / name).is_file() and file_digest(folder / name) == sha256
        for name, sha256 in content.items()
    )


def _with_keys(value: Any, keys: Mapping[str, str]) -> Any:
    """Plain JSON with the references to stages changed from one key to another."""
    if isinstance(value, dict):
        if value.keys() == {"key"} and value["key"] in keys:
            return {"key": keys[value["key"]]}
        return {name: _with_keys(inner, keys) for name, inner in value.items()}
    return [_with_keys(inner, keys) for inner in value] if isinstance(value, list) else value


def _adapter(folder: Path, base: str | None, store: StageStore, say: Say | None) -> LocalSystem:
    """A System of an adapter that another program saved with PEFT, as a stage of its content."""
    config = read_small_json(folder / ADAPTER_CONFIG)
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    if base is None and not (isinstance(named, str) and named):
        raise ModelError(
            f"{folder} is an adapter that does not say which model it was made for; name it: "
            "load_system(folder, base=...)"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder} is an adapter without {ADAPTER_WEIGHTS}; other formats may run code when "
            "read and are not used: save it with a current PEFT"
        )
    asked = base or (f"{named}@{revision}" if revision and "/" in str(named) else str(named))
    try:
        model = model_ref(asked, say)
    except ModelError as error:
        raise ModelError(
            f"{folder} is an adapter made for {asked}, which is not to be had here: {error}; say "
            "where it lies: load_system(folder, base=...)"
        ) from error
    files = {name: file_digest(folder / name) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
    key = digest({"adapter": files})
    unmeasured = Bill(energy_j=None, duration_s=0.0, net_energy_j=None)
    with store.building(key) as partial:
        if partial is not None:
            for name in files:
                shutil.copyfile(folder / name, partial / name)
            manifest = StageManifest(
                key=key, strategy="adapter", inputs={"files": files}, bill=unmeasured
            )
            store.finish(partial, manifest)
    return LocalSystem(model=model, refusal=REFUSAL, adapters=(StageRef(key=key),))
