"""Record: the result of one run, as schema-versioned plain JSON.

Units are in the names. What was not measured is None, what failed says so in its provenance;
neither is ever 0. Two bills are kept apart: `spent` is what this run used, `attributed` what its
stages cost when they were first made, which is what comparisons use.
"""

from __future__ import annotations

from typing import Any, Literal

from ..values import Value
from .bill import Bill as Bill
from .bill import StageRecord as StageRecord
from .model_facts import ModelFacts
from .predicted import Predicted
from .projected import Projected
from .refresh import Refresh
from .score import Score as Score
from .serving import Batch, Realtime
from .work import Work

SCHEMA_VERSION = 5

Provenance = Literal[
    "counter",
    "integrated_power",
    "modelled_load",
    "constant",
    "modelled_tokens",
    "provider_reported",
    "projected",
    "failed",
]
"""counter: an energy counter of the hardware; integrated_power: sampled power over time;
modelled_load: rated power times load; constant: a fixed power times time; modelled_tokens: tokens
of a managed endpoint times a factor; provider_reported: the provider's own figure; projected:
not measured, but reckoned for another machine or model size; failed: no figure."""


class Energy(Value):
    """Energy of one component over one phase, in joules, and how it is known.

    `tdp_w` is the rated power a model was fed with and `tdp_source` where that is from, None where
    no rated power is used. `coverage` is the share of the phase's time that has a figure, 0 to 1.
    """

    energy_j: float | None
    provenance: Provenance
    detail: str = ""
    tdp_w: float | None = None
    tdp_source: str | None = None
    coverage: float = 1.0


class Utilisation(Value):
    """How busy the machine was in a phase; None where the system does not say.

    `cpu_percent` is the mean over all cores of the whole machine, 0 to 100; `cpu_s` the processor
    seconds of this process and its children. `gpu_percent` is the mean over the metered GPUs and
    the samples taken. `memory_percent` is the most of the machine's memory in use at a sample.
    Disk figures are bytes that this process read from and wrote to storage.
    """

    cpu_percent: float | None = None
    cpu_s: float | None = None
    gpu_percent: float | None = None
    memory_percent: float | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None


class Phase(Value):
    """One metered stretch of work.

    `energy_j` is inclusive: all that the machine drew from begin to end, the sum over the
    components that could be known, None when none could. `exclusive_energy_j` leaves out what ran
    in phases within; time in which several threads' innermost phases were open at once is parted
    equally, so exclusive figures of all phases add up to what was metered, never to more.
    `exclusive_duration_s` likewise. `net_energy_j` is `energy_j` less the idle power of the same
    components over the same time, None without a baseline; noise can make it a little negative.
    `overlapped` says that another thread's phase was open at the same time. `parent` is the name
    of the phase it was opened in.

    `peak_memory_bytes` is the largest resident memory of the process tree within the phase,
    `peak_gpu_memory_bytes` the most that torch had allocated on any one device. Phases under 0.1 s
    are `below_resolution`; `repeats` is how often the work was done within (all figures are of all
    repeats together). `error` is the exception that ended the phase, as one line.
    """

    duration_s: float
    energy_j: float | None
    exclusive_duration_s: float | None = None
    exclusive_energy_j: float | None = None
    net_energy_j: float | None = None
    components: dict[str, Energy] = {}
    utilisation: Utilisation = Utilisation()
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    parent: str | None = None
    overlapped: bool = False
    repeats: int = 1
    below_resolution: bool = False
    error: str | None = None


class Baseline(Value):
    """What the machine drew while nothing of ours ran: watts by component, measured over
    `duration_s` seconds. `cpu_percent` tells how idle it was; above a few percent it was not."""

    power_w: dict[str, float]
    duration_s: float
    cpu_percent: float | None = None
    measured_at: str = ""


class GeneralKind(Value):
    """One kind of general question: how many, and the share that was right before and after."""

    questions: int
    before: float
    after: float


class General(Value):
    """The general questions, answered by the base and by the system whose weights were changed.

    `set` is the digest of the questions with their checks; `change` is after - before with its
    paired interval; `scores_before` and `scores_after` are 1 or 0 by question, in their order.
    """

    questions: int
    set: str
    before: Score
    after: Score
    change: Score
    by_kind: dict[str, GeneralKind] = {}
    scores_before: tuple[float, ...] = ()
    scores_after: tuple[float, ...] = ()


class Carbon(Value):
    """The grid's intensity that energy is multiplied by, and where the figure is from.

    `intensity_g_per_kwh` is location-based; `market_g_per_kwh` is the factor of the electricity
    contract, None where none was given. `provider` is who gave the figure; where another one was
    asked first and failed, `fallback` says why. `start` and `end` (ISO 8601) bound the time the
    figure is a mean over, empty for a yearly one. `pue` is the power usage effectiveness of the
    data centre: facility energy over machine energy, 1 or more.
    """

    place: str
    intensity_g_per_kwh: float
    source: str
    year: int | None = None
    kind: Literal["average", "marginal"] = "average"
    provider: str = "static"
    fallback: str = ""
    start: str = ""
    end: str = ""
    market_g_per_kwh: float | None = None
    pue: float = 1.0
    pue_source: str = "none given, so 1"


class Footprint(Value):
    """Grams of CO2e of one run's own spending, and its SCI rate.

    `operational_g` is energy spent x intensity x PUE, or what the provider reported (`method`).
    `embodied_g` is the share of the hardware's making, None where it is not known. `sci_g` is the
    SCI rate (E x I + M) / R for R = one answered question, answering only. By the declared
    `boundary` the operation is scope 2 (location- and market-based) or scope 3; None where a scope
    does not apply or is not known, and `notes` say why.
    """

    method: Literal["intensity", "provider_reported"] = "intensity"
    operational_g: float | None = None
    embodied_g: float | None = None
    sci_g: float | None = None
    boundary: Literal["owned", "leased", "cloud", "managed"] | None = None
    scope2_location_g: float | None = None
    scope2_market_g: float | None = None
    scope3_g: float | None = None
    notes: tuple[str, ...] = ()


class Money(Value):
    """What a run cost in money: in `currency`, by the prices that `source` names."""

    currency: str
    prepare: float | None = None
    answers_1000: float | None = None
    spent: float | None = None
    source: str = ""


class Record(Value):
    """One run of one list of strategies on one task with one model.

    `key` is the digest of everything that determines the run, so that running again finds it.
    `recipe` is the whole resolved recipe of this run: it can be run again from the record alone.
    `model` is what its card and files tell of the base model, None where a classifier answers.
    `fingerprints` are digests of task, items, scorer, model, adapter, prompt, index and code: two
    records compare where they agree. `outcomes` counts answers: correct, wrong, refused (where an
    answer was to be had), refused_rightly and hallucinated (where none was). `scores` are by
    metric, one a question in the task's order, None where a metric does not apply: paired tests
    need them. `work` is by phase ("prepare" attributed, "answer"). `batch` and `realtime` are the
    two ways of serving, None where not measured; `general` tells what a change of weights forgot,
    `refresh` what it cost to follow the task's revision, where that was asked for. `predicted` is
    what the newest plan said of the run before it began, None where none was made. `projected` says
    that costs were reckoned for another machine or model size, None where they were measured.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    key: str
    status: Literal["done", "skipped", "failed"] = "done"
    reason: str = ""
    created_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    seed: int = 0
    recipe: dict[str, Any] = {}
    system: dict[str, Any] = {}
    model: ModelFacts | None = None
    task: dict[str, Any] = {}
    fingerprints: dict[str, str] = {}
    stages: tuple[StageRecord, ...] = ()
    phases: dict[str, Phase] = {}
    baseline: Baseline | None = None
    prepare: Bill = Bill()
    spent: Bill = Bill()
    answers: int = 0
    outcomes: dict[str, int] = {}
    quality: dict[str, Score] = {}
    quality_by: dict[str, dict[str, Score]] = {}
    scores: dict[str, tuple[float | None, ...]] = {}
    work: dict[str, Work] = {}
    batch: Batch | None = None
    realtime: Realtime | None = None
    general: General | None = None
    refresh: Refresh | None = None
    predicted: Predicted | None = None
    projected: Projected | None = None
    artefact_bytes: int = 0
    carbon: Carbon | None = None
    footprint: Footprint | None = None
    money: Money | None = None
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
    evidence: tuple[str, ...] = ()
    group: str | None = None
    outcome: str = ""
    tokens_in: int | None
    tokens_out: int | None
    tokens_reused: int = 0
    votes: int | None = None
    scores: dict[str, float | None]
