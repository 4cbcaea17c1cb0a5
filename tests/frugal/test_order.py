"""Which run is cheaper: by records, by kinds, and what all take together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune.frugal.order import (
    KINDS,
    Cost,
    by_kind,
    cheapest_first,
    cost_of,
    expected_cost,
    together_joules,
)
from wattune.job import Job, jobs_of
from wattune.measure.record import Bill, Phase, Record, StageRecord
from wattune.recipe_file import load_recipe
from wattune.strategies import STRATEGIES


def record(name: str = "rag", **changes: Any) -> Record:
    """A finished record of 10 answers: 100 J to prepare, 5 to load, 20 to answer."""
    stage = StageRecord(
        strategy="rag", key="index", reused=False, spent=Bill(), attributed=Bill(energy_j=100.0)
    )
    given: dict[str, Any] = {
        "name": name,
        "key": name,
        "created_at": "2026-01-01",
        "answers": 10,
        "stages": (stage,),
        "prepare": Bill(energy_j=100.0),
        "phases": {
            "load": Phase(duration_s=1, energy_j=5.0),
            "answer": Phase(duration_s=1, energy_j=20.0),
        },
    }
    return Record.model_validate({**given, **changes})


def test_every_kind_of_step_has_its_place() -> None:
    assert set(KINDS) == set(STRATEGIES)


def test_by_kind_nothing_prepared_comes_before_an_index_and_that_before_a_training() -> None:
    runs = [
        ["lora", "rag", "tree_rag"],
        ["full_fine_tuning"],
        ["lora"],
        ["rag"],
        [],
        ["prompt"],
        ["classical"],
        ["prompt", "rag"],
    ]
    assert sorted(runs, key=by_kind) == [
        ["classical"],
        [],
        ["prompt"],
        ["rag"],
        ["prompt", "rag"],
        ["lora"],
        ["lora", "rag", "tree_rag"],
        ["full_fine_tuning"],
    ]


def joules(one: Record, questions: int) -> float | None:
    """What a record says of so many questions."""
    cost = cost_of(one, questions)
    return None if cost is None else cost.joules


def test_what_a_run_takes_is_scaled_to_the_questions_and_unknown_stays_unknown() -> None:
    assert joules(record(), 10) == 125.0
    assert joules(record(), 0) == 105.0
    assert joules(record(), 30) == 165.0
    unknown = Phase(duration_s=1, energy_j=None)
    assert joules(record(phases={**record().phases, "answer": unknown}), 10) is None
    (stage,) = record().stages
    blank = stage.model_copy(update={"attributed": Bill(energy_j=None)})
    assert joules(record(stages=(blank,)), 10) is None
    assert joules(record(phases={}, answers=0), 10) is None


def test_a_stage_that_runs_share_is_counted_once() -> None:
    mine, other = (cost_of(record(name), 10) for name in ("rag", "tree"))
    assert together_joules([mine, other]) == 125.0 + 25.0
    assert together_joules([mine, Cost(7.0, {"index": 100.0, "adapter": 40.0})]) == 172.0
    assert together_joules([]) == 0.0
    assert together_joules([mine, None]) is None


@pytest.fixture
def jobs(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Two jobs, zero-shot and few-shot, of 12 questions."""
    monkeypatch.chdir(tmp_path)
    return jobs_of(load_recipe(str(recipe)))


def test_records_of_the_same_steps_tell_what_a_run_will_take(jobs: list[Job]) -> None:
    zero, few = jobs
    old = record(zero.name, recipe=zero.recipe, answers=4)
    assert expected_cost(zero, [old]) == Cost(5.0 + 20.0 / 4 * 12, {"index": 100.0})
    newer = old.model_copy(update={"created_at": "2026-02-02", "answers": 10})
    assert expected_cost(zero, [newer, old]) == Cost(5.0 + 2.0 * 12, {"index": 100.0})
    assert expected_cost(few, [old]) is None
    skipped = old.model_copy(update={"status": "skipped"})
    assert expected_cost(zero, [skipped]) is None
    seeded = replace(zero, seed=5, recipe={**(zero.recipe or {}), "seed": 5})
    assert expected_cost(seeded, [old]) is not None
    trained = replace(zero, recipe={**(zero.recipe or {}), "limit": {"train": 3}})
    assert expected_cost(trained, [old]) is None
    longer = replace(zero, recipe={**(zero.recipe or {}), "decoding": {"max_tokens": 512}})
    assert expected_cost(longer, [old]) is None
    elsewhere = {"hardware": {"cpu": "another one"}}
    assert expected_cost(zero, [old.model_copy(update={"environment": elsewhere})]) is None


def test_the_order_is_by_joules_where_all_are_known_else_by_kinds(jobs: list[Job]) -> None:
    zero, few = jobs
    costs = {"zero-shot": Cost(1.0, {"shared": 8.0}), "few-shot": Cost(1.0)}
    assert cheapest_first(jobs, lambda job: costs[job.name]) == [few, zero]
    assert cheapest_first(jobs, lambda job: {"few-shot": Cost(1.0)}.get(job.name)) == [zero, few]
