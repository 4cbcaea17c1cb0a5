"""Loading: a System from the name of a model, from the folder it was saved in, or of a record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import overload

from .artefact.loading import is_saved, load_saved, model_ref
from .endpoint_ref import EndpointRef
from .errors import InputError
from .measure.accounts.endpoint_energy import token_energy
from .measure.record import Record
from .measure.store import load_records
from .models.endpoint import read_key
from .system import Decoding, EndpointSystem, LocalSystem, System, parse_system
from .tasks.task import REFUSAL


@overload
def load_system(
    name: str,
    *,
    refusal: str | None = ...,
    decoding: Decoding | None = ...,
    base: str | None = ...,
    say: Callable[[str], None] | None = ...,
) -> LocalSystem: ...
@overload
def load_system(
    name: str | EndpointRef,
    *,
    refusal: str | None = ...,
    decoding: Decoding | None = ...,
    base: str | None = ...,
    say: Callable[[str], None] | None = ...,
) -> System: ...
def load_system(
    name: str | EndpointRef,
    *,
    refusal: str | None = None,
    decoding: Decoding | None = None,
    base: str | None = None,
    say: Callable[[str], None] | None = None,
) -> System:
    """The base System of a model: a catalogue name, a folder, a hub id, or an endpoint; or a System
    that was saved (`System.save`), or an adapter of PEFT, from its folder.

    A saved one keeps its refusal and decoding unless others are given; `base` says where its base
    model lies, where that is not where it lay. Raises `ModelError` when the model is unknown, its
    weights cannot be had, or the endpoint's key is not set, `StorageError` for a saved folder that
    is not as it was saved, and `InputError` when its row of energies is unknown.
    """
    if isinstance(name, EndpointRef):
        read_key(name)
        token_energy(name.energy, name.model)
        return EndpointSystem(
            endpoint=name, refusal=refusal or REFUSAL, decoding=decoding or Decoding()
        )
    if is_saved(folder := Path(name).expanduser()):
        saved = load_saved(folder, base=base, say=say)
        given = {"refusal": refusal, "decoding": decoding}
        return saved.model_copy(update={k: v for k, v in given.items() if v is not None})
    if base is not None:
        raise InputError(f"base is for a saved system or an adapter, and {name} is neither")
    return LocalSystem(
        model=model_ref(name, say),
        refusal=refusal or REFUSAL,
        decoding=decoding or Decoding(),
    )


def system_of(source: System | Record | Path | str) -> System:
    """A System as it is, or that of a Record or of its file, or what `load_system` makes of a name
    or folder."""
    if isinstance(source, Path | str) and Path(source).suffix == ".json":
        (source,) = load_records(source)
    if isinstance(source, Record):
        return parse_system(source.system)
    return load_system(str(source)) if isinstance(source, Path | str) else source
