"""Advice as a value: what was decided, with every figure it rests on, as plain JSON."""

from __future__ import annotations

from typing import Any, Literal

from ..measure.paired import Difference
from ..measure.score import Score
from ..values import Value
from .needs import Needs

ADVICE_VERSION = 1

State = Literal["met", "not met", "unknown"]
Constraint = Literal["quality", "latency", "memory", "energy", "cost", "privacy", "licence"]
Standing = Literal[
    "choice", "runner-up", "acceptable", "not good enough", "beaten", "fails", "cannot be told"
]
"""Of a run. fails: a constraint is not met; cannot be told: a constraint, its quality or its costs
are unknown; beaten: another run is at least as good and cheaper; not good enough: it misses the
quality asked for, or is worse than the best by a test; acceptable: good enough, and dearer."""


class Amount(Value):
    """A figure with its 95 % interval; `high` is None where the interval has no upper end."""

    value: float
    low: float
    high: float | None


class Check(Value):
    """One constraint held against one run: `figure` is the run's, None where it is not known, and
    `source` the field of the record that it stands in. `sentence` says both; `measure` is what
    would tell the unknown."""

    constraint: Constraint
    state: State
    figure: float | str | None
    limit: float | str
    unit: str
    source: str
    sentence: str
    measure: str = ""


class Candidate(Value):
    """One run: its quality, what it costs over the horizon, and where it stands and why.

    Costs are None where a part of them is not known; `parts_wh` are those of preparing, refreshes,
    answers and waiting. `refresh_assumed` says that no refresh was measured, and each is counted as
    preparing anew; `projected` that its costs were reckoned for another machine or model size, not
    measured. `records` are the keys of the records the figures stand in.
    """

    run: str
    records: tuple[str, ...]
    standing: Standing
    why: str
    quality: Score | None
    total_wh: Amount | None
    parts_wh: dict[str, float | None]
    total_g: float | None
    total_money: float | None
    currency: str | None
    refresh_assumed: bool
    checks: tuple[Check, ...]
    on_frontier: bool | None
    projected: bool = False

    def check(self, constraint: Constraint) -> Check | None:
        """How one constraint was met; None where it was not asked for."""
        return next((c for c in self.checks if c.constraint == constraint), None)


class Price(Value):
    """What the better of two runs gains and costs more: once (`prepare_wh`) and by 1,000 answers
    (`wh_per_1000`), both negative where it is the cheaper one.

    `gain` is the paired difference of the metric, signed so that more is better.
    `worth_it_after_answers` is the break-even in energy, None where there is none; `wh_per_point`
    is what a hundredth of the metric costs over the horizon.
    """

    run: str
    over: str
    gain: Difference | None
    prepare_wh: float | None
    wh_per_1000: Amount | None
    word: Literal["after", "never", "always", "unknown"]
    worth_it_after_answers: Amount | None
    wh_per_point: float | None
    sentence: str


class Gap(Value):
    """Something that is not known: the sentence, and what would tell."""

    what: str
    measure: str


class Decision(Value):
    """What to take among the records that may be weighed together.

    `group` says what sets them apart from the others, empty where there are no others. `choice`
    is None where nothing meets the constraints, and `nearest` is then the run that misses them by
    least. `gaps` are in order of importance: the first is what to measure next.
    """

    group: str
    task: str
    metric: str
    questions: int | None
    choice: str | None
    runner_up: str | None
    nearest: str | None
    headline: str
    reasons: tuple[str, ...]
    prices: tuple[Price, ...]
    candidates: tuple[Candidate, ...]
    gaps: tuple[Gap, ...]
    provenance: tuple[str, ...]

    def candidate(self, run: str | None) -> Candidate | None:
        """The run of that name, None for None."""
        return next((c for c in self.candidates if c.run == run), None)

    @property
    def measure_next(self) -> str | None:
        """What would tell the most important of what is not known."""
        return next((gap.measure for gap in self.gaps if gap.measure), None)


class Advice(Value):
    """A decision for each group of records that may be weighed together, most often one."""

    version: int = ADVICE_VERSION
    needs: Needs
    decisions: tuple[Decision, ...]

    @property
    def met(self) -> bool:
        """Whether something meets the constraints."""
        return any(decision.choice is not None for decision in self.decisions)

    def to_json(self) -> str:
        """All of it, null where unknown."""
        import json

        content: dict[str, Any] = {"met": self.met, **self.plain()}
        for told, decision in zip(content["decisions"], self.decisions, strict=True):
            told["measure_next"] = decision.measure_next
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Headings, sentences and a table."""
        from .text import markdown

        return markdown(self)

    def show(self) -> None:
        """Print it to the terminal."""
        from .text import show

        show(self)
