"""Record: the result of one run, as schema-versioned plain JSON.

Units are in the names. What was not measured is None, what failed says so in its provenance;
neither is ever 0. Two bills are kept apart: `spent` is what this run used, `attributed` what its
stages cost when they were first made, which is what comparisons use.
"""

from __future__ import annotations

from typing import Any, Literal

from ..values import Value

SCHEMA_VERSION = 1

Provenance = Literal["counter", "integrated_power", "modelled_load", "constant", "failed"]
"""counter: an energy counter of the hardware; integrated_power: sampled power over time;
modelled_load: rated power times load; constant: a fixed power times time; failed: no figure."""


class Energy(Value):
    """Energy of one component over one phase, in joules, and how it is known."""

    energy_j: float | None
    provenance: Provenance
    detail: str = ""


class Phase(Value):
    """One metered stretch of work.

    `energy_j` is the sum over the components that could be known, None when none could.
    `peak_memory_bytes` is the largest resident memory of the process tree within the phase,
    `peak_gpu_memory_bytes` the most that torch had allocated on any one device. Phases under 0.1 s
    are `below_resolution`; `error` is the exception that ended the phase, as one line.
    """

    duration_s: float
    energy_j: float | None
    components: dict[str, Energy] = {}
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    below_resolution: bool = False
    error: str | None = None


class Bill(Value):
    """What something cost: energy in joules (None where unknown), time in seconds."""

    energy_j: float | None = 0.0
    duration_s: float = 0.0

    def __add__(self, other: Bill) -> Bill:
        known = self.energy_j is not None and other.energy_j is not None
        return Bill(
            energy_j=(self.energy_j or 0.0) + (other.energy_j or 0.0) if known else None,
            duration_s=self.duration_s + other.duration_s,
        )


class StageRecord(Value):
    """One step of the run: prepared now, or found prepared (then `spent` is zero)."""

    strategy: str
    key: str
    reused: bool
    spent: Bill
    attributed: Bill
    peak_memory_bytes: int | None = None
    artefact_bytes: int = 0
    details: dict[str, Any] = {}


class Score(Value):
    """A mean over questions with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int


class Carbon(Value):
    """The grid's intensity that energy is multiplied by, and where the figure is from."""

    place: str
    intensity_g_per_kwh: float
    source: str
    year: int | None = None
    kind: Literal["average", "marginal"] = "average"


class Tokens(Value):
    """Tokens read and written while answering all questions."""

    tokens_in: int = 0
    tokens_out: int = 0


class Record(Value):
    """One run of one list of strategies on one task with one model.

    `key` is the digest of everything that determines the run, so that running again finds it.
    `recipe` is the whole resolved recipe of this run: it can be run again from the record alone.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    key: str
    status: Literal["done", "skipped", "failed"] = "done"
    reason: str = ""
    created_at: str = ""
    recipe: dict[str, Any] = {}
    system: dict[str, Any] = {}
    task: dict[str, Any] = {}
    stages: tuple[StageRecord, ...] = ()
    phases: dict[str, Phase] = {}
    prepare: Bill = Bill()
    spent: Bill = Bill()
    answers: int = 0
    quality: dict[str, Score] = {}
    quality_by: dict[str, dict[str, Score]] = {}
    tokens: Tokens = Tokens()
    latency_s: float | None = None
    artefact_bytes: int = 0
    carbon: Carbon | None = None
    environment: dict[str, Any] = {}
    flags: tuple[str, ...] = ()


class ScoredAnswer(Value):
    """One line of a record's answers file: what was asked, answered, and how it scored."""

    id: str
    question: str
    answers: tuple[str, ...]
    kind: str
    tags: tuple[str, ...] = ()
    text: str
    passages: tuple[dict[str, Any], ...] = ()
    tokens_in: int
    tokens_out: int
    scores: dict[str, float]
