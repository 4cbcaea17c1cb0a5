"""The facts of a base model, gathered from what lies here: weights, configuration, card, catalogue.

    folder ─ weights' headers ─┐
             config.json ──────┤
             README.md ────────┼─▶ ModelFacts: each figure with its source,
    catalogue ─────────────────┤    what nobody states with where it was looked for
    what the hub said ─────────┘    (only where somebody asked it: hub_card.py)

The first that states a figure is believed: files before what is told about them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError, StorageError, did_you_mean
from ..files import read_text
from ..measure.model_facts import MOST_SCORES, STATED, ModelFacts
from ..measure.record import Record
from ..system import EndpointSystem, LocalSystem, ModelRef, System
from .card_metadata import CARD, card_metadata
from .catalogue import CATALOGUE
from .fetch import fetched
from .hub import HUB_ID, known_folder

PRECISIONS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3", "F8_E5M2": "float8_e5m2", "I8": "int8", "U8": "uint8",
}  # fmt: skip
"""The types of safetensors by torch's names; others keep theirs."""
NO_WEIGHTS = ("BOOL", "I16", "U16", "I32", "U32", "I64", "U64")
"""Types of what is stored beside weights: positions, masks, counters."""
WINDOWS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
"""What configurations of transformers call the context window."""


@dataclass
class Gathering:
    """What is stated so far: the first place that states a figure is its source."""

    stated: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    looked: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def offer(self, place: str, found: Mapping[str, Any]) -> None:
        """What a place states, and None for what it could have stated and does not."""
        for name, value in found.items():
            self.looked.setdefault(name, []).append(place)
            if value not in (None, ()) and name not in self.stated:
                self.stated[name], self.sources[name] = value, place

    def facts(self, name: str, revision: str, *, elsewhere: str = "", **more: Any) -> ModelFacts:
        """All of it; for what nobody states, where it was looked for, or what `elsewhere` says."""
        sources = {}
        for figure in STATED:
            looked = " or ".join(self.looked.get(figure, ()))
            untold = f"not in {looked}" if looked else elsewhere
            sources[figure] = self.sources.get(figure, untold)
        return ModelFacts(
            name=name, revision=revision, sources=sources, notes=tuple(self.notes), **more,
            **self.stated,
        )  # fmt: skip


def facts_here(name: str) -> ModelFacts:
    """The facts of a model by its catalogue name, folder or hub id, from what lies here.

    Nothing is fetched. Raises `ModelError` for a name that means nothing, and for a hub id of which
    nothing lies here.
    """
    revision, folder = located(name)
    # A folder as records name it: by where it lies.
    return gathered(name if revision else str(folder), revision, folder)


def located(name: str) -> tuple[str, Path | None]:
    """The revision that a name means here ("" for a folder), and the folder of its files; None
    where they are not here."""
    if name in CATALOGUE:
        return CATALOGUE[name].revision, fetched(name)
    path = Path(name).expanduser()
    if path.is_dir():
        if not any((path / file).is_file() for file in ("config.json", CARD)):
            raise ModelError(f"{path} holds neither config.json nor {CARD}, so it is no model")
        return "", path.resolve()
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise ModelError(
            f'"{name}" is no model of the catalogue, no folder here and no hub id '
            f'(those look like "org/name"){did_you_mean(name, CATALOGUE)}'
        )
    folder = known_folder(match["repo"], match["revision"])
    if folder is None:
        raise ModelError(
            f'nothing of "{name}" lies here; --online asks the hub for its card and configuration'
        )
    return folder.name, folder


def facts_of(system: System) -> ModelFacts | None:
    """The facts of the base model a System answers with, for its Record; None where a classifier
    answers. Never raises for what cannot be read: that is noted."""
    if isinstance(system, EndpointSystem):
        of = system.endpoint
        return Gathering().facts(
            of.name,
            system.revision,
            elsewhere="an endpoint does not state it",
            where="this_machine" if of.on_this_machine else "managed",
        )
    if not isinstance(system, LocalSystem):
        return None
    return _of_weights(system.model)


def known_facts(records: Iterable[Record]) -> dict[str, ModelFacts]:
    """The facts of base models that records do not hold and that lie here in the same revision, by
    that revision: weights of the catalogue and the hub, which a name pins."""
    found: dict[str, ModelFacts] = {}
    for record in records:
        model = record.system.get("model")
        if record.model is None and isinstance(model, dict):
            name, revision = str(model.get("name")), str(model.get("revision"))
            pinned = name in CATALOGUE and CATALOGUE[name].revision == revision
            if revision not in found and (pinned or name.endswith(f"@{revision}")):
                found[revision] = _of_weights(ModelRef(name=name, revision=revision))
    return found


def _of_weights(model: ModelRef) -> ModelFacts:
    try:
        _, folder = located(model.name)
    except ModelError as error:
        return Gathering(notes=[str(error)]).facts(
            model.name, model.revision, elsewhere="its files are not here", where="this_machine"
        )
    found = gathered(model.name, model.revision, folder)
    if len(found.scores) <= MOST_SCORES:
        return found
    note = f"{CARD} holds {len(found.scores)} scores, more than a record keeps; give them as a CSV"
    return found.model_copy(update={"scores": (), "notes": (*found.notes, note)})


def gathered(
    name: str, revision: str, folder: Path | None, hub: Mapping[str, Any] | None = None
) -> ModelFacts:
    """The facts of the model in `folder`, completed by the catalogue and by what the hub said."""
    gathering, scores = Gathering(), []
    if folder is None:
        gathering.notes.append("its files are not here; `wattune models fetch` brings them")
    else:
        config = _config(folder, gathering)
        gathering.offer("the headers of its weights", _of_headers(folder, config, gathering))
        gathering.offer("sentence_bert_config.json", _of_embedder(folder))
        gathering.offer("config.json", _of_config(config))
        card = card_metadata(folder, name)
        gathering.offer(CARD if (folder / CARD).is_file() else f"{CARD} (not there)", card.stated)
        gathering.notes += card.faults
        scores = card.scores
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        gathering.offer(
            "wattune's catalogue",
            {
                "licence": entry.licence,
                "parameters": entry.parameters,
                "base_models": (entry.made_from,) if entry.made_from else None,
            },
        )
    if hub is not None:
        gathering.offer("the hub's page", hub)
    only_hub = "only the hub states it" + ("" if hub is not None else "; --online asks")
    return gathering.facts(
        name, revision, elsewhere=only_hub, where="this_machine", scores=tuple(scores)
    )


def _config(folder: Path, gathering: Gathering) -> dict[str, Any]:
    try:
        config = json.loads(read_text(folder / "config.json"))
    except (StorageError, ValueError, RecursionError) as error:
        missing = not (folder / "config.json").is_file()
        said = "there is no config.json" if missing else f"config.json cannot be read ({error})"
        gathering.notes.append(said)
        return {}
    return config if isinstance(config, dict) else {}


def _of_embedder(folder: Path) -> dict[str, Any]:
    """What an embedder cuts its texts at, below its window; nothing of other models."""
    try:
        cut = json.loads(read_text(folder / "sentence_bert_config.json")).get("max_seq_length")
    except (StorageError, ValueError, RecursionError, AttributeError):
        return {}
    return {"context_tokens": cut if type(cut) is int and cut > 0 else None}


def _of_config(config: dict[str, Any]) -> dict[str, Any]:
    """The context window."""
    text = config.get("text_config")  # of models that also see or hear
    held = {**(text if isinstance(text, dict) else {}), **config}
    windows = [held.get(key) for key in WINDOWS]
    return {"context_tokens": next((w for w in windows if type(w) is int and w > 0), None)}


def _of_headers(folder: Path, config: dict[str, Any], gathering: Gathering) -> dict[str, Any]:
    """Parameters, bytes and precision of the safetensors in a folder; no weight is read."""
    from safetensors import SafetensorError

    files = sorted(folder.glob("*.safetensors"))
    untold = dict.fromkeys(("parameters", "weights_bytes", "precision"))
    if not files:
        return untold
    counts: dict[str, int] = {}
    try:
        for kind, values in (tensor for file in files for tensor in _tensors(file)):
            if kind not in NO_WEIGHTS:
                counts[kind] = counts.get(kind, 0) + values
    except (SafetensorError, OSError) as error:
        gathering.notes.append(f"{folder.name}: its weights cannot be read ({error})")
        return untold
    size = sum(file.stat().st_size for file in files)
    stored = config.get("quantization_config")
    if isinstance(stored, dict):  # several weights are packed into one value
        method = str(stored.get("quant_method", "of an unnamed method"))
        return {**untold, "weights_bytes": size, "precision": f"quantised, {method}"}
    most = max(counts, key=lambda kind: counts[kind], default="")
    return {
        "parameters": sum(counts.values()) or None,
        "weights_bytes": size,
        "precision": PRECISIONS.get(most, most.lower()) or None,
    }


def _tensors(file: Path) -> Iterator[tuple[str, int]]:
    """Type and number of values of each tensor, from the file's header."""
    from math import prod

    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        for name in opened.keys():  # noqa: SIM118 - it has no iterator
            part = opened.get_slice(name)
            yield part.get_dtype(), prod(part.get_shape())
