"""What is told of a base model by its card, its configuration and its files, each with its source.

Nothing here is measured by wattune. What nobody states is None (or empty), and `sources` say where
it was looked for. Scores that others published stand apart from those of a Record.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import field_validator

from ..values import Value

MOST_SCORES = 100
"""Published scores that a Record keeps: cards of embedders hold thousands."""


class PublishedScore(Value):
    """A score that others published, as they state it: nothing of it was measured here.

    `score` is in the publisher's own unit (0.41 and 41 are not made one), `source` says who
    published it, `url` and `date` (ISO 8601) where and when, empty where that is not told.
    """

    model: str
    benchmark: str
    metric: str
    score: float
    source: str
    url: str = ""
    date: str = ""

    @field_validator("score")
    @classmethod
    def _finite(cls, given: float) -> float:
        if not math.isfinite(given):
            raise ValueError("a score is a finite number")
        return given


class ModelFacts(Value):
    """What is told of one base model; None or empty where nothing is.

    `parameters` counts weights, `weights_bytes` is their size as stored and `precision` the type
    that most of them are stored in. `context_tokens` is the most the model can read and write in
    one go. `languages` are codes as its card writes them; `published` and `updated` dates (ISO
    8601); `base_models` what it was made of; `training_emissions_g` grams of CO2e that its makers
    state for its training. `where` says whether questions leave the machine. `sources` has an entry
    for each of these: where the figure stands, or where it was looked for. `notes` are sentences on
    what could not be read.
    """

    name: str
    revision: str
    where: Literal["this_machine", "managed"] | None = None
    parameters: int | None = None
    weights_bytes: int | None = None
    precision: str | None = None
    context_tokens: int | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    published: str | None = None
    updated: str | None = None
    base_models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    training_emissions_g: float | None = None
    sources: dict[str, str] = {}
    scores: tuple[PublishedScore, ...] = ()
    notes: tuple[str, ...] = ()


STATED = (
    "parameters", "weights_bytes", "precision", "context_tokens", "licence", "languages",
    "published", "updated", "base_models", "datasets", "training_emissions_g",
)  # fmt: skip
"""The fields that somebody states or does not; each has an entry in `sources`."""
