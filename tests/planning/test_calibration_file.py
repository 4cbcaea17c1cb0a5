"""A calibration as a value and as a file: prices of work, and files that are none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure.calibration import (
    FORMULA_SPREAD,
    Z80,
    Calibration,
    Habit,
    Rates,
    features,
    load_calibration,
)
from wattune.measure.work import Costs, Tally, Work

COSTS = Costs(
    method="counted",
    flops_per_position=100.0,
    flops_per_pair=1.0,
    flops_per_head=1000.0,
    bytes_per_pass=50.0,
    bytes_per_position=0.0,
    bytes_per_cached=2.0,
    bytes_per_step=0.0,
)
RATES = Rates(s_per_flop=0.01, s_per_attention_flop=0.1, s_per_byte=1.0, spread=0.2, watts=10)


def test_a_file_is_read_back_as_it_was(tmp_path: Path, calibration: Calibration) -> None:
    path = tmp_path / "machine.json"
    calibration.save(path)
    assert load_calibration(path) == calibration


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda content: {**content, "schema_version": 99}, "schema 1 is expected and this has 99"),
        (lambda content: {**content, "rates": {"answering": 3}}, "is no calibration"),
        (lambda content: {**content, "guess": 1}, "is no calibration"),
        (
            lambda content: {**content, "rates": {"answering": {"watts": math.nan}}},
            "is no calibration",
        ),
        (lambda content: [content], "schema 1 is expected and this has None"),
    ],
)
def test_what_is_no_calibration_is_told(
    tmp_path: Path,
    calibration: Calibration,
    break_it: Callable[[dict[str, object]], object],
    told: str,
) -> None:
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(break_it(calibration.plain())), encoding="utf-8")
    with pytest.raises(InputError, match=told):
        load_calibration(path)


def test_what_is_no_json_or_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_text("watts", encoding="utf-8")
    with pytest.raises(InputError, match="wattune calibrate -o"):
        load_calibration(path)
    with pytest.raises(StorageError, match="no such file"):
        load_calibration(tmp_path / "none.json")


def test_work_is_priced_by_operations_attention_and_bytes() -> None:
    done = Tally(passes=2, positions=10, pairs=30, heads=1, cached=5)
    assert features(COSTS, done) == (10 * 100 + 1000, 30, 2 * 50 + 5 * 2)
    assert RATES.seconds_of(COSTS, done) == pytest.approx(2000 * 0.01 + 30 * 0.1 + 110)
    assert RATES.seconds_of_work(Work(flops=2000.0, bytes_moved=110.0)) == pytest.approx(130)
    assert RATES.j_per_byte == 10


def test_what_is_not_known_has_no_price() -> None:
    assert RATES.seconds_of(Costs(flops_per_position=1.0), Tally(positions=1)) is None
    assert RATES.seconds_of_work(Work()) is None
    assert Rates(s_per_flop=1.0).j_per_flop is None
    some = Tally(passes=1, positions=1)
    assert RATES.seconds(Costs(), [some, some, some]) is None


def test_a_range_holds_how_it_may_go_and_how_far_the_fit_is_off() -> None:
    one, more = Tally(passes=1), Tally(passes=4)
    likely = RATES.seconds(COSTS, [one, one, more])
    assert likely is not None
    assert likely.likely == 50
    assert likely.low < 50
    assert likely.high > 200
    sure = RATES.model_copy(update={"spread": 0.0}).seconds(COSTS, [one, one, more])
    assert sure is not None
    own = math.exp(Z80 * FORMULA_SPREAD)  # what no fit shows
    assert sure.low == pytest.approx(50 / own)
    wider = RATES.seconds(COSTS, [one, one, more], other_width=True)
    assert wider is not None
    assert wider.low < likely.low


def test_a_habit_is_of_answers_that_ended_and_of_those_that_did_not() -> None:
    made = Habit.of(gold=[2, 4, 3, 3], written=[4, 12, 24, 3], limit=24)
    assert made == Habit(questions=4, runs_on=0.25, ratio=2.0)
    assert Habit.of([3], [24], 24).ratio == 1.0
