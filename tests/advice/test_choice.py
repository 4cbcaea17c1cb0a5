"""The choice: the rule, and what may never change it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from wattune.advice import Needs, advise
from wattune.compare.usage import Usage
from wattune.measure.record import Record
from wattune.measure.refresh import Refresh

Made = Callable[..., Record]


def needs(answers_per_day: float = 100, **changes: Any) -> Needs:
    usage = {k: changes.pop(k) for k in list(changes) if k in Usage.model_fields}
    return Needs(usage=Usage(answers_per_day=answers_per_day, **usage), **changes)


def choice(records: list[Record], asked: Needs) -> str | None:
    (decision,) = advise(records, asked).decisions
    return decision.choice


@pytest.fixture
def field(made: Made) -> list[Record]:
    """Three runs that are far apart: cheap and poor, dear to prepare and cheap to ask, and the
    best, dear in both."""
    return [
        made("rag", 0.30, prepare_j=100, answer_j=4.0),
        made("lora", 0.50, prepare_j=5_000, answer_j=2.0),
        made("t-rag", 0.70, prepare_j=6_000, answer_j=6.0),
    ]


def test_without_a_floor_the_best_is_taken_where_nothing_is_tied_with_it(
    field: list[Record],
) -> None:
    assert choice(field, needs()) == "t-rag"


def test_the_cheapest_that_is_tied_with_the_best_is_taken(made: Made) -> None:
    records = [made("dear", 0.52, answer_j=6.0), made("cheap", 0.50, answer_j=2.0)]
    assert choice(records, needs()) == "cheap"


@pytest.mark.parametrize(
    ("floor", "taken"), [(0.2, "lora"), (0.35, "lora"), (0.45, "lora"), (0.6, "t-rag")]
)
def test_with_a_floor_the_cheapest_that_reaches_it_is_taken(
    field: list[Record], floor: float, taken: str
) -> None:
    assert choice(field, needs(answers_per_day=10_000, min_quality=floor)) == taken


def test_a_floor_within_the_interval_is_reached_and_said_to_be_unsure(field: list[Record]) -> None:
    """lora scores 0.50 on 200 questions: its interval reaches 0.55."""
    (decision,) = advise(field, needs(min_quality=0.55)).decisions
    assert decision.choice == "lora"
    assert "not distinguishable from 0.55" in decision.reasons[0]
    (sure,) = advise(field, needs(min_quality=0.40)).decisions
    assert "surely above 0.4" in sure.reasons[0]


def test_the_volume_turns_the_choice_at_the_break_even(field: list[Record]) -> None:
    """rag costs 100 + 4 n, lora 5,000 + 2 n: equal at 2,450 answers."""
    for days, taken in ((2440, "rag"), (2460, "lora")):
        asked = needs(answers_per_day=1, horizon_days=days, min_quality=0.3)
        assert choice(field, asked) == taken


def test_refreshes_turn_the_choice(field: list[Record]) -> None:
    assert choice(field, needs(answers_per_day=20, min_quality=0.3)) == "lora"
    asked = needs(answers_per_day=20, min_quality=0.3, refreshes_per_year=52)
    (decision,) = advise(field, asked).decisions
    assert decision.choice == "rag"
    gap = decision.gaps[0]
    assert "counts as preparing anew" in gap.what
    assert "lora would be the choice" in gap.what
    assert gap.measure == "wattune compare RECIPE refresh=true"


def test_a_refresh_that_was_measured_counts_as_measured(made: Made) -> None:
    def refresh(joules: float) -> Refresh:
        bill = {"energy_j": joules, "duration_s": 1.0}
        return Refresh.model_validate(
            {"version": "2", "fingerprint": "f", "questions_changed": 5,
             "questions_unchanged": 5, "attributed": bill}
        )  # fmt: skip

    records = [
        made("rag", 0.5, prepare_j=100, answer_j=4.0, refresh=refresh(100)),
        made("lora", 0.5, prepare_j=5_000, answer_j=2.0, refresh=refresh(10)),
    ]
    (decision,) = advise(records, needs(answers_per_day=20, refreshes_per_year=52)).decisions
    assert decision.choice == "lora"
    assert not any("update" in gap.what for gap in decision.gaps)


def test_the_runner_up_is_what_the_rule_takes_without_the_choice(field: list[Record]) -> None:
    (decision,) = advise(field, needs(answers_per_day=10_000, min_quality=0.3)).decisions
    assert (decision.choice, decision.runner_up) == ("lora", "rag")
    without = [record for record in field if record.name != "lora"]
    assert choice(without, needs(answers_per_day=10_000, min_quality=0.3)) == "rag"


def test_a_dominated_strategy_changes_nothing_of_the_choice(made: Made) -> None:
    chance = random.Random(7)
    for trial in range(12):
        count = chance.randint(2, 4)
        records = [
            made(f"r{n}", chance.uniform(0.2, 0.8), prepare_j=chance.choice([0, 100, 8_000]),
                 answer_j=chance.uniform(1, 9), questions=100)
            for n in range(count)
        ]  # fmt: skip
        floor = chance.choice([None, 0.4, 0.6])
        asked = needs(chance.choice([1, 300, 20_000]), min_quality=floor)
        before = choice(records, asked)
        victim = chance.choice(records)
        # Worse in the mean, and dearer to prepare and to ask; on its own questions.
        worse = made(
            "worse", max(0.0, victim.quality["token_f1"].value - 0.05),
            prepare_j=(victim.prepare.energy_j or 0) + 50,
            answer_j=(victim.phases["answer"].energy_j or 0) / victim.answers + 0.5,
            questions=100,
        )  # fmt: skip
        assert choice([*records, worse], asked) == before, trial


def test_the_order_of_the_records_changes_nothing(field: list[Record]) -> None:
    asked = needs(answers_per_day=20, min_quality=0.3, refreshes_per_year=52)
    first = advise(field, asked).to_json()
    chance = random.Random(3)
    for _ in range(4):
        shuffled = chance.sample(field, len(field))
        assert advise(shuffled, asked).to_json() == first


def test_scaling_all_joules_changes_nothing_of_the_choice(made: Made) -> None:
    for factor in (1e-3, 1e3):
        for floor in (None, 0.3, 0.6):
            plain = [made("a", 0.3, 100, 4.0), made("b", 0.5, 5_000, 2.0), made("c", 0.7, 10, 9.0)]
            scaled = [
                made(name, q, p * factor, a * factor)
                for name, q, p, a in (("a", 0.3, 100, 4.0), ("b", 0.5, 5_000, 2.0),
                                      ("c", 0.7, 10, 9.0))
            ]  # fmt: skip
            asked = needs(50, min_quality=floor)
            assert choice(plain, asked) == choice(scaled, asked)


def test_lower_is_better_where_the_metric_says_so(made: Made) -> None:
    records = []
    for name, rate, joules in (("bold", 0.8, 1.0), ("careful", 0.1, 5.0)):
        record = made(name, rate, answer_j=joules)
        renamed = {
            "quality": {"hallucination_rate": record.quality["token_f1"]},
            "scores": {"hallucination_rate": record.scores["token_f1"]},
            "task": {**record.task, "metrics": ["hallucination_rate"]},
        }
        records.append(record.model_copy(update=renamed))
    assert choice(records, needs()) == "careful"
    assert choice(records, needs(min_quality=0.9)) == "bold"
    assert choice(records, needs(min_quality=0.3)) == "careful"


def test_the_headline_counts_all_that_are_good_enough(field: list[Record]) -> None:
    (decision,) = advise(field, needs(answers_per_day=10_000, min_quality=0.3)).decisions
    assert decision.headline == (
        "Take lora: the cheapest of the 3 runs with at least 0.3 token F1, or not distinguishable "
        "from it."
    )
    (sure,) = advise(field, needs(answers_per_day=10_000, min_quality=0.45)).decisions
    assert sure.headline.startswith("Take lora: the cheapest of the 2 runs with at least 0.45")
    (unsure,) = advise(field, needs(min_quality=0.55)).decisions
    assert "To be sure of 0.55 take t-rag, at 2.88 times the energy." in unsure.reasons[0]
