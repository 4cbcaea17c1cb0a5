"""What a plan said of a run: ranges that add up, kept by the run's key, and put into its record."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.frugal.order import Cost, expected_cost
from wattune.job import jobs_of
from wattune.measure.predicted import (
    Expected,
    Predicted,
    PredictedPhase,
    keep_prediction,
    kept_prediction,
    total,
)
from wattune.measure.store import load_records
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe

WIDE = Expected(likely=10, low=5, high=40)


def plan(joules: float) -> Predicted:
    each = PredictedPhase(duration_s=Expected.exactly(1), energy_j=Expected.exactly(joules))
    return Predicted(phases={"load": each, "answer": each, "realtime": each})


def test_errors_that_go_the_same_way_add_up() -> None:
    assert WIDE + Expected.exactly(2) == Expected(likely=12, low=7, high=42)
    assert total([WIDE, WIDE]) == WIDE.times(2)


def test_a_sum_with_something_unknown_is_unknown() -> None:
    assert total([WIDE, None]) is None
    assert total([]) == Expected.exactly(0)


def test_an_error_of_its_own_widens_a_range_as_independent_ones_do() -> None:
    sure = Expected.exactly(10.0).widened(0.5, 1.0)
    assert sure.low == pytest.approx(10 * math.exp(-0.5))
    assert sure.high == pytest.approx(10 * math.exp(0.5))
    both = WIDE.widened(0.5, 1.0)
    assert both.low == pytest.approx(10 * math.exp(-math.hypot(0.5, math.log(2))))
    assert both.high == pytest.approx(10 * math.exp(math.hypot(0.5, math.log(4))))
    assert WIDE.widened(0.0, 1.0) == WIDE
    nothing = Expected.exactly(0.0)
    assert nothing.widened(0.5, 1.0) == nothing


@pytest.mark.parametrize(("figure", "covered"), [(5, True), (40, True), (4.9, False), (41, False)])
def test_what_a_range_covers(figure: float, covered: bool) -> None:
    assert WIDE.covers(figure) is covered


def test_a_plan_is_kept_by_key_and_one_that_cannot_be_read_is_none(cache: Path) -> None:
    assert kept_prediction("k") is None
    keep_prediction("k", plan(3))
    assert kept_prediction("k") == plan(3)
    (path,) = (cache / "plans").glob("*.json")
    path.write_text('{"phases": 3}', encoding="utf-8")
    assert kept_prediction("k") is None
    path.write_text("{", encoding="utf-8")
    assert kept_prediction("k") is None


def test_the_record_of_a_planned_run_holds_the_plan_and_any_other_none(
    recipe: Path, tmp_path: Path
) -> None:
    loaded = load_recipe(str(recipe))
    planned, _ = jobs_of(loaded)
    keep_prediction(planned.key, plan(3))
    first, second = run_recipe(loaded, tmp_path / "runs")
    assert first.predicted == plan(3)
    assert second.predicted is None
    assert [r.predicted for r in load_records(tmp_path / "runs") if r.name == first.name] == [
        plan(3)
    ]


def test_a_plan_made_after_a_run_does_not_get_into_its_record(recipe: Path, tmp_path: Path) -> None:
    """A finished record is shown again as it is: what was said afterwards was no prediction."""
    loaded = load_recipe(str(recipe))
    run_recipe(loaded, tmp_path / "runs")
    for job in jobs_of(loaded):
        keep_prediction(job.key, plan(3))
    assert [one.predicted for one in run_recipe(loaded, tmp_path / "runs")] == [None, None]


def test_a_frugal_comparison_orders_by_the_plan_where_no_record_tells(recipe: Path) -> None:
    """Of what whole runs take: questions one at a time are not asked there."""
    job, other = jobs_of(load_recipe(str(recipe)))
    assert expected_cost(job, []) is None
    keep_prediction(job.key, plan(3))
    assert expected_cost(job, []) == Cost(6)
    assert expected_cost(other, []) is None


def test_the_comparison_shows_both(
    recipe: Path, tmp_path: Path, wattune: Callable[..., Any]
) -> None:
    for job in jobs_of(load_recipe(str(recipe))):
        keep_prediction(job.key, plan(3))
    made = wattune("compare", recipe, "--runs", tmp_path / "runs", "--no-progress")
    assert made.code == 0, made.err
    assert "Planned and measured" in made.out
