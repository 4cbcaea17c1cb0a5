"""Advice: constraints that are met, not met and unknown; what is said; what cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from wattune.advice import Advice, Needs, advise
from wattune.advice.verdict import Decision
from wattune.compare import compare
from wattune.compare.elsewhere import asked_elsewhere
from wattune.compare.usage import Usage
from wattune.errors import InputError
from wattune.measure.record import Record

Made = Callable[..., Record]


def needs(**changes: Any) -> Needs:
    usage = {k: changes.pop(k) for k in list(changes) if k in Usage.model_fields}
    return Needs(usage=Usage(**{"answers_per_day": 100, **usage}), **changes)


def decided(records: list[Record], **changes: Any) -> Decision:
    (decision,) = advise(records, needs(**changes)).decisions
    return decision


@pytest.fixture
def pair(made: Made) -> list[Record]:
    return [made("rag", 0.30, 100, 4.0), made("lora", 0.60, 5_000, 2.0)]


@pytest.mark.parametrize(
    ("constraint", "limit"),
    [
        ("latency", {"max_latency_p95_s": 0.4}),
        ("memory", {"max_memory_bytes": 1e9}),
        ("energy", {"max_energy_wh_per_1000": 0.1}),
        ("quality", {"min_quality": 0.9}),
    ],
)
def test_what_nothing_meets_is_told_with_the_nearest_miss(
    pair: list[Record], constraint: str, limit: dict[str, float]
) -> None:
    decision = decided(pair, **limit)
    assert decision.choice is None
    assert decision.nearest == "lora"
    assert decision.headline.startswith("Nothing meets what is asked. lora comes nearest:")
    assert any(reason.lower().startswith(constraint) for reason in decision.reasons)


@pytest.mark.parametrize(
    ("limit", "missing", "measure"),
    [
        ({"max_latency_p95_s": 2}, {"realtime": None}, "realtime_questions=20"),
        ({"max_cost": 5}, {}, "accounting.prices"),
        ({"licence": "open"}, {"system": {"kind": "local", "model": {"name": "x/y"}}}, "x/y"),
    ],
)
def test_an_unknown_constraint_is_never_met_in_silence(
    made: Made, limit: dict[str, Any], missing: dict[str, Any], measure: str
) -> None:
    decision = decided([made("rag", **missing)], **limit)
    assert decision.choice is None
    assert decision.headline.startswith("Nothing can be recommended yet")
    (candidate,) = decision.candidates
    assert candidate.standing == "cannot be told"
    assert measure in decision.gaps[0].measure
    assert decision.measure_next == decision.gaps[0].measure


def test_what_can_be_told_is_chosen_beside_what_cannot(made: Made) -> None:
    records = [made("cheap", 0.5, answer_j=1.0, realtime=None), made("dear", 0.5, answer_j=4.0)]
    decision = decided(records, max_latency_p95_s=2)
    assert decision.choice == "dear"
    assert "cheap: the wait for an answer was not measured" in decision.gaps[0].what


@pytest.mark.parametrize(
    ("system", "state"),
    [
        ({"endpoint": {"endpoint": "https://api.example.com/v1", "model": "big"}}, "not met"),
        ({"endpoint": {"endpoint": "http://localhost:8000/v1", "model": "big"}}, "met"),
        ({"endpoint": {"langchain": "package.module:factory"}}, "not met"),
        ({"model": {"name": "smollm2-135m-q4", "revision": "r"}}, "met"),
        ({}, "unknown"),
    ],
)
def test_a_server_elsewhere_is_not_on_premises(
    made: Made, system: dict[str, Any], state: str
) -> None:
    decision = decided([made("one", system=system)], privacy="on-premises")
    check = decision.candidates[0].check("privacy")
    assert check is not None
    assert check.state == state


def test_preparing_with_a_server_elsewhere_is_not_on_premises(made: Made) -> None:
    judge = {"endpoint": "https://api.example.com/v1", "model": "big"}
    recipe = {"name": "one", "runs": {"one": [{"lora": {"data": {"paraphraser": judge}}}]}}
    decision = decided([made("one", recipe=recipe)], privacy="on-premises")
    assert decision.choice is None
    assert "big at https://api.example.com/v1" in decision.headline


@pytest.mark.parametrize(
    ("step", "state"),
    [
        ({"langchain_rag": {"factory": "mine.cloud:store"}}, "not met"),
        ({"langchain_rag": {"factory": "mine.here:store@this_machine"}}, "met"),
        ({"rag": {"embedder": "langchain:mine.cloud:embed"}}, "not met"),
        ({"rag": {"embedder": "langchain:mine.here:embed@this_machine"}}, "met"),
        ({"rag": {"embedder": "minilm"}}, "met"),
    ],
)
def test_code_that_may_ask_elsewhere_is_not_on_premises(
    made: Made, step: dict[str, Any], state: str
) -> None:
    one = made("one", recipe={"name": "one", "runs": {"one": [step]}})
    check = decided([one], privacy="on-premises").candidates[0].check("privacy")
    assert check is not None
    assert check.state == state
    # The filter of a comparison answers alike.
    assert bool(asked_elsewhere(one)) == (state == "not met")


def test_a_run_that_surely_misses_the_floor_is_not_to_be_measured(made: Made) -> None:
    untold = [made(name, 0.3, latency_s=None) for name in ("one", "two")]
    decision = decided(untold, min_quality=0.9, max_latency_p95_s=2.0)
    assert decision.headline.startswith("Nothing meets what is asked")


def test_the_best_is_only_praised_for_what_it_is(made: Made) -> None:
    cheapest = decided([made("best", 0.9, 0, 1.0), made("rest", 0.3, 100, 4.0)])
    assert cheapest.headline == "Take best: it has the best token F1, and it is the cheapest, too."
    nothing = decided([made("one", 0.0, 0, 1.0), made("two", 0.0, 100, 4.0)])
    assert "no run reaches more than 0" in nothing.headline


def test_the_open_licence_of_a_known_model_is_met(pair: list[Record]) -> None:
    decision = decided(pair, licence="open")
    assert decision.choice == "lora"
    assert any("Apache-2.0" in reason for reason in decision.reasons)


def test_the_place_changes_grams_and_no_energy(pair: list[Record]) -> None:
    here, there = decided(pair), decided(pair, place="POL")
    for own, other in zip(here.candidates, there.candidates, strict=True):
        assert own.total_wh == other.total_wh
        assert own.total_g is not None
        assert other.total_g is not None
        assert other.total_g > 5 * own.total_g
    with pytest.raises(InputError, match="XXX"):
        decided(pair, place="XXX")


def test_the_price_of_quality_is_the_paired_difference_and_the_break_even(made: Made) -> None:
    records = [made("rag", 0.50, 100, 4.0), made("lora", 0.60, 5_000, 2.0)]
    (price,) = decided(records).prices
    assert (price.run, price.over, price.word) == ("lora", "rag", "after")
    assert price.gain is not None
    assert price.gain.value == pytest.approx(0.1)
    assert price.worth_it_after_answers is not None
    assert price.worth_it_after_answers.value == pytest.approx(2450)
    assert price.sentence.startswith("lora gains 0.10 [0.06, 0.14] token F1 over rag for 1.36 Wh")
    assert "once and saves 0.556 Wh per 1,000 answers: worth it after 2,450" in price.sentence


def test_every_figure_of_the_records_stands_in_the_advice(pair: list[Record]) -> None:
    decision = decided(pair, max_latency_p95_s=2)
    lora = decision.candidate("lora")
    assert lora is not None
    assert lora.records == ("key-of-lora",)
    assert lora.quality == pair[1].quality["token_f1"]
    answers = 100 * 365
    assert lora.parts_wh["answers"] == pytest.approx(answers * 2 / 3600)
    assert lora.parts_wh["prepare"] == pytest.approx(5_000 / 3600)
    check = lora.check("latency")
    assert check is not None
    assert (check.figure, check.limit, check.source) == (0.5, 2.0, "realtime.latency_p95_s")


def test_json_is_complete_and_has_no_infinity(pair: list[Record]) -> None:
    same = [*pair, pair[0].model_copy(update={"name": "twin", "key": "twin"})]
    advice = advise(same, needs())
    told = json.loads(advice.to_json())
    assert told["met"] is True
    assert told["needs"]["usage"]["answers_per_day"] == 100
    assert told["decisions"][0]["measure_next"] == advice.decisions[0].measure_next
    assert Advice.model_validate(
        {"version": told["version"], "needs": told["needs"], "decisions": [
            {k: v for k, v in d.items() if k != "measure_next"} for d in told["decisions"]
        ]}
    ) == advice  # fmt: skip


def test_mixed_hardware_gives_a_decision_for_each(made: Made) -> None:
    other = {"hardware": {"cpu": "Another"}}
    records = [
        made("rag", 0.5, 100, 4.0), made("lora", 0.5, 100, 2.0),
        made("rag", 0.5, 100, 1.0, key="k", environment=other),
    ]  # fmt: skip
    first, second = advise(records, needs()).decisions
    assert (first.choice, second.choice) == ("lora", "rag#k")
    assert "hardware: Another" in second.group
    assert "rag#k stands alone" in second.headline
    (mixed,) = advise(compare(records, allow=True), needs()).decisions
    assert mixed.choice == "rag#k"


def test_groups_of_two_tasks_are_told_apart(made: Made) -> None:
    def of_task(name: str, scorer: str, run: str) -> Record:
        task = {**made(run).task, "name": name, "items": f"items of {name}"}
        return made(run, task=task, fingerprints={"scorer": scorer})

    records = [of_task(*each, run) for each in (("ferry", "s"), ("ferry", "t"), ("port", "s"))
               for run in ("rag", "lora")]  # fmt: skip
    found = advise(records, needs()).decisions
    assert len({(one.task, one.group) for one in found}) == 3


def test_joules_of_a_busy_machine_are_told_with_the_choice(made: Made) -> None:
    busy = {"flags": ("contended: 75 % of the processors went to other programs",)}
    decision = decided([made("rag", **busy), made("lora", **busy)])
    assert "other programs kept the machine busy while all of them answered" in decision.headline


def test_a_failed_meter_leaves_a_run_out_and_says_so(made: Made) -> None:
    records = [made("broken", 0.9, answer_j=None), made("lora", 0.5)]
    decision = decided(records)
    broken = decision.candidate("broken")
    assert broken is not None
    assert (decision.choice, broken.standing, broken.total_wh) == ("lora", "cannot be told", None)
    assert "the energy of answering was not measured" in broken.why


def test_missing_phases_identical_records_and_zero_correct(made: Made) -> None:
    empty = made("empty", phases={}, realtime=None)
    assert decided([empty]).choice is None
    twins = [made("lora"), made("lora", created_at="2026-02-01T00:00:00+00:00")]
    assert decided(twins).choice in ("lora#key-of", "lora#key-of, run 2")
    assert len({c.run for c in decided(twins).candidates}) == 2
    assert len(decided([made("lora"), made("lora")]).candidates) == 1
    wrong = [made("a", 0.0, answer_j=3.0), made("b", 0.0, answer_j=2.0)]
    assert decided(wrong).choice == "b"
    assert decided(wrong, min_quality=0.1).choice is None


def test_what_is_not_known_comes_in_the_order_of_its_weight(made: Made) -> None:
    contended = ("contended: 50 % of the processors' time went to other programs",)
    few = made("lora", 0.5, questions=24, flags=contended, recipe={"limit": {"questions": 24}})
    told = [gap.what for gap in decided([few]).gaps]
    words = ("only run", "Other programs", "slice", "24 questions", "135 million")
    places = [next(n for n, what in enumerate(told) if word in what) for word in words]
    assert places == sorted(places)


def test_no_records_and_unknown_metrics_are_refused(pair: list[Record]) -> None:
    with pytest.raises(InputError, match="--ask"):
        advise([pair[0].model_copy(update={"status": "failed"})], needs())
    with pytest.raises(InputError, match='did you mean "token_f1"'):
        decided(pair, metric="tokenf1")
    with pytest.raises(InputError, match="no place"):
        decided([r.model_copy(update={"carbon": None}) for r in pair], weigh="carbon")
    with pytest.raises(InputError, match="no prices"):
        decided(pair, weigh="money")


def test_many_records_are_weighed(made: Made) -> None:
    """Of 400 with scores of their own, the cheapest on top is found."""
    records = [
        made(f"r{n}", 0.3 + 0.5 * (n % 7) / 7, answer_j=1 + n % 11, key=f"{n:08d}", questions=60)
        for n in range(400)
    ]
    decision = decided(records, min_quality=0.75)
    chosen = decision.candidate(decision.choice)
    assert chosen is not None
    assert len(decision.candidates) == 400
    assert chosen.parts_wh["answers"] == pytest.approx(100 * 365 / 3600)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys\nfrom wattune.advice import advise\nimport wattune.advice.proposal\n"
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
