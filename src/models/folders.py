"""A local model folder: whether it can be used, and the digest that pins its content."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from ..errors import ModelError, StorageError
from ..files import cache_folder, file_digest, write_json
from ..values import digest
from .hub import is_whole, needed_files

_SETTLED_S = 2.0
"""A file changed more recently is hashed again next time: it may change within one clock tick."""


def check_folder(folder: Path) -> None:
    """Raise `ModelError`, saying what is missing, unless `folder` holds a model in safetensors."""
    if is_whole(folder):
        return
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{folder} is an adapter, not a model; name the model it was made for")
        raise ModelError(f"{folder} has no config.json, so it is no model folder")
    if any(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: some of the weights that its index names are missing")
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt"))
    also = f" ({others[0]} is a pickle, which can run code when read)" if others else ""
    raise ModelError(
        f"{folder} has no safetensors weights{also}; save the model with "
        "`save_pretrained` of a current transformers"
    )


def stores_quantized(folder: Path) -> bool:
    """Whether the weights in `folder` are quantised, which its configuration says."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "quantization_config" in content


def folder_revision(folder: Path) -> str:
    """Content digest of the model in `folder`: weights, configuration, tokenizer, templates.

    Equal files give an equal digest wherever they lie. Hashes are remembered by size and time of
    change, so that large weights are read once. Raises `ModelError` as `check_folder`.
    """
    check_folder(folder)
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = [name for name in needed_files(names) if name != "manifest.json"]
    return digest({name: _remembered_digest(folder / name) for name in files})


def _remembered_digest(path: Path) -> str:
    facts = path.stat()
    seen = {"bytes": facts.st_size, "changed_ns": facts.st_mtime_ns}
    note = cache_folder() / "digests" / f"{digest(str(path.resolve()))}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if {key: known[key] for key in seen} == seen:
            return str(known["sha256"])
    found = file_digest(path)
    if time.time() - facts.st_mtime > _SETTLED_S:
        with contextlib.suppress(StorageError):  # a cache that cannot be written only costs time
            write_json(note, {**seen, "sha256": found})
    return found
