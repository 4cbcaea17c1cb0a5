"""The base models that the rows of a comparison stand on, and what is told of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..measure.model_facts import STATED, ModelFacts, PublishedScore
from ..measure.record import Record
from .seeds import Row

Known = Mapping[str, ModelFacts]
"""Facts by the revision of the weights, for records that do not hold them."""
NOT_KEPT = "not in the record: the wattune that wrote it kept no facts of models"
CLASSIFIER = "a classifier"


@dataclass(frozen=True)
class BaseModel:
    """A base model with the rows that stand on it; `label` is its name for a person.

    `facts` is None for the classifiers, which stand on no language model.
    """

    label: str
    facts: ModelFacts | None
    rows: tuple[Row, ...]

    @property
    def names(self) -> set[str]:
        """What scores of others may call it, in small letters: its name, its hub name."""
        if self.facts is None:
            return set()
        whole = self.facts.name.partition("@")[0]
        return {name.lower() for name in (self.label, self.facts.name, whole)}


def fact_name(field: str) -> str:
    """What a person calls a field of `ModelFacts`."""
    names = {"weights_bytes": "size as stored", "training_emissions_g": "training emissions"}
    return names.get(field, field.replace("_", " "))


def facts_of(record: Record, known: Known) -> ModelFacts | None:
    """The facts of a record's base model: its own, or known ones of the same weights."""
    if record.model is not None:
        return record.model
    system = record.system
    if system.get("kind") == "classical":
        return None
    endpoint = system.get("endpoint") or {}
    model = system.get("model") or {}
    revision = str(record.fingerprints.get("model") or model.get("revision") or "")
    if revision in known:
        return known[revision]
    name = model.get("name") or endpoint.get("model") or endpoint.get("langchain") or "not recorded"
    return ModelFacts(
        name=str(name),
        revision=revision,
        where="this_machine" if model else endpoint.get("where"),
        sources=dict.fromkeys(STATED, NOT_KEPT),
    )


def base_models(rows: Sequence[Row], known: Known) -> list[BaseModel]:
    """The base models of rows, the smallest first, those of unknown size after them, and the
    classifiers last."""
    found: dict[str | None, tuple[ModelFacts | None, list[Row]]] = {}
    for row in rows:
        facts = facts_of(row.records[0], known)
        key = f"{facts.name} {facts.revision}" if facts else None
        found.setdefault(key, (facts, []))[1].append(row)
    short = [short_name(facts) for facts, _ in found.values()]
    models = [
        BaseModel(
            name if short.count(name) == 1 or facts is None else f"{name}#{facts.revision[:6]}",
            facts,
            tuple(members),
        )
        for name, (facts, members) in zip(short, found.values(), strict=True)
    ]
    return sorted(models, key=lambda model: (model.facts is None, _size(model.facts)))


def published_of(model: BaseModel, given: Sequence[PublishedScore]) -> list[PublishedScore]:
    """Scores that others published of a model: of its card, and those of `given` of its name."""
    own = model.facts.scores if model.facts else ()
    return [*own, *(score for score in given if score.model.lower() in model.names)]


def counted(number: float) -> str:
    """A count of weights, ``134.5 million``."""
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{number / size:,.1f}{word}"
    return f"{number:,.0f}"


def sized(number: float) -> str:
    """Bytes, ``538.1 MB`` (10⁶)."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:,.1f} {letter}B"
    return f"{number:,.0f} B"


def _size(facts: ModelFacts | None) -> float:
    return math.inf if facts is None or facts.parameters is None else facts.parameters


def short_name(facts: ModelFacts | None) -> str:
    """A name for a column: the last folder of a path, a hub name without its commit."""
    if facts is None:
        return CLASSIFIER
    path = PurePath(facts.name)
    return path.name if path.is_absolute() else facts.name.partition("@")[0]
