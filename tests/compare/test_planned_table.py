"""Planned and measured: what a record says of both, and the table of it."""

from __future__ import annotations

from typing import Any

from wattune.compare import compare
from wattune.compare.planned import outcomes
from wattune.measure.predicted import Expected, Predicted, PredictedPhase
from wattune.measure.record import Bill, Phase, Record, StageRecord
from wattune.measure.work import Work


def around(likely: float, spread: float = 0.2) -> Expected:
    return Expected(likely=likely, low=likely * (1 - spread), high=likely * (1 + spread))


PLAN = Predicted(
    phases={
        "prepare": PredictedPhase(duration_s=around(10), energy_j=around(100)),
        "answer": PredictedPhase(duration_s=around(20), energy_j=around(200)),
        "general": PredictedPhase(duration_s=around(5), energy_j=around(50)),
    },
    tokens_in=Expected.exactly(1000.0),
    tokens_out=around(100),
    flops_prepare=Expected.exactly(1e9),
    flops_answer=Expected.exactly(3e9),
    peak_memory_bytes=around(1e9),
)


def record(name: str = "rag", **changes: Any) -> Record:
    """A run that took 33 s instead of 30 s, and wrote half as much again as was planned."""
    stage = StageRecord(
        strategy="rag", key="s", reused=False, spent=Bill(), attributed=Bill(),
        peak_memory_bytes=10**9,
    )  # fmt: skip
    made: dict[str, Any] = {
        "stages": (stage,),
        "prepare": Bill(duration_s=11, energy_j=110),
        "phases": {
            "answer": Phase(duration_s=22, energy_j=220, peak_memory_bytes=5 * 10**8),
            "scoring": Phase(duration_s=99, energy_j=990, peak_memory_bytes=9 * 10**9),
        },
        "work": {
            "prepare": Work(flops=1e9),
            "answer": Work(tokens_in=1000, tokens_out=150, flops=3e9),
        },
        "predicted": PLAN,
    }
    return Record(name=name, key=f"k-{name}", task={"name": "t"}, **{**made, **changes})


def test_only_phases_that_were_planned_and_took_place_count() -> None:
    """General questions were known and not asked again; scoring is never planned."""
    found = outcomes(record())
    assert (found["duration_s"].expected.likely, found["duration_s"].measured) == (30, 33)
    assert (found["energy_j"].expected.likely, found["energy_j"].measured) == (300, 330)
    assert found["peak_memory_bytes"].measured == 10**9


def test_a_range_covers_or_does_not() -> None:
    found = outcomes(record())
    assert found["duration_s"].covered
    assert not found["tokens_out"].covered
    assert found["flops"].ratio == 1


def test_what_either_side_does_not_know_is_left_out() -> None:
    silent = record(prepare=Bill(duration_s=11, energy_j=None))
    assert "energy_j" not in outcomes(silent)
    unknown = PLAN.model_copy(update={"tokens_in": None, "flops_prepare": None})
    assert not {"tokens_in", "flops"} & outcomes(record(predicted=unknown)).keys()
    assert outcomes(record(predicted=None)) == {}
    assert outcomes(record(status="failed", reason="x")) == {}


def test_the_table_says_by_how_much_and_what_lies_beyond() -> None:
    (table,) = (t for t in compare([record(), record("z", predicted=None)]).tables()
                if t.title.startswith("Planned"))  # fmt: skip
    assert [h.replace("\n", " ") for h in table.headers] == [
        "run", "tokens in", "tokens out", "operations", "time", "energy", "memory",
    ]  # fmt: skip
    assert table.rows == (("rag", "+0 %", "+50 %*", "+0 %", "+10 %", "+10 %", "+0 %"),)


def test_without_a_plan_there_is_no_table() -> None:
    tables = compare([record(predicted=None)]).tables()
    assert not [t for t in tables if t.title.startswith("Planned")]
