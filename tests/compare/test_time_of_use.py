"""A time of use: totals, break-evens and what changes the winner, against sums and simulations."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from wattune.compare.break_even import BreakEven, break_even
from wattune.compare.lifecycle import costs_of, life_cycle
from wattune.compare.seeds import Row
from wattune.compare.uncertainty import DRAWS, REPEAT_SD, answer_draws
from wattune.compare.usage import Usage
from wattune.errors import InputError
from wattune.measure.record import (
    Baseline,
    Bill,
    Carbon,
    Energy,
    Money,
    Phase,
    Record,
    Score,
    StageRecord,
)  # fmt: skip
from wattune.measure.refresh import Refresh, RefreshedStage
from wattune.measure.serving import realtime_of

QUESTIONS = 40


def record(
    name: str = "lora",
    *,
    prepare_j: float | None = 1000.0,
    answer_j: float | None = 2.0,
    refresh_j: float | None = None,
    idle_w: float | None = 20.0,
    quality: float = 0.5,
    **changes: Any,
) -> Record:
    """A finished record with these joules of one preparation, one answer, one refresh."""
    bill = Bill(energy_j=prepare_j, duration_s=60.0)
    stages = (
        StageRecord(strategy="s", key=f"s-{name}", reused=False, spent=bill, attributed=bill),
    )
    refresh = None
    if refresh_j is not None:
        cost = Bill(energy_j=refresh_j, duration_s=5.0)
        made = RefreshedStage(
            strategy="s", key=f"r-{name}", reused=False, spent=cost, attributed=cost, how="rebuilt"
        )
        refresh = Refresh(
            version="2", fingerprint="f", questions_changed=1, questions_unchanged=1,
            stages=(made,), attributed=cost,
        )  # fmt: skip
    total = None if answer_j is None else answer_j * QUESTIONS
    provenance: Any = "failed" if total is None else "counter"
    phase = Phase(
        duration_s=10.0,
        energy_j=total,
        components={"cpu": Energy(energy_j=total, provenance=provenance)},
    )
    given: dict[str, Any] = {
        "name": name,
        "key": f"key-{name}",
        "created_at": "2026-01-01",
        "task": {"name": "ferry", "items": "0123", "metrics": ["token_f1"]},
        "stages": stages if prepare_j != 0 else (),
        "prepare": bill,
        "phases": {"answer": phase},
        "answers": QUESTIONS,
        "baseline": idle_w and Baseline(power_w={"cpu": idle_w}, duration_s=3.0, cpu_percent=0.5),
        "quality": {"token_f1": Score(value=quality, low=0.0, high=1.0, n=QUESTIONS)},
        "scores": {"token_f1": (quality,) * QUESTIONS},
        "recipe": {"runs": {name: []}},
        "outcomes": {"correct": int(quality * QUESTIONS)},
        "refresh": refresh,
    }
    return Record.model_validate({**given, **changes})


def row(**figures: Any) -> Row:
    made = record(**figures)
    return Row(made.name, (made,))


def test_the_total_is_the_sum_of_its_parts() -> None:
    usage = Usage(
        answers_per_day=100, horizon_days=73, refreshes_per_year=10, cached_share=0.25,
        idle_hours_per_day=2,
    )  # fmt: skip
    money = Money(currency="EUR", prepare=0.001, answers_1000=0.002, spent=0.00108)
    grid = Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", pue=1.2)
    found = life_cycle(
        row(
            refresh_j=30.0, money=money, carbon=grid,
            spent=Bill(energy_j=1080.0, duration_s=70.0),
        ),
        usage,
    )  # fmt: skip
    # 7300 answers, a quarter of them cached; 2 refreshes; 146 hours at 20 W.
    assert found.parts_j == pytest.approx(
        {"prepare": 1000.0, "refreshes": 60.0, "answers": 10_950.0, "idle": 20 * 146 * 3600}
    )
    joules = 1000 + 60 + 10_950 + 20 * 146 * 3600
    assert found.total_j is not None
    assert found.total_j.value == pytest.approx(joules)
    assert found.total_j.low < joules < found.total_j.high
    assert found.total_g == pytest.approx(joules / 3.6e6 * 1.2 * 50)
    # One price fits all money of the record: a millionth of a euro a joule.
    assert found.total_money == pytest.approx(joules * 1e-6)
    assert found.currency == "EUR"
    assert found.j_per_correct == pytest.approx(joules / 7300 / 0.5)
    assert found.unknown == ()


def test_hours_are_paid_by_the_hour() -> None:
    hourly = Money(currency="USD", prepare=0.6, answers_1000=2.5, spent=0.7)  # 0.01 a second
    usage = Usage(answers_per_day=1, horizon_days=1, idle_hours_per_day=1)
    found = life_cycle(row(money=hourly, spent=Bill(energy_j=9.0, duration_s=70.0)), usage)
    assert found.total_money == pytest.approx(0.6 + 0.0025 + 36.0)


@pytest.mark.parametrize(
    ("figures", "usage", "part", "says"),
    [
        ({}, {"refreshes_per_year": 4}, "refreshes", "`refresh: true`"),
        ({}, {"serving": "realtime"}, "answers", "`realtime_questions: 20`"),
        ({"answer_j": None}, {}, "answers", "was not measured"),
        ({"prepare_j": None}, {}, "prepare", "its meter failed"),
        ({"idle_w": None}, {"idle_hours_per_day": 1}, "idle", "no baseline"),
        (
            {"baseline": Baseline(power_w={"cpu": 9.0}, duration_s=3.0, cpu_percent=60.0)},
            {"idle_hours_per_day": 1}, "idle", "not at rest",
        ),
        (
            {"baseline": Baseline(power_w={"ram": 9.0}, duration_s=3.0)},
            {"idle_hours_per_day": 1}, "idle", "not of all that is metered",
        ),
        (
            {"flags": ("not_refreshed: the task has no revision",)},
            {"refreshes_per_year": 4}, "refreshes", "the task has no revision",
        ),
    ],
)  # fmt: skip
def test_an_unknown_part_makes_the_total_unknown(
    figures: dict[str, Any], usage: dict[str, Any], part: str, says: str
) -> None:
    found = life_cycle(row(**figures), Usage(answers_per_day=10, **usage))
    assert found.parts_j[part] is None
    assert (found.total_j, found.total_g, found.total_money) == (None, None, None)
    assert len(found.unknown) == 1
    assert says in found.unknown[0]


def test_a_refresh_costs_what_was_measured_or_nothing_or_what_is_assumed() -> None:
    often = Usage(answers_per_day=1, refreshes_per_year=12)
    assert costs_of(row(refresh_j=30.0), often).refresh_j == 30.0
    assert costs_of(row(prepare_j=0.0), often).refresh_j == 0.0
    assert costs_of(row(), often.model_copy(update={"refresh_costs": "prepare"})).refresh_j == 1000


def test_usage_out_of_bounds_is_refused() -> None:
    for wrong in ({"answers_per_day": -1}, {"cached_share": 1.1}, {"idle_hours_per_day": 25}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Usage(**{"answers_per_day": 1, **wrong})
    with pytest.raises(InputError, match="horizon_days"):
        Usage(answers_per_day=1, horizon_days=0)


def test_draws_hold_the_measurement_the_questions_and_the_seeds() -> None:
    alone = answer_draws([record()], "batch")
    assert alone is not None
    assert alone.shape == (DRAWS,)
    assert float(alone.std() / alone.mean()) == pytest.approx(REPEAT_SD, rel=0.1)
    waits = [0.1] * 10 + [0.9] * 10
    uneven = record(realtime=realtime_of(20, 100.0, waits, ()))
    single, batch = answer_draws([uneven], "realtime"), answer_draws([uneven], "batch")
    assert single is not None
    assert batch is not None
    # 20 waits of standard deviation 0.4 around 0.5, twice as many questions in the batch.
    expected = math.hypot(REPEAT_SD, 0.4 / 0.5 / math.sqrt(20))
    assert float(single.std() / single.mean()) == pytest.approx(expected, rel=0.15)
    assert (
        alone.std() < batch.std() / batch.mean() * alone.mean() < single.std() / single.mean() * 2
    )
    seeds = [record(answer_j=joules, seed=n) for n, joules in enumerate((1.0, 2.0, 3.0))]
    apart = answer_draws(seeds, "batch")
    assert apart is not None
    assert float(apart.std()) > 0.4


def test_what_two_runs_share_is_drawn_once() -> None:
    """t-rag is lora and an index: what it costs more to prepare is the index, whatever the noise
    of the training that both are made of."""
    lora = record("lora", prepare_j=5000.0)
    index = Bill(energy_j=100.0, duration_s=3.0)
    stage = StageRecord(strategy="rag", key="i", reused=False, spent=index, attributed=index)
    both = record("t-rag", answer_j=1.0, stages=(*lora.stages, stage), prepare=lora.prepare + index)
    usage = Usage(answers_per_day=10)
    one, other = (costs_of(Row(r.name, (r,)), usage) for r in (lora, both))
    found = break_even(one, other, usage)
    assert found.answers is not None
    assert found.answers.value == pytest.approx(100)
    assert 60 < found.answers.low < found.answers.high < 160


def simulated(one: Row, other: Row, usage: Usage, answers: float) -> float:
    """By how much the first has cost more after so many answers, its refreshes paid at once, each
    when its time has come."""

    def cost(of: Row) -> float:
        costs = costs_of(of, usage)
        days = answers / usage.answers_per_day
        refreshes = math.floor(days * usage.refreshes_per_year / 365)
        assert costs.answer_j is not None
        assert costs.prepare_j is not None
        spent = costs.prepare_j + refreshes * (costs.refresh_j or 0.0)
        spent += answers * (1 - usage.cached_share) * costs.answer_j.value
        return spent + days * usage.idle_hours_per_day * 3600 * (costs.idle_w or 0.0)

    return cost(one) - cost(other)


def test_break_even_agrees_with_a_simulation() -> None:
    rng = random.Random(7)
    words = []
    for _ in range(150):
        pair = [
            row(
                name=name, prepare_j=rng.choice([0.0, rng.uniform(0, 5000)]),
                answer_j=rng.uniform(0.5, 3), refresh_j=rng.uniform(0, 200),
                idle_w=rng.uniform(10, 12),
            )
            for name in ("a", "b")
        ]  # fmt: skip
        usage = Usage(
            answers_per_day=rng.uniform(1, 5000), refreshes_per_year=rng.choice([0, 12, 52]),
            cached_share=rng.choice([0, 0.5]), idle_hours_per_day=rng.choice([0, 0.1]),
        )  # fmt: skip
        costs = [costs_of(one, usage) for one in pair]
        found = break_even(costs[0], costs[1], usage)
        assert found == break_even(costs[1], costs[0], usage)
        words.append(found.word)
        dearer, cheaper = found.dearer_to_prepare, found.cheaper_to_prepare
        a_refresh = abs((costs[0].refresh_j or 0.0) - (costs[1].refresh_j or 0.0))
        if found.answers is None:
            assert found.saving_j_per_answer is not None
            assert found.saving_j_per_answer.value <= 0
            assert simulated(dearer, cheaper, usage, 1e7) >= -a_refresh
            continue
        assert found.answers.low <= found.answers.value <= found.answers.high
        at = simulated(dearer, cheaper, usage, found.answers.value)
        assert abs(at) <= a_refresh + 1e-6 * (1 + found.answers.value)
        assert found.saving_j_per_answer is not None
        # Far enough on either side that a refresh more or less does not matter.
        far = (a_refresh + 1) / found.saving_j_per_answer.value
        assert simulated(dearer, cheaper, usage, found.answers.value + 2 * far) < 0
        if found.answers.value > 2 * far:
            assert simulated(dearer, cheaper, usage, found.answers.value - 2 * far) > 0
    assert {"after", "never", "always"} >= set(words) >= {"after", "always"}


def test_words_for_pairs_that_never_pay_back() -> None:
    usage = Usage(answers_per_day=100)

    def between(one: Row, other: Row) -> BreakEven:
        return break_even(costs_of(one, usage), costs_of(other, usage), usage)

    cheap = row(name="cheap", prepare_j=0.0, answer_j=1.0)
    surely = between(cheap, row(name="dear", answer_j=3.0))
    assert (surely.word, surely.cheaper_to_prepare.label) == ("always", "cheap")
    hardly = between(cheap, row(name="alike", answer_j=1.01))
    assert (hardly.word, hardly.answers) == ("never", None)
    unsure = between(cheap, row(name="alike", answer_j=0.99))
    assert unsure.answers is not None
    assert (unsure.word, unsure.answers.high) == ("after", math.inf)
    assert between(cheap, row(name="lost", answer_j=None)).word == "unknown"
    same = between(cheap, cheap)
    assert (same.word, same.saving_j_per_answer and same.saving_j_per_answer.value) == ("never", 0)


def test_the_less_it_is_used_the_longer_a_dear_refresh_takes_to_pay_back() -> None:
    tuned = row(name="tuned", prepare_j=1000.0, answer_j=1.0, refresh_j=1000.0)
    plain = row(name="plain", prepare_j=0.0, answer_j=2.0)
    found = {}
    for volume in (1, 200, 1000):
        usage = Usage(answers_per_day=volume, refreshes_per_year=52)
        found[volume] = break_even(costs_of(tuned, usage), costs_of(plain, usage), usage)
    # 52 / 365 of 1000 J a day: more than the joules that 100 answers save.
    assert found[1].word == "always"
    assert found[200].answers is not None
    assert found[1000].answers is not None
    assert found[200].answers.value == pytest.approx(1000 / (1 - 52_000 / 365 / 200))
    assert found[200].answers.value > found[1000].answers.value
