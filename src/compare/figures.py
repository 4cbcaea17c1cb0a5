"""The figures a table shows, each taken from a Record: units, direction, and what is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..measure.carbon import J_PER_WH, emissions_g
from ..measure.noise import NOISE_PERCENT
from ..measure.quality import better
from ..measure.record import Phase, Record, Score
from ..measure.work import NO_WORK, Work
from .seeds import Row

FEW_QUESTIONS = 50
"""Below, the bootstrap's intervals are somewhat too narrow: of 400 simulated comparisons of seven
equally good runs a false difference was found in 8 % on 24 questions, 7 % on 60, 5 % on 200
(`false_finds` in tests/compare/test_verdicts.py)."""
CORRECT = "contained"
"""An answer counts as correct, for energy per correct answer, when it contains the gold."""

BUSY_PERCENT = NOISE_PERCENT
"""Mean load of all cores above which a baseline was not taken at rest: the system's own chores stay
below. What another program draws would be taken off as if it were the idle share."""

NET = "answer_net_wh_per_1000"
STAR = "★"


@dataclass(frozen=True)
class Column:
    """One column: a short header, the name with unit for files, and which way is better.

    `better` is None for what does not rank: what is derived (grams, money) from what does. An
    `optional` column is left out where no record has a figure.
    """

    header: str
    name: str
    value: Callable[[Record], float | str | None]
    digits: int = 2
    better: Literal["higher", "lower"] | None = None
    optional: bool = False

    @property
    def plain(self) -> str:
        """The header in one line, for titles and sentences."""
        return self.header.replace("\n", " ")

    def texts(self, rows: Sequence[Row], *, ranked: bool = True) -> list[str]:
        """The values for a person: means over seeds, a dash where unknown, a star at the best.

        There is no star where it would stand in every row, nor where the lowest cost is negative:
        such a net energy is noise. Without `ranked` there is none at all.
        """
        values = [row.figure(self.value) for row in rows]
        texts = [self._text(value) for value in values]
        numbers = [value for value in values if isinstance(value, (int, float))]
        if not ranked or not self.better or not numbers:
            return texts
        if self.better == "lower" and min(numbers) < 0:
            return texts
        # By what is shown: two figures that read the same rank the same.
        best = self._text(min(numbers) if self.better == "lower" else max(numbers))
        return starred(texts, [text == best for text in texts])

    def _text(self, value: float | str | None) -> str:
        if value is None:
            return "–"
        return value if isinstance(value, str) else f"{value:,.{self.digits}f}"


def starred(texts: Sequence[str], best: Sequence[bool]) -> list[str]:
    """The texts with a star before those that are `best`, unless all are."""
    if all(best):
        return list(texts)
    return [f"{STAR}{t}" if is_best else t for t, is_best in zip(texts, best, strict=True)]


def answer_wh_per_1000(record: Record) -> float | None:
    """Energy of 1,000 answers given in one batch, in Wh, without preparing and loading."""
    phase = record.phases.get("answer")
    return None if phase is None else _per_1000_wh(record, phase.energy_j)


def net_wh_per_1000(record: Record) -> float | None:
    """The same less what the machine draws when idle; None where that was taken on a busy one."""
    phase = record.phases.get("answer")
    return (
        None
        if phase is None or busy_baseline(record) is not None
        else _per_1000_wh(record, phase.net_energy_j)
    )


def busy_baseline(record: Record) -> float | None:
    """The load in percent that the baseline was taken under, where it was not idle; else None."""
    percent = record.baseline.cpu_percent if record.baseline else None
    return percent if percent is not None and percent > BUSY_PERCENT else None


def _per_1000_wh(record: Record, joules: float | None) -> float | None:
    if joules is None or not record.answers:
        return None
    return joules / J_PER_WH / record.answers * 1000


def per_answer(of: Callable[[Work], float | None]) -> Callable[[Record], float | None]:
    """A figure of the work of answering, for one answer; None where no work was counted."""

    def value(record: Record) -> float | None:
        work = record.work.get("answer")
        if work is None or work in (Work(), NO_WORK) or not record.answers:
            return None
        return _scaled(of(work), record.answers)

    return value


def joules_per_correct(record: Record) -> float | None:
    """Answering energy over the number of correct answers; None when there is none.

    Correct answers are those that contain the gold; where the task has no such metric, those that
    the outcomes count, which leave out unanswerable questions.
    """
    phase, score = record.phases.get("answer"), record.quality.get(CORRECT)
    correct = record.outcomes.get("correct", 0) if score is None else record.answers * score.value
    if phase is None or phase.energy_j is None or correct == 0:
        return None
    return phase.energy_j / correct


def grams(record: Record) -> float | None:
    """gCO₂e of preparing once, loading once and giving 1,000 answers."""
    answering, loading = answer_wh_per_1000(record), record.phases.get("load")
    if answering is None or record.prepare.energy_j is None or record.carbon is None:
        return None
    joules = record.prepare.energy_j + answering * J_PER_WH
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


def _artefact_mb(record: Record) -> float | None:
    """None of a model of another size: what would be kept of it is not known."""
    resized = record.projected is not None and record.projected.size != 1
    return None if resized else record.artefact_bytes / 1e6


def _load_j(record: Record) -> float | None:
    phase = record.phases.get("load")
    return None if phase is None else phase.energy_j


BATCH_WH = Column("Wh per\n1,000", "answer_wh_per_1000", answer_wh_per_1000, 3, "lower")

COST = (
    Column("prepare\nWh", "prepare_wh", lambda r: _scaled(r.prepare.energy_j, J_PER_WH),
           3, "lower"),
    Column("prepare\ns", "prepare_s", lambda r: r.prepare.duration_s, 0, "lower"),
    Column("load\nJ", "load_j", _load_j, 0, "lower"),
    BATCH_WH,
    Column("net Wh\n1,000", NET, net_wh_per_1000, 3, "lower", optional=True),
    Column("J per\ncorrect", "joules_per_correct", joules_per_correct, 1, "lower"),
    Column("gCO₂e", "emissions_g_prepare_load_1000_answers", grams, 3),
    Column("GFLOP\nanswer", "gflop_per_answer", per_answer(lambda w: _scaled(w.flops, 1e9)),
           1, "lower", optional=True),
    Column("tokens\nin", "tokens_in_per_answer", per_answer(lambda w: w.tokens_in),
           0, "lower", optional=True),
    Column("tokens\nout", "tokens_out_per_answer", per_answer(lambda w: w.tokens_out),
           1, "lower", optional=True),
    Column("peak GB\nprepare", "peak_memory_prepare_gb", lambda r: peak_gb(r, "prepare"),
           2, "lower"),
    Column("peak GB\nanswer", "peak_memory_answer_gb", lambda r: peak_gb(r, "answer"), 2, "lower"),
    Column("size\nMB", "artefact_mb", _artefact_mb, 1, "lower"),
    Column("SCI g\nanswer", "sci_g_per_answer",
           lambda r: r.footprint.sci_g if r.footprint else None, 6, optional=True),
    Column("money\n1,000", "money_per_1000_answers",
           lambda r: r.money.answers_1000 if r.money else None, 4, optional=True),
    Column("paid in", "currency",
           lambda r: r.money.currency if r.money and r.money.answers_1000 is not None else None,
           optional=True),
)  # fmt: skip
"""Cost columns. Energies are gross (what the machine drew, its idle share included) unless the
header says net. Energy, time, work and memory rank; grams and money are derived and do not."""


def cost_columns(records: Iterable[Record]) -> list[Column]:
    """The cost columns that have something to show, or a note why not (net energy)."""
    known = list(records)
    busy = {NET} if any(busy_baseline(r) is not None for r in known) else set()
    return [
        c
        for c in COST
        if not c.optional or c.name in busy or any(c.value(r) is not None for r in known)
    ]


def quality_columns(metrics: Iterable[str]) -> list[Column]:
    """One column a metric, as fractions."""
    short = {"token_f1": "token F1", "exact_match": "exact", "mrr": "MRR", "ndcg": "nDCG"}
    return [
        Column(
            # The last word of a dotted name is the function.
            short.get(metric) or metric.rpartition(":")[2].replace("_", "\n"),
            metric,
            _score(metric),
            3,
            better(metric),
        )
        for metric in metrics
    ]


def signed(value: float) -> str:
    """With two digits, or as many more as it takes that what is not zero does not read as zero."""
    value = round(value, 6) + 0.0  # no -0.0
    digits = 2
    while value and not round(value, digits):
        digits += 1
    return f"{value:+.{digits}f}".replace("-", "−")


def interval(score: Score | None, digits: int = 2) -> str:
    """A score with its 95 % interval, such as ``0.41 [0.35, 0.47]``."""
    if score is None:
        return "–"
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"
