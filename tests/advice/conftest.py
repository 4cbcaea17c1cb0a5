"""Records with known scores and joules, so that the choice can be reckoned by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, StageRecord
from wattune.measure.serving import Realtime
from wattune.measure.statistics import bootstrap_mean

Made = Callable[..., Record]


def phase(joules: float | None, seconds: float = 10.0, provenance: Any = "counter") -> Phase:
    energy = {"cpu": Energy(energy_j=joules, provenance=provenance)}
    return Phase(
        duration_s=seconds, energy_j=joules, components=energy, peak_memory_bytes=2_000_000_000
    )


def scores_of(mean: float, questions: int, seed: int = 0) -> list[float]:
    """Scores of 0 and 1 whose mean is as near to `mean` as so many questions allow; the same seed
    shuffles alike, so that a better run is right wherever a worse one is."""
    right = round(mean * questions)
    scores = [1.0] * right + [0.0] * (questions - right)
    random.Random(seed).shuffle(scores)
    return scores


@pytest.fixture
def made() -> Made:
    """A finished record: mean quality, joules to prepare and of an answer; `changes` win."""

    def make(
        name: str,
        quality: float = 0.5,
        prepare_j: float | None = 3600.0,
        answer_j: float | None = 3.6,
        *,
        scores: Sequence[float] | None = None,
        questions: int = 200,
        latency_s: float | None = 0.5,
        **changes: Any,
    ) -> Record:
        known = list(scores) if scores is not None else scores_of(quality, questions)
        bill = Bill(energy_j=prepare_j, duration_s=60.0)
        stage = StageRecord(strategy=name, key=f"stage-{name}", reused=False, spent=bill,
                            attributed=bill)  # fmt: skip
        asked = answer_j is not None and latency_s is not None
        given: dict[str, Any] = {
            "name": name,
            "key": f"key-of-{name}",
            "created_at": "2026-01-01T00:00:00+00:00",
            "task": {"name": "ferry", "items": "items", "split": "test",
                     "questions": len(known), "metrics": ["token_f1"]},
            "fingerprints": {"scorer": "s"},
            "recipe": {"name": name},
            "system": {"kind": "local", "model": {"name": "smollm2-135m-q4", "revision": "r"}},
            "stages": (stage,) if prepare_j else (),
            "phases": {"answer": phase(None if answer_j is None else answer_j * len(known))},
            "prepare": bill,
            "answers": len(known),
            "quality": {"token_f1": bootstrap_mean(known)},
            "scores": {"token_f1": tuple(known)},
            "realtime": Realtime(
                questions=20, latency_p95_s=latency_s, latency_p50_s=latency_s,
                energy_j_per_answer=answer_j, latency_s=(latency_s,) * 20,
            ) if asked else None,
            "carbon": Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", year=2023),
        }  # fmt: skip
        return Record.model_validate({**given, **changes})

    return make
