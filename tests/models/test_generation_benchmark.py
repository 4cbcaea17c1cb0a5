"""The arithmetic and the rules of benchmarks/generation.py, without a model."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from wattune.measure.work import Costs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VOCABULARY = ["<end>", "\n", "The", " ", "Ha", "rbour", " Hall", "Harbour", "."]
END, NEWLINE, THE, SPACE, HA, RBOUR, HALL, HARBOUR, DOT = range(len(VOCABULARY))


def decode(ids: list[int]) -> str:
    known = [one for one in ids if one != END]
    return "".join(VOCABULARY[one] if one < len(VOCABULARY) else "~" for one in known)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda part: importlib.import_module(f"generation_{part}")


def test_a_beginning_that_prompts_share_is_read_once(benchmark: Any) -> None:
    prompts = [[1, 2, 3, 4], [9, 9], [1, 2, 3, 5, 6], [1, 2, 7]]
    tokens, read, places = benchmark("cases").lengths(prompts)
    assert tokens == 14
    assert read == 3 + 1 + 2 + 1 + 2
    assert places == (1 + 2 + 3) + 4 + (4 + 5) + 3 + (1 + 2)


def test_the_floor_of_two_prompts_by_hand(benchmark: Any) -> None:
    floor = benchmark("floor")
    costs = Costs(
        method="counted",
        flops_per_position=100.0,
        flops_per_pair=1.0,
        flops_per_head=10.0,
        bytes_per_pass=50.0,
    )
    passes = [(2, 3), (2, 1), (1, 1)]
    reading, writing = floor.phases([[1, 2, 3], [1, 2, 4]], [3, 1], passes, costs, one_by_one=False)
    assert reading.flops == 4 * 100 + (1 + 2 + 3 + 3) * 1 + 2 * 10
    # The first prompt has two tokens read again, after three of prompt: 4 and 5 places.
    assert writing.flops == 2 * 100 + (4 + 5) * 1 + 2 * 10
    assert (reading.least_passes, reading.passes, reading.rows) == (1, 1, 6)
    assert (writing.least_passes, writing.passes, writing.rows) == (2, 2, 2)
    rates = floor.Rates({2: 10.0, 6: 100.0}, bytes_s=20.0)
    assert reading.floor_s(rates) == pytest.approx(429 / 100)  # operations take longer
    assert writing.floor_s(rates) == pytest.approx(2 * 50 / 20)  # the weights take longer
    assert writing.floor_of_passes_s(rates) == pytest.approx(229 / 10)


def test_one_by_one_every_token_needs_a_pass(benchmark: Any) -> None:
    costs = Costs(
        flops_per_position=0.0, flops_per_pair=0.0, flops_per_head=0.0, bytes_per_pass=1.0
    )
    made = benchmark("floor").phases([[1, 2], [1, 3]], [4, 5], [], costs, one_by_one=True)
    assert [one.least_passes for one in made] == [2, 7]
    assert [one.rows for one in made] == [0, 0]


def test_rates_are_the_best_of_all_repeats(benchmark: Any) -> None:
    rates = benchmark("floor").Rates
    assert rates({1: 5.0, 9: 7.0}, 3.0).at_least(rates({9: 6.0, 20: 8.0}, 4.0)) == rates(
        {1: 5.0, 9: 7.0, 20: 8.0}, 4.0
    )


@pytest.mark.parametrize(
    ("written", "ended", "leading", "expected"),
    [
        ("\nThe H", False, True, True),
        ("\nThe H", False, False, False),  # there a newline at the beginning ended the answer
        ("The Hall", False, True, True),
        ("The Hall", True, True, True),
        ("The", True, True, False),
        ("The Hall \n more", False, True, True),
        ("The Hall ", False, True, True),
        ("The Hat", False, True, False),
        ("The Hal\ufffd", False, True, True),
    ],
)
def test_what_can_be_the_beginning_of_an_answer(
    benchmark: Any, written: str, ended: bool, leading: bool, expected: bool
) -> None:
    fits = benchmark("equality").fits
    assert fits(written, "The Hall", ended=ended, leading=leading) is expected


def verdicts(benchmark: Any, told: str, likely: dict[int, float]) -> list[dict[str, Any]]:
    """Of one text beside "Harbour Hall", where every step finds these tokens likely."""
    logits = torch.full((100,), -9.0)
    for token, value in likely.items():
        logits[token] = value
    reference = [HA, RBOUR, HALL, NEWLINE, DOT]
    made = benchmark("equality").examined(
        [told], [reference], decode, lambda *_: logits, ends={END}, max_tokens=5, leading=True
    )
    return list(made)


def test_texts_that_part_at_a_near_tie(benchmark: Any) -> None:
    assert verdicts(benchmark, "Harbour Hall", {}) == [{"verdict": "identical"}]
    (near,) = verdicts(benchmark, "Harbour.", {HALL: 5.0, DOT: 4.9995})
    assert near["verdict"] == "near tie"
    assert near["gap"] == pytest.approx(5e-4, rel=1e-2)
    (far,) = verdicts(benchmark, "Harbour.", {HALL: 5.0, DOT: 4.9})
    assert far["verdict"] == "fault"
    # Nothing that was likely writes this, so no gap can excuse it.
    (strange,) = verdicts(benchmark, "HarbourZoo", {HALL: 5.0, DOT: 4.9995})
    assert (strange["verdict"], strange["gap"]) == ("fault", None)


def test_prompts_of_the_warm_up_share_nothing(benchmark: Any) -> None:
    cases = benchmark("cases")
    made: list[list[Any]] = []

    def rendered(chat: list[Any]) -> Any:
        made.append(chat)
        text = " ".join(message["content"] for message in chat)
        return cases.Prompt(chat, tuple(text.encode()), text)

    chat = [{"role": "user", "content": "Who keeps the light?"}]
    case = cases.Case("one", (rendered(chat),) * 40, 24)
    warm = case.warm_up(rendered)
    assert [one.text for one in warm] == ["light? the keeps Who"] * 5
    assert cases.common(warm[0].ids, case.prompts[0].ids) == 0


def test_shots_fill_the_shared_part_and_are_not_asked(benchmark: Any) -> None:
    cases = benchmark("cases")
    task = cases.load_task("harbour")

    def rendered(chat: list[Any]) -> Any:
        words = tuple(hash(word) for message in chat for word in message["content"].split())
        return cases.Prompt(chat, words, "")

    template, shots = cases.few_shots(task, rendered)
    asked = cases.questions(task, without=shots)
    assert len({one.question for one in asked}) == len(asked) >= 230
    assert not {one.question for one in asked} & {shot.question for shot in shots}
    ids = [
        rendered(template.render(one.question, refusal=task.refusal, shots=shots)).ids
        for one in asked[:2]
    ]
    assert cases.SHARED_TOKENS <= cases.common(*ids) < cases.SHARED_TOKENS + 30
