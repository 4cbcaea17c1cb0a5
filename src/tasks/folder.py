"""Task folders: task.yaml, JSON-lines splits, documents, a hierarchy, and a revision of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import TaskError, did_you_mean
from .chats import read_examples
from .documents import KINDS, RESULTS_FOLDER, ROWS, SUFFIXES, note_empty, read_documents
from .examples import ExampleReader
from .faults import Faults
from .hierarchy import Entity, read_hierarchy
from .tables import read_json_rows
from .task import REFUSAL, Document, Example, Task
from .yaml_nodes import YamlFile

MANIFEST = "task.yaml"
SPLITS = ("train", "validation", "test")
PATHS = (*SPLITS, "documents", "hierarchy", "revision")
TEXTS = ("name", "version", "description", "language", "license", "refusal")
KEYS = (*TEXTS, *PATHS, "metrics")
LISTED = 12
"""Documents named in full where evidence names none of them."""
TREE = "hierarchy"
"""As evidence: the answer follows from the hierarchy."""


@dataclass
class Manifest:
    """A task.yaml: its texts, its paths inside the folder, where each stands."""

    texts: dict[str, str] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


def load_folder(folder: Path) -> Task:
    """The Task in a folder with a task.yaml.

    Raises `TaskError` with up to 20 faults at once, each with its file and line.
    """
    faults = Faults()
    manifest = read_manifest(folder, faults, needs=("name", "test"))
    faults.check()
    return _read(folder, manifest, faults)


def load_revision(task: Task) -> Task | None:
    """The task after its `revision`, or None where it has none.

    The folder named by ``revision:`` in task.yaml overlays the task: its documents replace those
    of the same id or join them (an empty file takes the document away), and whichever of the
    splits and the hierarchy stand there, under the same file names, take the place of the old.
    It may have a task.yaml of its own, with any of the keys, for a version or other file names.
    """
    if task.folder is None or not (task.folder / MANIFEST).is_file():
        return None
    faults = Faults()
    manifest = read_manifest(task.folder, faults)
    faults.check()
    if "revision" not in manifest.paths:
        return None
    folder = manifest.paths["revision"]
    if not folder.is_dir():
        raise TaskError(f"{folder}: revision must be a folder")
    overlay = Manifest()
    if (folder / MANIFEST).is_file():
        overlay = read_manifest(folder, faults)
        faults.check()
    for key in (*SPLITS, "documents", "hierarchy"):
        if key in manifest.paths and key not in overlay.paths:
            beside = folder / manifest.paths[key].relative_to(task.folder)
            if beside.exists():
                overlay.paths[key] = beside
    if not overlay.paths:
        names = [
            manifest.paths[key].relative_to(task.folder).as_posix()
            for key in ("train", "test", "documents")
            if key in manifest.paths
        ]
        raise TaskError(f"{folder}: nothing is revised; put {' or '.join(names)} there")
    overlay.texts.setdefault("version", f"{task.version}-revision")
    return _read(folder, overlay, faults, task)


def read_manifest(folder: Path, faults: Faults, *, needs: Iterable[str] = ()) -> Manifest:
    """The task.yaml of a folder. Raises `TaskError` where there is none or it is not YAML; other
    faults are noted."""
    path = folder / MANIFEST
    if not path.is_file():
        raise TaskError(f"{folder}: there is no {MANIFEST} there; `wattune init` can write one")
    file = YamlFile(path, faults)
    root = file.root()
    nodes = file.mapping(root, MANIFEST, KEYS)
    manifest = Manifest()
    for key, node in nodes.items():
        if key == "metrics":
            manifest.metrics = file.texts(node, key)
            if not manifest.metrics:
                file.fault(node, "metrics is empty; leave the key out for the usual ones")
        elif key == "version" and not isinstance(node.value, list):
            manifest.texts[key] = str(node.value)  # as written: 1.10 is not 1.1
        else:
            text = file.text(node, key)
            if text is None:
                continue
            if key in TEXTS:
                manifest.texts[key] = text
                continue
            target = folder / text
            if not target.resolve().is_relative_to(folder.resolve()):
                file.fault(node, f"{key}: {text} leads out of the task's folder; keep it inside")
            elif not target.exists():
                file.fault(node, f"{key}: there is no {text} in {folder}")
            elif key == "documents" and target.suffix.lower() in ROWS and target.is_file():
                manifest.paths[key] = target
            elif key == "hierarchy":
                manifest.paths[key] = target  # a file, or a folder of Markdown pages
            elif target.is_dir() != (key in ("documents", "revision")):
                wanted = "a file" if target.is_dir() else "a folder"
                file.fault(node, f"{key}: {text} must be {wanted}")
            else:
                manifest.paths[key] = target
    for key in needs:
        if key not in nodes:
            faults.add(f"{path}: {key} is missing; every task has a name and a test file")
    return manifest


def _read(folder: Path, manifest: Manifest, faults: Faults, base: Task | None = None) -> Task:
    """What a manifest names, over `base` where the manifest is a revision's."""
    old = base or Task(name="")
    paths = manifest.paths
    refusal = manifest.texts.get("refusal", old.refusal if base else REFUSAL)
    reader = ExampleReader(faults, refusal=refusal)
    splits = {
        key: read_split(paths[key], reader) if key in paths else getattr(old, key) for key in SPLITS
    }
    documents: dict[str, Document] = {document.id: document for document in old.documents}
    if "documents" in paths:
        without = [paths[key] for key in (*SPLITS, "revision") if key in paths]
        if paths["documents"].resolve() == folder.resolve():
            without.append(folder / RESULTS_FOLDER)
        found = read_documents(paths["documents"], faults, without=without)
        documents |= {document.id: document for document in found}
        if base is None:  # in a revision an empty one takes a document away
            note_empty(found, faults)
            if not any(document.text for document in found):
                faults.add(
                    f"{paths['documents']}: no document with text among {len(found):,}; put "
                    f"{KINDS} files there, or leave `documents` out"
                )
    documents = {name: document for name, document in documents.items() if document.text}
    hierarchy: Entity | None = old.hierarchy
    if "hierarchy" in paths:
        try:
            hierarchy = read_hierarchy(paths["hierarchy"])
        except TaskError as error:
            faults.add(str(error))
    known = {*documents, TREE} if hierarchy else set(documents)
    splits = {key: check_evidence(found, known, reader) for key, found in splits.items()}
    faults.check()
    if not splits["test"]:
        where = paths.get("test", folder)
        raise TaskError(f"{where}: no test questions; a task needs at least one")
    return replace(
        old,
        name=manifest.texts.get("name", old.name),
        version=manifest.texts.get("version", old.version),
        description=manifest.texts.get("description", old.description),
        refusal=refusal,
        metrics=manifest.metrics or old.metrics,
        documents=tuple(documents[name] for name in sorted(documents)),
        hierarchy=hierarchy,
        folder=folder,
        notes=faults.notes,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
    )


def read_split(path: Path, reader: ExampleReader) -> tuple[Example, ...]:
    """The Examples of one JSON-lines file, its faults noted."""
    rows = read_json_rows(path, reader.faults)
    return tuple(example for place, row in rows for example in read_examples(row, place, reader))


def check_evidence(
    examples: tuple[Example, ...], known: set[str], reader: ExampleReader
) -> tuple[Example, ...]:
    """Evidence as document ids (``a.md`` is taken for ``a``); unknown ones are faults."""
    if not known:
        return examples
    checked: list[Example] = []
    for example in examples:
        names = tuple(name if name in known else _without_ending(name) for name in example.evidence)
        for name in names:
            if name not in known:
                place = reader.places.get(example.id, example.id)
                near = did_you_mean(name, known)
                # Every document of a large task would bury the fault.
                hint = near if len(known) <= LISTED or "did you mean" in near else ""
                reader.faults.add(f'{place}: evidence "{name}" is no document of the task{hint}')
        checked.append(
            example if names == example.evidence else example.model_copy(update={"evidence": names})
        )
    return tuple(checked)


def _without_ending(name: str) -> str:
    kind = next((kind for kind in SUFFIXES if name.lower().endswith(kind)), "")
    return name[: len(name) - len(kind)]
