"""The rule of a frugal comparison: whom it asks, when it stops, and how often it is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from wattune.compare.floor import reaches
from wattune.frugal.decision import Ask, Contender, State, Stop, next_step, standing, still_racing
from wattune.frugal.wording import said_of
from wattune.measure.statistics import bootstrap_mean

N = 120


def table(*shares: float, seed: int = 0) -> list[list[float]]:
    """Runs with these shares of right answers on the same N questions, some hard for all."""
    draw = random.Random(seed)
    hard = [draw.random() for _ in range(N)]
    rows = []
    for share in shares:
        noisy = [0.7 * one + 0.3 * draw.random() for one in hard]
        right = set(sorted(range(N), key=noisy.__getitem__)[: round(share * N)])
        rows.append([float(place in right) for place in range(N)])
    return rows


def decide(
    rows: Sequence[Sequence[float]], floor: float | None, shuffle: int = 0, alpha: float = 0.05
) -> tuple[Stop, list[int], list[Ask]]:
    """Replay: the decision, the questions that each run was asked, and all that was asked."""
    order = tuple(random.Random(shuffle).sample(range(N), N))
    names = "abcdefgh"[: len(rows)]
    state = State(tuple(map(Contender, names)), order, floor, alpha)
    asked: list[Ask] = []
    while not isinstance(step := next_step(state), Stop):
        asked.append(step)
        shuffled = [rows[step.run][place] for place in order]
        state = state.scored(step.run, shuffled[: step.upto])
    return step, [len(one.scores) for one in state.contenders], asked


def test_a_cheap_run_far_above_the_floor_ends_it_and_the_dear_ones_are_not_started() -> None:
    stop, asked, steps = decide(table(0.9, 0.95, 0.99), 0.4)
    assert stop == Stop(chosen=0)
    assert asked[0] < N / 2
    assert asked[1:] == [0, 0]
    assert [step.upto for step in steps] == [16, 32, 64][: len(steps)]


def test_a_run_far_below_is_dropped_early_and_the_next_one_is_asked() -> None:
    stop, asked, steps = decide(table(0.05, 0.1, 0.9, 1.0), 0.7)
    assert stop.chosen == 2
    assert max(asked[:2]) < N / 2
    assert asked[3] == 0
    assert [step.run for step in steps] == sorted(step.run for step in steps)


def test_at_the_floor_all_is_asked_and_the_interval_decides_as_advise_does() -> None:
    (scores,) = table(0.5)
    score = bootstrap_mean(scores)
    for floor in (score.high, score.high + 1e-6):
        stop, asked, _ = decide([scores], floor)
        assert asked == [N]
        assert (stop.chosen == 0) == (reaches(score, floor, "token_f1") != "no")
    assert decide([scores], score.high)[0].chosen == 0


def test_what_lies_below_the_floor_and_may_reach_it_is_told_so() -> None:
    (scores,) = table(0.5)
    state = State((Contender("a"),), tuple(range(N)), 0.0).scored(0, scores)
    score = bootstrap_mean(scores)
    for floor, told in ((score.value, "reaches"), (score.high, "cannot be told from")):
        words = said_of(replace(state, floor=floor), 0, "token_f1")
        assert words.startswith("accepted after all")
        assert words.endswith(f"] {told} {floor:g}")


def test_the_order_of_asking_changes_nothing_of_what_is_decided_by_all_answers() -> None:
    scores = [round(random.Random(1).random(), 3) for _ in range(N)]
    high = bootstrap_mean(scores).high
    assert {decide([scores], high, shuffle)[0].chosen for shuffle in range(5)} == {0}
    assert {decide([scores], high + 1e-9, shuffle)[0].chosen for shuffle in range(5)} == {None}


@pytest.mark.parametrize("floor", [0.95, None])
def test_where_none_reaches_the_floor_the_best_is_found_without_asking_all(
    floor: float | None,
) -> None:
    stop, asked, _ = decide(table(0.2, 0.6, 0.3), floor)
    assert stop == Stop(chosen=None, best=1)
    assert sum(asked) < 2 * N
    assert min(asked) > 0


def test_runs_that_answer_alike_stand_beside_the_best_in_the_order_of_cost() -> None:
    (scores,) = table(0.4)
    stop, asked, _ = decide([scores, scores, [0.0] * N, scores], None)
    assert stop == Stop(chosen=None, best=0, beside=(1, 3))
    assert asked[2] < N


def test_a_run_that_is_out_is_passed_over_and_none_left_is_no_decision() -> None:
    order = tuple(range(N))
    refused = Contender("a", out="no memory")
    one = State((refused, Contender("b")), order, 0.5)
    assert next_step(one) == Ask(1, 16)
    assert next_step(one.without(1, "failed")) == Stop(chosen=None)
    silent = one.scored(1, [None] * N)
    assert standing(silent, 1).word == "out"
    assert next_step(silent) == Stop(chosen=None)
    assert next_step(State((refused, Contender("b")), order, None)) == Stop(chosen=None, best=1)


def test_a_dominated_dearer_run_changes_nothing_of_the_decision() -> None:
    rows = table(0.3, 0.8)
    for shuffle in range(4):
        chosen = decide(rows, 0.6, shuffle)[0].chosen
        assert chosen == decide([*rows, table(0.1)[0]], 0.6, shuffle)[0].chosen == 1


def test_worse_is_told_by_the_questions_that_both_were_asked() -> None:
    good, bad = table(0.9, 0.1)
    state = State((Contender("a"), Contender("b")), tuple(range(N)), None)
    assert still_racing(state.scored(0, good).scored(1, bad[:4])) == [0, 1]
    assert still_racing(state.scored(0, good).scored(1, bad[:64])) == [0]


@pytest.mark.parametrize("floor", [0.35, 0.47, 0.56])
def test_it_decides_otherwise_than_the_full_comparison_in_a_share_of_alpha_at_most(
    floor: float,
) -> None:
    rows = table(0.3, 0.42, 0.5, seed=2)
    able = [run for run, scores in enumerate(rows) if bootstrap_mean(scores).high >= floor]
    full = able[0] if able else None
    alpha, shuffles = 0.3, 25
    wrong = sum(decide(rows, floor, one, alpha)[0].chosen != full for one in range(shuffles))
    assert wrong <= alpha * shuffles
