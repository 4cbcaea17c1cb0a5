"""The front matter of a model card (README.md), read with care: it is anybody's text.

The keys are those of https://huggingface.co/docs/hub/model-cards. Scalars are read as text (in YAML
1.1 the language `no` is false), aliases and deep nesting are refused, and what is not as it should
be is told with its line and left out: a fault in one key hides no other.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import StorageError
from ..files import read_text
from ..measure.model_facts import PublishedScore
from ..yaml_lines import compose_fast
from .quiet import quiet_hub

CARD = "README.md"
MOST_BYTES = 4 * 1024**2
"""Of a card; that of an embedder with 2,000 results takes a third of it."""
DEEPEST = 30
LONGEST = 200
"""Characters of a text that are kept."""

_FRONT = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)


STATES = (
    "licence", "languages", "base_models", "datasets", "published", "training_emissions_g",
)  # fmt: skip
"""The fields of `ModelFacts` that a card may state."""


@dataclass
class CardMetadata:
    """What a card states, None where it could and does not; its scores; and what is wrong."""

    stated: dict[str, Any] = field(default_factory=dict)
    scores: list[PublishedScore] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def card_metadata(folder: Path, model: str) -> CardMetadata:
    """What the card in `folder` states of `model`; nothing, and why, where it cannot be read."""
    found = CardMetadata(stated=dict.fromkeys(STATES))
    try:
        keys, lines = _front_matter(folder / CARD)
    except (StorageError, ValueError) as error:
        found.faults.append(str(error))
        return found
    reading = _Reading(keys, lines, found)
    licence = reading.text("license")
    if licence == "other":
        licence = reading.text("license_name") or licence
    named: dict[str, Any] = {
        "licence": licence,
        "languages": reading.texts("language"),
        "base_models": reading.texts("base_model"),
        "datasets": reading.texts("datasets"),
        "published": reading.date("date"),
        "training_emissions_g": reading.emissions_g("co2_eq_emissions"),
    }
    found.stated |= named
    found.scores = reading.scores("model-index", model)
    return found


def _front_matter(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The keys of the front matter, all scalars as text, and their lines; ValueError otherwise."""
    try:
        size = path.stat().st_size
    except OSError:
        raise ValueError(f"there is no {CARD}") from None
    if size > MOST_BYTES:
        raise ValueError(
            f"{CARD}: {size / 1e6:.1f} MB is no model card, so it was not read (at most "
            f"{MOST_BYTES / 1e6:.1f})"
        )
    text = read_text(path).replace("\r\n", "\n")
    matter = _FRONT.match(text)
    if matter is None:
        raise ValueError(f"{CARD}: there is no front matter between two lines --- at its top")
    above = text.count("\n", 0, matter.start(1))
    try:
        root = compose_fast(matter[1], DEEPEST)
        if "*" in matter[1] and _has_aliases(matter[1]):
            raise ValueError(f"{CARD}: its front matter has YAML aliases, which are not read")
        # Without a table of types every scalar is the text that it is written as.
        content = yaml.BaseLoader("").construct_document(root) if root is not None else None
    except RecursionError:
        raise ValueError(f"{CARD}: its front matter is nested too deeply to be read") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{above + mark.line + 1}" if mark else ""
        raise ValueError(f"{CARD}{line}: broken YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{CARD}: broken YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(root, yaml.MappingNode) or not isinstance(content, dict):
        raise ValueError(f"{CARD}: its front matter is no mapping of keys to values")
    lines = {str(key.value): above + key.start_mark.line + 1 for key, _ in root.value}
    return content, lines


def _has_aliases(text: str) -> bool:
    """Whether an alias stands there: a few lines of them are a list of millions."""
    events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return any(isinstance(event, yaml.AliasEvent) for event in events)


@dataclass
class _Reading:
    """Keys read one at a time; what does not fit is noted with its line."""

    keys: dict[str, Any]
    lines: dict[str, int]
    found: CardMetadata

    def fault(self, key: str, text: str) -> None:
        self.found.faults.append(f'{CARD}:{self.lines.get(key, 1)}: "{key}" {text}')

    def text(self, key: str) -> str | None:
        texts = self.texts(key)
        return ", ".join(texts) or None

    def texts(self, key: str) -> tuple[str, ...]:
        given = self.keys.get(key, ())
        items = [given] if isinstance(given, str) else given
        if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
            self.fault(key, "takes a text or a list of texts, so it was left out")
            return ()
        return tuple(dict.fromkeys(filter(None, map(plain_text, items))))

    def date(self, key: str) -> str | None:
        given = self.keys.get(key)
        if given is None:
            return None
        try:
            return datetime.date.fromisoformat(str(given)[:10]).isoformat()
        except ValueError:
            self.fault(key, "takes a date such as 2025-02-28, so it was left out")
            return None

    def emissions_g(self, key: str) -> float | None:
        """Grams of CO2e: the hub's unit, as a number or as `emissions` within a mapping."""
        given = self.keys.get(key)
        if isinstance(given, dict):
            given = given.get("emissions")
        if given is None:
            return None
        grams = _number(given)
        if grams is None or grams < 0:
            self.fault(key, "takes grams of CO2e as a number, 0 or more, so it was left out")
            return None
        return grams

    def scores(self, key: str, model: str) -> list[PublishedScore]:
        given = self.keys.get(key)
        if not given:
            return []
        with quiet_hub():
            from huggingface_hub.repocard_data import model_index_to_eval_results
        try:
            _, results = model_index_to_eval_results(given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.fault(key, f"is not as the hub writes it ({error!r:.80}): its scores are left out")
            return []
        scores = []
        for result in results:
            number = _number(result.metric_value)
            names = [result.dataset_name, result.dataset_config, result.dataset_split]
            benchmark = " ".join(plain_text(n) for n in names if isinstance(n, str) and n)
            metric = result.metric_name or result.metric_type
            if number is None or not benchmark or not isinstance(metric, str):
                continue
            who = result.source_name
            scores.append(
                PublishedScore(
                    model=model,
                    benchmark=benchmark,
                    metric=plain_text(metric),
                    score=number,
                    source=plain_text(who) if isinstance(who, str) else "the model's own card",
                    url=plain_text(result.source_url) if isinstance(result.source_url, str) else "",
                )
            )
        if len(scores) < len(results):
            left = len(results) - len(scores)
            self.fault(key, f"has {left} result(s) without a number or a name: left out")
        return scores


def plain_text(text: str) -> str:
    """The text in one line, without control characters, which a terminal would obey."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:LONGEST]


def _number(given: Any) -> float | None:
    try:
        number = float(given)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
