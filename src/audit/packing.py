"""Packing: a recipe to be run on another machine, or the records that came of it, as one file.

A packed recipe is resolved: what its prompt files say stands in it, and its task lies beside it.
Weights do not travel: a model is named with what pins it. Prepared stages do not either: their
bills are of the machine that made them, and would stand in another machine's records.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..endpoint_ref import EndpointRef
from ..errors import InputError, ModelError, StorageError
from ..measure.environment import version_of
from ..measure.ledger import entry_files, load_ledger
from ..measure.quality.custom import DOTTED
from ..measure.quality.judge import PREFIX as JUDGE
from ..measure.record import Record
from ..measure.store import answers_path, load_records, record_files
from ..models.catalogue import CATALOGUE
from ..models.folders import folder_revision
from ..models.hub import HUB_ID
from ..models.langchain_factory import HERE
from ..recipe import Recipe, Settings
from ..recipe_file import load_recipe
from ..tasks.documents import RESULTS_FOLDER, document_files
from ..tasks.faults import Faults
from ..tasks.folder import MANIFEST as TASK_MANIFEST
from ..tasks.folder import SPLITS, read_manifest
from ..tasks.hub import PREFIX
from ..tasks.load import builtin_tasks, load_task
from ..yaml_lines import read_mapping
from .bundle import Manifest, Needed, extract, write_bundle

RECIPE = "recipe.yaml"
TASK = "task"
OF_THE_MACHINE = (
    "place",
    "intensity_g_per_kwh",
    "grid",
    "pause_above_g_per_kwh",
    "accounting",
)
"""Keys of a recipe that tell of the machine it ran on; the other one stands elsewhere."""
ENDINGS = (".json", ".jsonl")
"""Of the files of records."""


def pack(what: str, overrides: Sequence[str], bundle: Path) -> Manifest:
    """Pack a folder of records, or a recipe (a file, or a shipped one's name) with its overrides.

    Raises `InputError` for what is neither, and as `load_recipe` and `load_task`.
    """
    if Path(what).is_dir():
        if overrides:
            raise InputError(f"{what} is a folder of records; overrides are for recipes")
        return pack_records(Path(what), bundle)
    return pack_recipe(load_recipe(what, overrides), bundle)


def pack_recipe(recipe: Recipe, bundle: Path) -> Manifest:
    """Write the bundle of a recipe: recipe.yaml, and its task's files in task/.

    What its settings say of this machine (`OF_THE_MACHINE`) is left out, and the manifest says so.
    """
    task, files = _task(recipe.settings)
    if files:
        _check_task(recipe.settings)
    settings = recipe.settings.plain()
    unset = Settings(task="", model="").plain()
    left_out = [key for key in OF_THE_MACHINE if settings[key] != unset[key]]
    other = "model" if recipe.settings.models else "models"  # a recipe names one or several
    content = {
        "name": recipe.name,
        **{k: v for k, v in settings.items() if k not in (*OF_THE_MACHINE, other)},
        "task": task,
        "runs": {run: recipe.of_run(run, settings["seed"])["runs"][run] for run in recipe.runs},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    about = Manifest(
        kind="recipe",
        name=recipe.name,
        wattune=version_of("wattune") or "",
        models=tuple(_models(recipe.settings, content["runs"])),
        left_out=tuple(left_out),
    )
    return write_bundle(bundle, about, {RECIPE: text.encode(), **files})


def pack_records(folder: Path, bundle: Path) -> Manifest:
    """Write the bundle of all records under a folder, with their answers and the ledger.

    Raises `InputError` where there are none, `StorageError` for a damaged one.
    """
    records = [path for path, _ in record_files(folder)]
    files = [*records, *filter(Path.is_file, map(answers_path, records)), *entry_files(folder)]
    if not files:
        raise InputError(f"{folder}: no records there; run a recipe first")
    load_ledger(folder)
    named = {path.relative_to(folder).as_posix(): path for path in files}
    ours = version_of("wattune") or ""
    about = Manifest(kind="records", name=folder.resolve().name, wattune=ours)
    return write_bundle(bundle, about, dict(named))


def unpack(bundle: Path, folder: Path) -> Manifest:
    """Unpack a bundle that `pack` wrote into `folder`, which is new or empty; its manifest.

    Nothing that was unpacked is run. Raises as `extract`, and `StorageError` for records that are
    damaged although their digests are right.
    """

    def check(manifest: Manifest, unpacked: Path) -> None:
        if manifest.kind == "records":
            odd = [name for name in manifest.files if not name.endswith(ENDINGS)]
            if odd:
                raise StorageError(f'{bundle}: "{odd[0]}" is no file of a record')
            load_records(unpacked)
            load_ledger(unpacked)
        elif RECIPE not in manifest.files:
            raise StorageError(f"{bundle}: the bundle of a recipe holds a {RECIPE}; it has none")

    return extract(bundle, folder, check)


def measured_at(folder: Path) -> list[str]:
    """Where, on what and when the records under a folder were measured, a sentence part each."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in load_records(folder):
        place = record.carbon.place if record.carbon else "a place that is not declared"
        hardware = (record.environment.get("hardware") or {}).get("cpu") or "unknown hardware"
        found.setdefault((place, hardware), []).append(record)
    told = []
    for (place, hardware), records in found.items():
        days = sorted((record.ended_at or record.created_at)[:10] for record in records)
        text = (
            f"{len(records)} record(s) measured at {place} on {hardware}, {days[0]} to {days[-1]}"
        )
        told.append("".join(letter for letter in text if letter.isprintable()))
    return told


def named_code(folder: Path) -> list[str]:
    """What an unpacked recipe and its task name as functions (``package.module:function``), which a
    run would import and call."""
    files = [folder / RECIPE, *folder.rglob(TASK_MANIFEST)]
    texts = [text for file in files if file.is_file() for text in _texts(file)]
    texts = [text.removesuffix(HERE).removeprefix(JUDGE) for text in texts]
    names = (text.rpartition("langchain:")[2] for text in texts)
    return sorted({name for name in names if DOTTED.fullmatch(name)})


def other_revision(needed: Needed) -> str | None:
    """The revision of what lies here under a packed model's name, where it is another one."""
    found = None
    if needed.origin != "endpoint":
        with contextlib.suppress(ModelError):  # no whole model lies here
            found = _reference(needed.name).revision
    return found if needed.revision and found != needed.revision else None


def _texts(file: Path) -> Iterator[str]:
    def within(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from within(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from within(inner)

    yield from within(read_mapping(file, InputError)[0])


def _task(settings: Settings) -> tuple[Any, dict[str, Path]]:
    """The recipe's `task` as it is in the bundle, and the files it reads by their names there."""
    given = settings.task
    source = given if isinstance(given, str) else given.source
    if source.startswith(PREFIX):
        return settings.plain()["task"], {}  # fetched there as it was here
    path = builtin_tasks().get(source) or Path(source).expanduser()
    if path.name == TASK_MANIFEST:
        path = path.parent
    if path.is_dir():
        files = sorted(set(_task_files(path)))
        return TASK, {f"{TASK}/{_within(file, path)}": file for file in files}
    if not path.is_file():
        load_task(source)  # which says what is wrong with it
    name = f"{TASK}/{path.name}"
    moved = name if isinstance(given, str) else {"source": name, "columns": given.columns}
    return moved, {name: path}


def _check_task(settings: Settings) -> None:
    """Raise `TaskError` for a task that could not be loaded there."""
    source = settings.task
    if isinstance(source, str):
        load_task(source)
    else:
        load_task(source.source, columns=source.columns)


def _task_files(folder: Path) -> Iterator[Path]:
    """The files of a task folder that loading it reads."""
    faults = Faults()
    paths = read_manifest(folder, faults, needs=("name", "test")).paths
    faults.check()
    yield folder / TASK_MANIFEST
    for key, path in paths.items():
        if key in SPLITS:
            yield path
        elif key == "documents":
            without = [paths[other] for other in (*SPLITS, "revision") if other in paths]
            yield from document_files(path, without=[*without, folder / RESULTS_FOLDER])
        elif path.is_file():
            yield path
        else:  # the pages of a hierarchy; a revision, which may hold all that a task does
            for file in sorted(path.rglob("*")):
                inside = file.relative_to(path).parts
                if file.is_file() and not any(part.startswith(".") for part in inside):
                    yield file


def _within(file: Path, folder: Path) -> str:
    """The file's path in the folder, as its task.yaml names it, without detours."""
    return Path(os.path.relpath(file, folder)).as_posix()


def _models(settings: Settings, runs: Any) -> Iterator[Needed]:
    """The models that the runs use or may use, each with what pins its weights."""
    for model in settings.models or (settings.model,):
        if isinstance(model, EndpointRef):
            yield Needed(name=model.name, origin="endpoint", revision=None)
        else:
            yield _reference(model)
    for name in sorted({settings.scoring_embedder, *_embedders(runs)}):
        yield _reference(name)


def _embedders(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "embedder" and isinstance(inner, str):
                yield inner
            yield from _embedders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _embedders(inner)


def _reference(name: str) -> Needed:
    """A model by its name; its revision where it can be told without asking the network."""
    if name in CATALOGUE:
        return Needed(name=name, origin="catalogue", revision=CATALOGUE[name].revision)
    path = Path(name).expanduser()
    if path.is_dir():
        return Needed(name=name, origin="folder", revision=folder_revision(path))
    match = HUB_ID.fullmatch(name)
    return Needed(name=name, origin="hub", revision=match["revision"] if match else None)
