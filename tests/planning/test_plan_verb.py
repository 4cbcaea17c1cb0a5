"""`wattune plan`, its budgets, and `--budget` where recipes run: nothing is spent beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import InputError
from wattune.measure.calibration import Calibration
from wattune.measure.predicted import kept_prediction
from wattune.planning.budget import budget_of

Wattune = Callable[..., Any]


@pytest.fixture(autouse=True)
def _calibrated(monkeypatch: pytest.MonkeyPatch, calibration: Calibration) -> None:
    """This machine has been calibrated before."""

    def kept(model: str, **_: object) -> Calibration:
        return calibration

    monkeypatch.setattr("wattune.planning.kept.kept_calibration", kept)


def test_a_plan_shows_each_run_and_all(recipe: Path, wattune: Wattune) -> None:
    ran = wattune("plan", recipe, "--no-progress")
    assert ran.code == 0, ran.err
    assert "Planned work" in ran.out
    for name in ("zero-shot", "few-shot", "in all"):
        assert name in ran.out
    assert "Rates by a calibration of 2026-11-23 with tiny" in ran.out
    assert not Path("runs").exists()


def test_a_plan_as_json_is_kept_for_the_runs(recipe: Path, wattune: Wattune) -> None:
    told = json.loads(wattune("plan", recipe, "--format", "json", "--no-progress").out)
    assert [run["run"] for run in told["runs"]] == ["zero-shot", "few-shot"]
    energy = told["in_all"]["energy_j"]
    assert 0 < energy["low"] <= energy["likely"] <= energy["high"]
    assert energy["likely"] == pytest.approx(
        sum(run["to_spend"]["energy_j"]["likely"] for run in told["runs"])
    )
    assert told["in_all"]["emissions_g"]["likely"] > 0
    kept = kept_prediction(told["runs"][0]["key"])
    assert kept is not None
    assert kept.plain() == told["runs"][0]["predicted"]


def test_a_budget_that_holds_and_one_that_does_not(recipe: Path, wattune: Wattune) -> None:
    fits = wattune("plan", recipe, "--budget", "5kWh", "--no-progress")
    assert fits.code == 0, fits.err
    assert "Within the budget of 5 kWh" in fits.out
    exceeds = wattune("plan", recipe, "--budget", "0.001J", "--no-progress")
    assert exceeds.code == 3
    assert "more than the budget of 0.001 J" in exceeds.err
    assert "80 % range" in exceeds.err


@pytest.mark.parametrize("verb", ["run", "compare"])
def test_nothing_runs_beyond_a_budget(recipe: Path, wattune: Wattune, verb: str) -> None:
    refused = wattune(verb, recipe, "--budget", "0.001s", "--no-progress")
    assert refused.code == 3
    assert "duo would likely take" in refused.err
    assert not list(Path("runs").rglob("*.json"))


def test_within_a_budget_it_runs_and_the_records_hold_the_plan(
    recipe: Path, wattune: Wattune
) -> None:
    ran = wattune("compare", recipe, "--budget", "5kWh", "--no-progress")
    assert ran.code == 0, ran.err
    assert "Planned and measured" in ran.out


def test_a_budget_is_for_what_is_still_to_be_spent(recipe: Path, wattune: Wattune) -> None:
    assert wattune("run", recipe, "--no-progress").code == 0
    again = wattune("run", recipe, "--budget", "0.001J", "--no-progress")
    assert again.code == 0, again.err
    records = wattune("compare", "runs", "--budget", "5kWh")
    assert (records.code, "--budget changes nothing with finished records" in records.err) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("50", "a number above 0 and its unit are expected"),
        ("0Wh", "a number above 0"),
        ("-3Wh", "a number above 0"),
        ("50mJ", "J, kJ, MJ"),
        ("50 apples", "such as 50Wh, 30min, 12g or 0.50EUR"),
    ],
)
def test_what_is_no_budget_is_told(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        budget_of(text)


@pytest.mark.parametrize(
    ("text", "quantity", "amount"),
    [
        ("50Wh", "energy_j", 180_000),
        ("2 kWh", "energy_j", 7_200_000),
        ("30min", "duration_s", 1800),
        ("5G", "grams", 5),
        ("3MJ", "energy_j", 3_000_000),
        ("1EUR", "money", 1),
    ],
)
def test_budgets_are_read(text: str, quantity: str, amount: float) -> None:
    found = budget_of(text)
    assert (found.quantity, found.amount) == (quantity, amount)


def test_money_without_prices_is_refused_not_guessed(recipe: Path, wattune: Wattune) -> None:
    asked = wattune("plan", recipe, "--budget", "1XTS", "--no-progress")
    assert asked.code == 2
    assert "prices in XTS" in asked.err
