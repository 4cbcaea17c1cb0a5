"""Saving: a System as a folder that answers the same on another machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..answering.pool import model_folder
from ..context_sources import IndexSource, NearestShots, SummarySource
from ..errors import CannotRun, InputError, StorageError
from ..files import file_digest, read_text, storage, write_json, write_text
from ..measure.environment import environment
from ..measure.memory import available_memory_bytes
from ..models.fetch import resolve
from ..models.local import LocalModel, open_tokenizer
from ..models.quiet import quiet_transformers
from ..prompt import PromptTemplate
from ..prompt_file import PromptFile
from ..stages import MANIFEST as STAGE_MANIFEST
from ..stages import StageStore
from ..system import EndpointSystem, LocalSystem, ModelRef, System, parse_system, with_weights
from .card import model_card
from .card_blocks import base_repo
from .manifest import (
    CARD,
    HERE,
    MANIFEST,
    SavedFile,
    SavedSystem,
    check_kind,
    check_no_code,
    stages_of,
)

if TYPE_CHECKING:
    from ..measure.record import Record

PROMPT = "prompt.yaml"
TOKENIZER = "tokenizer"
TOKENIZER_CONFIG = "tokenizer_config.json"
ADAPTER_CONFIG = "adapter_config.json"


def save_system(
    system: System,
    folder: Path | str,
    *,
    record: Record | None = None,
    merge: bool = False,
    stages: StageStore | None = None,
) -> Path:
    """Write `system` into `folder`, which must be new or empty; `load_system` reads it.

    The base's weights are named, not copied; adapters, trained, pruned and quantised weights,
    indexes and trees are. With `merge` adapters are merged into the weights, which then lie at the
    top of the folder as one ordinary transformers model, and the base is needed no more. `record`
    puts its figures into the model card. All is written beside and renamed.

    Raises `InputError` where the record is of another system, `StorageError` where the folder holds
    something or cannot be written, or a stage was pruned, `CannotRun` for an endpoint, or a merge
    that cannot be.
    """
    folder = Path(folder).expanduser()
    if isinstance(system, EndpointSystem):
        system = with_weights(system, "saving a system")
    check_no_code(system)
    if record is not None:
        _check_record(system, record)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"{folder} is there and not empty; name a new folder, or empty this one")
    store = stages or StageStore()
    with _beside(folder) as partial:
        kept = _merged(system, store, partial) if merge else system
        named = stages_of(kept)
        for name, ref in named.items():
            shutil.copytree(store.folder(ref), partial / name)
        if isinstance(kept, LocalSystem) and not merge:
            _add_tokenizer(kept, partial)
        write_text(partial / PROMPT, _prompt(system))
        card = model_card(system, record=record, merged=merge, title=folder.name)
        write_text(partial / CARD, card)
        saved = SavedSystem(
            wattune=environment()["software"]["wattune"],
            system=kept.plain(),
            base=system.model if isinstance(system, LocalSystem) else None,
            merged=merge,
            embedders=_embedders(system),
            stages={name: ref.key for name, ref in named.items()},
            files={
                path.relative_to(partial).as_posix(): _facts(path)
                for path in sorted(partial.rglob("*"))
                if path.is_file() and path != partial / CARD
            },
        )
        write_json(partial / MANIFEST, saved.plain())
    return folder


def _check_record(system: System, record: Record) -> None:
    """Raise `InputError` unless the record's figures are of this very system."""
    measured = parse_system(record.system).identity() if record.system else {}
    ours = system.identity()
    other = [name for name in ours if ours[name] != measured.get(name)]
    if other or record.status != "done":
        why = f"is of another system (other {', '.join(other)})" if other else "is not finished"
        raise InputError(
            f'record "{record.name}" {why}, and its figures would stand in the model card of this '
            "one; give the record of the run that made this system, or none"
        )


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `folder` when all is written."""
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    with storage(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            if os.name == "nt" and folder.is_dir():
                folder.rmdir()  # POSIX puts a folder in the place of an empty one by itself
            try:
                partial.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                raise StorageError(
                    f"{folder} was filled by another program meanwhile; save to another folder"
                ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _merged(system: System, store: StageStore, folder: Path) -> LocalSystem:
    """Write the weights with the adapters in them to `folder`; the System that answers by them.

    They are merged as answering merges them, so they are those that answered.
    """
    ours = with_weights(system, "merging")
    if ours.weights is None and not ours.adapters:
        raise CannotRun(
            f"there is nothing to merge: the system answers with the weights of {ours.model.name} "
            "as they are; save it without merging"
        )
    base = model_folder(ours.model)
    weights = store.folder(ours.weights) if ours.weights else None
    if ours.adapters:
        from peft import PeftModel

        adapters = [store.folder(adapter) for adapter in ours.adapters]
        with LocalModel.open(
            base, weights=weights, adapters=adapters, available_bytes=available_memory_bytes()
        ) as opened:
            if isinstance(opened.model, PeftModel):
                raise CannotRun(
                    "this adapter cannot be merged into weights (it stands before the prompt); "
                    "save it without merging"
                )
            with quiet_transformers():
                opened.model.save_pretrained(str(folder))
                opened.tokenizer.save_pretrained(str(folder))
    elif weights is not None:
        shutil.copytree(
            weights, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(STAGE_MANIFEST)
        )
        if not (folder / TOKENIZER_CONFIG).is_file():
            open_tokenizer(base).save_pretrained(str(folder))
    here = ModelRef(name=HERE, revision="")
    return ours.model_copy(update={"model": here, "weights": None, "adapters": ()})


def _add_tokenizer(system: LocalSystem, folder: Path) -> None:
    """What other programs need beside an adapter: the tokenizer, and the base by its public name,
    which PEFT writes as the path that it was opened from."""
    if system.weights is None:
        open_tokenizer(model_folder(system.model)).save_pretrained(str(folder / TOKENIZER))
    for path in folder.glob(f"*/{ADAPTER_CONFIG}"):
        config = json.loads(read_text(path))
        config["base_model_name_or_path"] = base_repo(system.model) or Path(system.model.name).name
        write_json(path, config)


def _prompt(system: System) -> str:
    parts = {name: getattr(system.prompt, name) for name in PromptTemplate.model_fields}
    return PromptFile(name="prompt", shots=system.shots, decoding=system.decoding, **parts).text()


def _embedders(system: System) -> dict[str, str]:
    """The revision of each embedder and reranker that a source is asked with."""
    names: set[str | None] = set()
    for source in system.sources:
        if isinstance(source, IndexSource):
            names |= {source.embedder, source.search.reranker}
        elif isinstance(source, NearestShots | SummarySource):
            names.add(source.embedder)
    return {name: resolve(name).revision for name in sorted(filter(None, names))}


def _facts(path: Path) -> SavedFile:
    check_kind(path)
    return SavedFile(bytes=path.stat().st_size, sha256=file_digest(path))
