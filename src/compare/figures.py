"""The figures a table shows, each taken from a Record: units, direction, and what is unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..measure.carbon import emissions_g
from ..measure.record import Phase, Record, Score

JOULES_PER_WH = 3600.0
CORRECT = "contained"
"""An answer counts as correct, for energy per correct answer, when it contains the gold."""


@dataclass(frozen=True)
class Column:
    """One column: a short header, the name with unit for files, and which way is better."""

    header: str
    name: str
    value: Callable[[Record], float | str | None]
    digits: int = 2
    better: Literal["higher", "lower"] | None = None

    def text(self, record: Record) -> str:
        """The value for a person; a dash where it is unknown."""
        value = self.value(record)
        if value is None:
            return "–"
        return value if isinstance(value, str) else f"{value:,.{self.digits}f}"


def answer_wh_per_1000(record: Record) -> float | None:
    """Energy of 1,000 answers given in one batch, in Wh, without preparing and loading."""
    phase = record.phases.get("answer")
    if phase is None or phase.energy_j is None or not record.answers:
        return None
    return phase.energy_j / JOULES_PER_WH / record.answers * 1000


def joules_per_correct(record: Record) -> float | None:
    """Answering energy over the number of answers that contain the gold; None when none does."""
    phase, score = record.phases.get("answer"), record.quality.get(CORRECT)
    if phase is None or phase.energy_j is None or score is None or score.value == 0:
        return None
    return phase.energy_j / (record.answers * score.value)


def grams(record: Record) -> float | None:
    """gCO₂e of preparing once, loading once and giving 1,000 answers."""
    answering, loading = answer_wh_per_1000(record), record.phases.get("load")
    if answering is None or record.prepare.energy_j is None or record.carbon is None:
        return None
    joules = record.prepare.energy_j + answering * JOULES_PER_WH
    if loading is not None:
        if loading.energy_j is None:
            return None
        joules += loading.energy_j
    return emissions_g(joules, record.carbon)


def peak_gb(record: Record, phase: str) -> float | None:
    """Peak resident memory of one phase in GB (10⁹ bytes)."""
    if phase == "prepare":
        peaks = [s.peak_memory_bytes for s in record.stages if s.peak_memory_bytes is not None]
        return max(peaks) / 1e9 if peaks else None
    found: Phase | None = record.phases.get(phase)
    if found is None or found.peak_memory_bytes is None:
        return None
    return found.peak_memory_bytes / 1e9


def energy_provenance(record: Record) -> dict[str, str]:
    """How each component's energy in the answer phase is known."""
    phase = record.phases.get("answer")
    return {name: c.provenance for name, c in phase.components.items()} if phase else {}


def _score(metric: str) -> Callable[[Record], float | None]:
    def value(record: Record) -> float | None:
        score = record.quality.get(metric)
        return None if score is None else score.value

    return value


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def _load_j(record: Record) -> float | None:
    phase = record.phases.get("load")
    return None if phase is None else phase.energy_j


COST = (
    Column("prepare\nWh", "prepare_wh", lambda r: _scaled(r.prepare.energy_j, JOULES_PER_WH),
           3, "lower"),
    Column("prepare\ns", "prepare_s", lambda r: r.prepare.duration_s, 0, "lower"),
    Column("load\nJ", "load_j", _load_j, 0, "lower"),
    Column("Wh per\n1,000", "answer_wh_per_1000", answer_wh_per_1000, 3, "lower"),
    Column("J per\ncorrect", "joules_per_correct", joules_per_correct, 1, "lower"),
    Column("gCO₂e", "emissions_g_prepare_load_1000_answers", grams, 3, "lower"),
    Column("latency\ns", "latency_median_s", lambda r: r.latency_s, 2, "lower"),
    Column("peak GB\nprepare", "peak_memory_prepare_gb", lambda r: peak_gb(r, "prepare"),
           2, "lower"),
    Column("peak GB\nanswer", "peak_memory_answer_gb", lambda r: peak_gb(r, "answer"), 2, "lower"),
    Column("size\nMB", "artefact_mb", lambda r: r.artefact_bytes / 1e6, 1, "lower"),
)  # fmt: skip
"""Cost columns. All energies are gross: what the machine drew, its idle share included."""


def quality_columns(metrics: list[str]) -> tuple[Column, ...]:
    """One column a metric, as fractions."""
    short = {"token_f1": "token F1", "exact_match": "exact", "contained": "contained"}
    return tuple(
        Column(short.get(metric, metric), metric, _score(metric), 3, "higher") for metric in metrics
    )


def interval(score: Score | None, digits: int = 2) -> str:
    """A score with its 95 % interval, such as ``0.41 [0.35, 0.47]``."""
    if score is None:
        return "–"
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"
