"""Which training examples are learnt from: filters, near-duplicates, a share of them, a budget."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field, model_validator

from ..errors import CannotRun, InputError, did_you_mean
from ..tasks.similarity import Neighbours, counted, word_shingles
from ..tasks.task import Example
from ..values import Value, digest

SHOWN = 5
"""Ids that the report tells of those a filter dropped."""
SURE = 0.5
"""Probability above which a text is taken for another language; unsure ones are kept."""


class DataSettings(Value):
    """Which of the task's training examples are learnt from; the default is all, as they are.

    `language` (ISO 639-1), `min_words`, `max_words` and `near_duplicates` are filters, in this
    order; `share` and `max_examples` take some of what is left. Words are those of question and
    answer together; from a Jaccard similarity of `near_duplicates` on, the later example goes.
    `paraphrases` rewordings of each question are added, written by `paraphraser`, or by the model
    that is tuned.
    """

    share: float = Field(default=1.0, gt=0, le=1)
    max_examples: int | None = Field(default=None, ge=1)
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    min_words: int | None = Field(default=None, ge=1)
    max_words: int | None = Field(default=None, ge=1)
    language: str | None = None
    paraphrases: int = Field(default=0, ge=0, le=16)
    paraphraser: str | None = None

    @model_validator(mode="after")
    def _some_length_is_right(self) -> DataSettings:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self


def curated(
    examples: Sequence[Example], settings: DataSettings, *, seed: int
) -> tuple[list[Example], dict[str, Any]]:
    """The examples to learn from, in their order, and what became of the others.

    The report has `given`, `kept`, `dropped` (how many by reason) and `dropped_ids` (at most 5 a
    reason). Shares are nested: with one seed, 10 % are among the 30 %. They keep the mix of kinds.
    Raises `CannotRun` where a filter leaves nothing or its library is missing, and `InputError`
    for a language that is not known.
    """
    kept = list(examples)
    dropped: dict[str, list[str]] = {}

    def keep(reason: str, setting: str, chosen: list[Example]) -> None:
        nonlocal kept
        left = {example.id for example in chosen}
        lost = [example.id for example in kept if example.id not in left]
        if kept and not chosen:
            raise CannotRun(
                f"data.{setting} leaves none of {len(kept)} training examples; loosen it"
            )
        if lost:
            dropped[reason] = lost
        kept = chosen

    if settings.language is not None:
        spoken = _speaks(settings.language)
        chosen = [example for example in kept if spoken(learnt_text(example))]
        keep("other_language", f"language {settings.language}", chosen)
    if settings.min_words is not None:
        chosen = [example for example in kept if _words(example) >= settings.min_words]
        keep("too_short", f"min_words {settings.min_words}", chosen)
    if settings.max_words is not None:
        chosen = [example for example in kept if _words(example) <= settings.max_words]
        keep("too_long", f"max_words {settings.max_words}", chosen)
    if settings.near_duplicates is not None:
        chosen = without_near_duplicates(kept, settings.near_duplicates)
        keep("near_duplicate", f"near_duplicates {settings.near_duplicates:g}", chosen)
    count = max(1, round(settings.share * len(kept)))
    keep("outside_share", "share", _first(kept, count, seed))
    if settings.max_examples is not None:
        keep("over_max_examples", "max_examples", _first(kept, settings.max_examples, seed))
    return kept, {
        "given": len(examples),
        "kept": len(kept),
        "dropped": {reason: len(ids) for reason, ids in dropped.items()},
        "dropped_ids": {reason: ids[:SHOWN] for reason, ids in dropped.items()},
    }


def learnt_text(example: Example) -> str:
    """The text of an example that filters judge: its question and the answer that is trained."""
    return f"{example.question} {example.answers[0]}"


def without_near_duplicates(examples: Sequence[Example], threshold: float) -> list[Example]:
    """The examples without each that is similar to a kept one before it.

    Similarity is the Jaccard index of runs of three words of question and answer, exact for all
    pairs: 10,000 examples take seconds.
    """
    shingles = [word_shingles(learnt_text(example)) for example in examples]
    known = Neighbours(threshold, counted(shingles))
    kept: list[Example] = []
    for example, own in zip(examples, shingles, strict=True):
        if not known.near(own):
            known.add(own)
            kept.append(example)
    return kept


def _words(example: Example) -> int:
    return len(learnt_text(example).split())


def _first(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """The first `count` of a shuffle by the seed that has every kind evenly spread, in the order
    they were given. The place of an example depends on its kind alone, so a larger count adds."""
    if count >= len(examples):
        return list(examples)
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for example in examples:
        by_kind[example.kind].append(example.id)
    sizes = Counter(example.kind for example in examples)
    places: list[tuple[float, str, str]] = []
    for kind, ids in by_kind.items():
        drawn = sorted((digest([seed, name]), name) for name in ids)
        places += [((n + 0.5) / sizes[kind], mark, name) for n, (mark, name) in enumerate(drawn)]
    chosen = {name for *_, name in sorted(places)[:count]}
    return [example for example in examples if example.id in chosen]


def _speaks(language: str) -> Callable[[str], bool]:
    """Whether a text is in a language, or not surely in another, by py3langid."""
    try:
        from py3langid.langid import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
            MODEL_FILE,
            LanguageIdentifier,
        )
    except ImportError as error:
        raise CannotRun(
            "data.language needs py3langid, which is not installed: pip install 'wattune[language]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if language not in identifier.labels:
        known = did_you_mean(language, identifier.labels)
        raise InputError(f'data.language: "{language}" is no language that is told apart{known}')

    def spoken(text: str) -> bool:
        found, probability = identifier.classify(text)
        return bool(found == language or probability <= SURE)

    return spoken
