"""Written before: how long the answers were that records hold, by run and question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..job import Job
from ..measure.record import Record
from ..measure.store import load_answers, record_files
from .lengths import Written

ENDS = ("max_tokens", "stop", "choices")
"""What of the decoding decides how long an answer can be."""
DECIDE = ("runs", "decoding", "seed")
"""What of a resolved recipe decides what is written, beside model, task and training questions."""


def lengths_of(place: Path, record: Record, *, sure: bool = True) -> dict[str, Written]:
    """Tokens that a record's answers took, by question, where they are known; of several samples
    the mean. `place` is the folder it lies in, or its file. Raises `StorageError`."""
    samples = int((record.system.get("decoding") or {}).get("samples") or 1)
    return {
        answer.question: Written(max(1, round(answer.tokens_out / samples)), sure)
        for answer in load_answers(place, record)
        if answer.tokens_out
    }


def written_before(folder: Path, jobs: Sequence[Job]) -> dict[str, dict[str, Written]]:
    """By the name of each job the lengths that its records in `folder` hold, newest first: those of
    the same model, the same kinds of steps and a decoding that ends alike. They are sure where the
    settings are the same, too, and the training; those go before others.

    What cannot be read tells nothing.
    """
    if not folder.is_dir():
        return {}
    try:
        files = [(path, one) for path, one in record_files(folder) if one.status == "done"]
    except StorageError:
        return {}
    files.sort(key=lambda pair: pair[1].created_at)
    found: dict[str, dict[str, Written]] = {}
    for job in jobs:
        mine = job.recipe or {}
        like = [pair for pair in files if pair[1].name == job.name and _alike(mine, pair[1].recipe)]
        like.sort(key=lambda pair: _same(mine, pair[1].recipe))  # sorting keeps their ages' order
        for path, record in like:
            try:
                lengths = lengths_of(path, record, sure=_same(mine, record.recipe))
            except StorageError:
                continue
            found[job.name] = {**found.get(job.name, {}), **lengths}
    return found


def _same(mine: Mapping[str, Any], its: Mapping[str, Any]) -> bool:
    limits = [(recipe.get("limit") or {}).get("train") for recipe in (mine, its)]
    return limits[0] == limits[1] and all(mine.get(name) == its.get(name) for name in DECIDE)


def _alike(mine: Mapping[str, Any], its: Mapping[str, Any]) -> bool:
    decodings = [recipe.get("decoding") or {} for recipe in (mine, its)]
    return (
        mine.get("model") == its.get("model")
        and _kinds(mine) == _kinds(its)
        and all(decodings[0].get(name) == decodings[1].get(name) for name in ENDS)
    )


def _kinds(recipe: Mapping[str, Any]) -> list[Any]:
    """The kinds of the steps of a resolved recipe's one run."""
    runs = recipe.get("runs") or {}
    return [
        [step if isinstance(step, str) else step.get("type") or sorted(step) for step in steps]
        for steps in runs.values()
    ]
