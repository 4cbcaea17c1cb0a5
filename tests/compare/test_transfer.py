"""Transfer: records on another machine or of another size, marked, with ranges, never starred."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from wattune.advice import Needs, advise
from wattune.compare import compare
from wattune.compare.lifecycle import costs_of
from wattune.compare.order import order
from wattune.compare.rescaled import SIZE_RUN_SD, SIZE_SD
from wattune.compare.seeds import Row
from wattune.compare.transfer import project
from wattune.compare.usage import Usage
from wattune.errors import InputError
from wattune.measure.calibration import FORMULA_SPREAD, Z80, Calibration, Rates
from wattune.measure.model_facts import ModelFacts
from wattune.measure.record import (
    Baseline,
    Bill,
    Energy,
    Money,
    Phase,
    Record,
    Score,
    StageRecord,
)  # fmt: skip
from wattune.measure.refresh import Refresh, RefreshedStage
from wattune.measure.serving import realtime_of
from wattune.measure.store import load_records, write_record
from wattune.measure.work import NO_WORK, Work

QUESTIONS = 100
HERE: dict[str, Any] = {"cpu": "small", "cores_logical": 2, "memory_bytes": 8e9, "gpus": []}
THERE: dict[str, Any] = {"cpu": "large", "cores_logical": 64, "memory_bytes": 9e11, "gpus": ["G"]}
KINDS = ("answering", "embedding", "training_adapter", "training_all")


def machine(
    s_per_flop: float = 1e-11, s_per_byte: float = 1e-9, watts: float | None = 20.0,
    dtype: str = "float32", **changes: Any,
) -> Calibration:  # fmt: skip
    """A calibration of the machine that measures; `changes` win."""
    rates = Rates(s_per_flop=s_per_flop, s_per_byte=s_per_byte, spread=0.2, pieces=9, watts=watts)
    given: dict[str, Any] = {
        "created_at": "2026-01-01", "duration_s": 9.0, "model": "tiny", "model_revision": "r",
        "machine": {"device": "cpu", "dtype": dtype, "processes": 1},
        "environment": {"hardware": HERE}, "rates": dict.fromkeys(KINDS, rates),
        "flops_per_s": 1 / s_per_flop, "bytes_per_s": 1 / s_per_byte, "idle_w": 10.0,
    }  # fmt: skip
    return Calibration.model_validate({**given, **changes})


def server(**changes: Any) -> Calibration:
    """Ten times as fast in operations, twice in bytes, at five times the watts."""
    given: dict[str, Any] = {"s_per_flop": 1e-12, "s_per_byte": 0.5e-9, "watts": 100.0}
    return machine(**{**given, "environment": {"hardware": THERE}, **changes})


def record(
    name: str = "lora", *, flops: float | None = 1e12, moved: float | None = 1e10,
    joules: float | None = 400.0, trained: bool = True, **changes: Any,
) -> Record:  # fmt: skip
    """A run of 100 answers in 20 s, here, after a training of 60 s."""
    bill = Bill(energy_j=1200.0, duration_s=60.0)
    stage = StageRecord(
        strategy="lora", key="s", reused=False, spent=bill, attributed=bill, peak_memory_bytes=10,
        work=Work(tokens_in=9, flops=4e12, bytes_moved=2e10), details={"losses": [1.0]},
    )  # fmt: skip
    provenance = "failed" if joules is None else "counter"
    energy = {"cpu": Energy(energy_j=joules, provenance=provenance)}
    given: dict[str, Any] = {
        "name": name, "key": f"key-{name}", "created_at": "2026-01-02", "recipe": {"runs": name},
        "system": {"kind": "local", "model": {"name": "tiny", "revision": "r"}},
        "model": ModelFacts(name="tiny", revision="r", parameters=1_000_000),
        "environment": {
            "hardware": HERE, "machine": {"device": "cpu", "dtype": "float32", "processes": 1}
        },
        "task": {"name": "ferry", "items": "01", "metrics": ["token_f1"]},
        "stages": (stage,) if trained else (), "prepare": bill if trained else Bill(),
        "phases": {"answer": Phase(duration_s=20.0, energy_j=joules, components=energy),
                   "realtime": Phase(duration_s=8.0, energy_j=160.0, components=energy),
                   "load": Phase(duration_s=1.0, energy_j=9.0)},
        "work": {"answer": Work(flops=flops, bytes_moved=moved)},
        "realtime": realtime_of(8, 160.0, [1.0] * 8, [0.5] * 8),
        "answers": QUESTIONS, "artefact_bytes": 10**6,
        "baseline": Baseline(power_w={"cpu": 5.0}, duration_s=3.0, cpu_percent=0.5),
        "quality": {"token_f1": Score(value=0.5, low=0.4, high=0.6, n=QUESTIONS)},
        "scores": {"token_f1": (0.0, 1.0) * 50},
        "money": Money(currency="EUR", prepare=1.0),
    }  # fmt: skip
    return Record.model_validate({**given, **changes})


def one(*records: Record, **how: Any) -> Record:
    """The first of the projected records."""
    made, _ = project(records, **how)
    return made[0]


def answer(made: Record) -> Phase:
    return made.phases["answer"]


def test_by_counted_work_alone_where_the_machine_that_measured_is_not_calibrated() -> None:
    made = one(record(), onto=server())
    seconds = 1e12 * 1e-12 + 1e10 * 0.5e-9
    assert answer(made).duration_s == pytest.approx(seconds)
    assert answer(made).energy_j == pytest.approx(seconds * 100)
    assert made.prepare.duration_s == pytest.approx(4e12 * 1e-12 + 2e10 * 0.5e-9)
    assert made.projected is not None
    assert not made.projected.anchored
    said = made.projected.figures["answer_j"]
    assert said.likely == pytest.approx(seconds)
    # How far the calibration was off there, and what no fit shows.
    spread = math.hypot(0.2, FORMULA_SPREAD)
    assert said.high / said.likely == pytest.approx(math.exp(Z80 * spread))
    assert made.realtime is None  # no work is told of it, and nothing bounds it
    assert "realtime" not in made.phases


def test_what_was_measured_is_scaled_where_both_machines_are_calibrated() -> None:
    made = one(record(), onto=server(), sources=[machine()])
    # The formula says 20 s here, as was measured, and 6 s there; 20 W as measured, 100 W there.
    assert answer(made).duration_s == pytest.approx(6.0)
    assert answer(made).energy_j == pytest.approx(600.0)
    slow = record().model_copy(update={"phases": {"answer": Phase(duration_s=40, energy_j=400)}})
    assert answer(one(slow, onto=server(), sources=[machine()])).duration_s == pytest.approx(12.0)
    assert made.projected is not None
    assert made.projected.spreads["answer"] == pytest.approx(math.hypot(0.2, 0.2))


def test_one_at_a_time_lies_between_operations_and_bytes() -> None:
    made = one(record(), onto=server(), sources=[machine()])
    assert made.realtime is not None
    assert made.projected is not None
    likely = math.sqrt(1 / 10 * 1 / 2)
    assert made.realtime.latency_p95_s == pytest.approx(likely)
    assert made.realtime.energy_j_per_answer == pytest.approx(20 * likely * 5)
    said = made.projected.figures["realtime_s"]
    assert (said.low, said.high) == pytest.approx((1 / 10, 1 / 2))


def test_onto_the_same_machine_nothing_changes() -> None:
    was, made = record(), one(record(), onto=machine())
    assert answer(made).duration_s == pytest.approx(20.0)
    assert answer(made).energy_j == pytest.approx(400.0)
    assert made.prepare.energy_j == pytest.approx(was.prepare.energy_j)
    assert made.projected is not None
    for name, said in made.projected.figures.items():
        assert said.low == pytest.approx(said.high)
        assert said.likely == pytest.approx(made.projected.measured[name])


def test_bytes_follow_the_precision_and_costs_the_machine() -> None:
    made = one(record(), onto=server(dtype="bfloat16"))
    assert answer(made).duration_s == pytest.approx(1.0 + 2.5)
    assert made.work["answer"].bytes_moved == pytest.approx(0.5e10)
    assert made.work["answer"].flops == 1e12
    assert made.baseline is not None
    assert made.baseline.power_w == {"machine": 10.0}
    assert made.environment["hardware"] == THERE
    assert made.money is None
    assert made.stages[0].peak_memory_bytes is None


def test_another_size_scales_all_but_embedding() -> None:
    bill = Bill(energy_j=30.0, duration_s=3.0)
    index = StageRecord(strategy="rag", key="i", reused=False, spent=bill, attributed=bill,
                        work=Work(flops=1e9, bytes_moved=1e6))  # fmt: skip
    words = index.model_copy(update={"key": "w", "work": NO_WORK})
    was = record()
    merged = words.model_copy(update={"key": "m", "strategy": "merge"})
    was = was.model_copy(update={"stages": (*was.stages, index, words, merged)})
    made = one(was, parameters=10e6)
    # Merging counts no operations, yet reads and writes all weights.
    assert made.prepare.energy_j == pytest.approx(10 * 1200 + 30 + 30 + 10 * 30)
    assert answer(made).energy_j == pytest.approx(4000)
    assert answer(made).components["cpu"].provenance == "projected"
    assert made.work["answer"].flops == pytest.approx(1e13)
    assert made.realtime is not None
    assert made.realtime.energy_j_per_answer == pytest.approx(200)
    assert made.projected is not None
    said = made.projected.figures["answer_j"]
    sd = math.hypot(SIZE_SD * math.log(10), SIZE_RUN_SD)
    assert said.high == pytest.approx(40 * math.exp(Z80 * sd))
    assert made.quality == was.quality
    assert "10.0 million parameters" in made.system["model"]["name"]
    assert made.baseline == was.baseline


def test_a_failed_meter_does_not_hinder_a_projection_onto_a_machine_with_one() -> None:
    broken = record(joules=None)
    assert answer(one(broken, onto=server())).energy_j == pytest.approx(600.0)
    sized = one(broken, parameters=10e6)
    assert answer(sized).energy_j is None
    assert answer(sized).duration_s == pytest.approx(200.0)
    dark = one(record(), onto=server(watts=None), sources=[machine()])
    assert answer(dark).energy_j is None
    assert answer(dark).components["machine"].provenance == "failed"


def test_what_cannot_be_told_is_left_out_with_its_reason() -> None:
    untold = record("untold", flops=None)
    api = record("api", system={"kind": "endpoint"})
    made, told = project([record(), untold, api], onto=server())
    assert [r.name for r in made] == ["lora (projected)"]
    assert any(line.startswith("Not projected: untold: its operations") for line in told)
    assert any(line.startswith("Not projected: api: no model") for line in told)
    # A calibration of where it was measured bounds it.
    bounded = one(untold, onto=server(), sources=[machine()])
    assert answer(bounded).duration_s == pytest.approx(20 * math.sqrt(1 / 20))
    pruned = record("pruned")
    pruned = pruned.model_copy(
        update={"stages": (pruned.stages[0].model_copy(update={"strategy": "prune"}),)}
    )
    with pytest.raises(InputError, match="prune changed the size"):
        project([pruned], parameters=1e9)
    with pytest.raises(InputError, match="number of parameters of what answers is not known"):
        project([record(model=None)], parameters=1e9)
    rates = {"answering": server().rates["answering"]}
    with pytest.raises(InputError, match="no rates of training adapter"):
        project([record()], onto=server(rates=rates))
    with pytest.raises(InputError, match="--on"):
        project([record()])


def test_runs_without_figures_stay_and_projected_ones_are_not_projected_twice() -> None:
    failed = record("failed", status="failed", reason="no memory")
    made, _ = project([record(), failed], parameters=2e6)
    assert made[1] == failed
    assert project(made, parameters=9e6)[0] == made


def test_a_calibration_with_the_records_model_stands_before_others() -> None:
    other = machine(s_per_flop=5e-11, model_revision="x", created_at="2026-09")
    own = machine()
    assert one(record(), onto=server(), sources=[own, other]) == one(
        record(), onto=server(), sources=[own]
    )


def test_refreshes_are_carried_over() -> None:
    bill = Bill(energy_j=100.0, duration_s=5.0)
    stages = tuple(
        RefreshedStage(
            strategy="lora", key=how, reused=False, spent=bill, attributed=bill, how=how,
            work=Work(tokens_in=1, flops=1e11, bytes_moved=0.0), details={"losses": [1.0]},
        )
        for how in ("kept", "updated")
    )  # fmt: skip
    refresh = Refresh(
        version="2", fingerprint="f", questions_changed=1, questions_unchanged=1, stages=stages,
        attributed=bill,
    )  # fmt: skip
    made = one(record(refresh=refresh), parameters=3e6)
    assert made.refresh is not None
    assert made.refresh.attributed.energy_j == pytest.approx(300)


def test_everything_says_projected_and_nothing_is_starred() -> None:
    measured = [record(), record("rag", joules=900.0, trained=False)]
    usage = Usage(answers_per_day=100)
    made, _ = project(measured, onto=server(), sources=[machine()])
    comparison = compare(made, usage=usage)
    costs = [t for t in comparison.tables() if "roject" in t.title or "Cost" in t.title]
    titles = [table.title for table in costs]
    assert any(title.startswith("Projected onto large, 64 threads") for title in titles)
    assert "Cost, projected" in titles
    assert any(title.startswith("Life cycle") and "projected" in title for title in titles)
    for table in costs:
        assert not any("★" in cell for row in table.rows for cell in row), table.title
        assert all("(projected)" in row[0] for row in table.rows)
    notes = comparison.notes()
    assert notes[0].startswith("PROJECTED, not measured")
    assert not any("modelled from rated power" in note for note in notes)
    from wattune.compare.export import plain_rows

    assert all(row["projected"] is True for row in plain_rows(comparison))
    assert "projected" not in plain_rows(compare(measured))[0]


def test_the_quality_of_a_small_model_is_called_so() -> None:
    comparison = compare(project([record(), record("rag")], parameters=7e9)[0])
    title = next(t.title for t in comparison.tables() if t.title.startswith("Quality"))
    assert "of the small model (tiny)" in title
    assert any("does not transfer to another size" in note for note in comparison.notes())


def test_measured_and_projected_are_never_ranked_together() -> None:
    made, _ = project([record()], parameters=1e6)
    comparison = compare([record(), record("rag"), *made])
    assert [len(group.rows) for group in comparison.cost_groups[0]] == [2, 1]


def test_advice_says_projected_wherever_it_quotes() -> None:
    made, _ = project([record(), record("rag", joules=900.0)], parameters=7e9)
    advice = advise(made, Needs(usage=Usage(answers_per_day=100), min_quality=0.3))
    decision = advice.decisions[0]
    assert decision.choice is not None
    assert "(projected)" in decision.choice
    assert "(projected)" in decision.headline
    assert decision.provenance[0].startswith("PROJECTED, not measured")
    assert "not measured on a model of 7.0 billion" in decision.gaps[0].what
    assert all(candidate.projected for candidate in decision.candidates)
    assert json.loads(advice.to_json())["decisions"][0]["candidates"][0]["projected"] is True


def test_intervals_are_as_wide_as_the_projection_and_what_is_common_cancels() -> None:
    made, _ = project([record(realtime=None), record("rag", realtime=None)], parameters=10e6)
    usage = Usage(answers_per_day=100)
    costs = [costs_of(Row(r.name, (r,)), usage) for r in made]
    narrow = costs_of(Row("lora", (record(realtime=None),)), usage).answer_j
    wide = costs[0].answer_j
    assert narrow is not None
    assert wide is not None
    assert wide.high / wide.low > 3 * narrow.high / narrow.low
    import numpy as np

    one_by_one = [np.log(np.array(cost.draws)) for cost in costs]
    own = math.sqrt(2) * math.hypot(0.05, SIZE_RUN_SD)
    assert (one_by_one[0] - one_by_one[1]).std() == pytest.approx(own, rel=0.15)


def test_a_projected_record_can_be_kept_and_read(tmp_path: Path) -> None:
    made = one(record(), onto=server())
    write_record(tmp_path, made, [])
    assert load_records(tmp_path)[0].projected == made.projected


@pytest.mark.parametrize(
    ("here", "there"),
    [([1, 2, 3, 4], [1, 3, 2, 4]), ([1, 1, 2], [1, 2, 2]), ([3, 2, 1], [1, 2, 3]), ([1.0], [2.0])],
)
def test_tau_is_that_of_scipy(here: list[float], there: list[float]) -> None:
    from scipy.stats import kendalltau  # type: ignore[import-untyped]

    found = order(here, there)
    if found.tau is None:
        assert len(here) < 2
    else:
        assert found.tau == pytest.approx(float(kendalltau(here, there).statistic))


def test_the_pairs_that_turn_are_named() -> None:
    found = order([1, 2, 3, 4], [1, 3, 2, 4])
    assert found.turned == ((1, 2),)
    assert found.pairs == 6
    assert not found.same
    assert order([1, 1], [2, 3]).same  # a tie here is no turn
