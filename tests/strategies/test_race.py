"""The race: its winner, when it ends, what it asks, on scores that are made up."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from wattune.strategies.race import Answered, race, rungs

Scores = Sequence[Sequence[float | None]]


class Asked:
    """Answers of made-up variants; remembers what was asked."""

    def __init__(self, scores: Scores, tokens: Sequence[int | None] = ()) -> None:
        self.scores = scores
        self.tokens = tokens or [10] * len(scores)
        self.calls: list[tuple[int, int]] = []

    def __call__(self, variant: int, count: int) -> list[Answered]:
        self.calls.append((variant, count))
        return [
            Answered(f"{variant}:{at}", score, self.tokens[variant], 4)
            for at, score in enumerate(self.scores[variant][:count])
        ]

    def most(self, variant: int) -> int:
        return max((count for number, count in self.calls if number == variant), default=0)


def coins(share: float, count: int = 128, seed: int = 0) -> list[float | None]:
    draw = random.Random(seed)
    return [float(draw.random() < share) for _ in range(count)]


def steady(share: float, count: int = 128, turn: int = 0) -> list[float | None]:
    """0 and 1 at even steps, `share` of them 1."""
    return [float(int((at + turn + 1) * share) > int((at + turn) * share)) for at in range(count)]


@pytest.mark.parametrize(
    ("questions", "first", "expected"),
    [
        (78, 16, [16, 32, 64, 78]),
        (64, 16, [16, 32, 64]),
        (16, 16, [16]),
        (9, 16, [9]),
        (5, 4, [4, 5]),
    ],
)
def test_rungs_double_up_to_all_questions(questions: int, first: int, expected: list[int]) -> None:
    assert rungs(questions, first) == expected


@pytest.mark.parametrize("better", range(4))
def test_the_best_wins_wherever_it_stands(better: int) -> None:
    ask = Asked([coins(0.9 if n == better else 0.4, seed=n) for n in range(4)])
    found = race(4, ask, questions=128)
    assert found.winner == better
    assert found.ended == "certain"


def test_it_stops_when_the_winner_is_certain_and_not_before() -> None:
    ask = Asked([[0.0] * 128, [1.0] * 128])
    found = race(2, ask, questions=128, first=4)
    # Four to nothing may be chance (McNemar's p is 0.125); eight to nothing is not.
    assert ask.most(0) == ask.most(1) == 8
    assert (found.winner, found.ended) == (1, "certain")
    assert found.entrants[1].difference is not None
    assert found.entrants[1].difference.value == 1.0
    assert found.entrants[0].difference is None


def test_many_rivals_need_more_proof() -> None:
    alone = Asked([[0.0] * 64, [1.0] * 64])
    race(2, alone, questions=64, first=6)
    many = Asked([*([[0.0] * 64] * 7), [1.0] * 64])
    race(8, many, questions=64, first=6, keep=0.99)
    assert alone.most(1) == 6  # p is 0.031
    assert many.most(7) == 12  # 0.031 by Holm for seven is 0.22


def test_close_variants_are_told_apart_by_all_questions() -> None:
    ask = Asked([steady(0.5), steady(0.53)])
    found = race(2, ask, questions=128)
    assert (found.winner, found.ended) == (1, "questions")
    assert ask.most(0) == ask.most(1) == 128


def test_the_better_half_stays_and_what_stands_already_stays_to_the_end() -> None:
    shares = [0.2, 0.5, 0.52, 0.3, 0.48, 0.1]
    ask = Asked([steady(share) for share in shares])
    found = race(6, ask, questions=64)
    # Of six the best three and the first; of those four the best two and the first.
    assert [one.left_at for one in found.entrants] == [None, None, None, 16, 32, 16]
    assert ask.most(0) == 64
    assert ask.most(3) == ask.most(5) == 16
    for number, one in enumerate(found.entrants):
        assert one.questions == ask.most(number)
        assert (one.left_at is None) == (one.questions == 64)
    assert found.winner == 2


def test_differences_are_to_the_first_by_the_same_questions() -> None:
    first = [*steady(0.75, 16), *steady(0.25, 48)]
    ask = Asked([first, [0.0] * 64, steady(0.7, 64), steady(0.8, 64)], tokens=[10, 7, 12, None])
    found = race(4, ask, questions=64)
    dropped = found.entrants[1]
    assert dropped.left_at == 16
    assert dropped.difference is not None
    assert dropped.difference.value == -0.75  # not less its mean over all 64, which is 0.375
    assert (dropped.more_in, dropped.more_out) == (-3.0, 0.0)
    assert found.entrants[3].more_in is None
    assert found.entrants[3].tokens_in is None


@pytest.mark.parametrize(("tokens", "winner"), [([9, 8, 7], 2), ([7, 8, 7], 0), ([9, 8, 8], 1)])
def test_ties_go_to_fewer_prompt_tokens_then_to_the_order(tokens: list[int], winner: int) -> None:
    found = race(3, Asked([steady(0.5)] * 3, tokens), questions=20, first=8)
    assert (found.winner, found.ended) == (winner, "questions")


def test_equal_answers_end_it_at_once_and_the_cheapest_is_taken() -> None:
    def same(variant: int, count: int) -> list[Answered]:
        asked.append(count)
        return [Answered("yes", 0.5, 30 - variant, 2)] * count

    asked: list[int] = []
    found = race(3, same, questions=64)
    assert (found.winner, found.ended) == (2, "alike")
    assert set(asked) == {16}


def test_one_that_answers_like_the_winner_does_not_prolong_the_race() -> None:
    def ask(variant: int, count: int) -> list[Answered]:
        return [Answered("no" if variant == 0 else "yes", float(variant > 0), 20, 2)] * count

    found = race(3, ask, questions=64)
    assert (found.winner, found.ended) == (1, "certain")
    assert found.entrants[1].questions == 16


def test_one_variant_asks_nothing() -> None:
    ask = Asked([[1.0] * 8])
    found = race(1, ask, questions=8)
    assert (found.winner, found.ended, ask.calls) == (0, "alone", [])
    assert found.entrants[0].mean is None


def test_lower_can_be_better() -> None:
    ask = Asked([[1.0] * 32, [0.0] * 32])
    found = race(2, ask, questions=32, better="lower")
    assert (found.winner, found.ended) == (1, "certain")
    assert found.entrants[1].difference is not None
    assert found.entrants[1].difference.high < 0


def test_questions_without_a_score_count_for_nobody() -> None:
    gaps: list[float | None] = [None if at % 2 else 1.0 for at in range(16)]
    found = race(2, Asked([gaps, [1.0, 0.0] * 8]), questions=16)
    assert found.winner == 0  # equal where both have a score, and it stood already
    assert found.entrants[0].mean == 1.0
    nothing = race(2, Asked([[None] * 16, [None] * 16], [9, 8]), questions=16, first=4)
    assert (nothing.winner, nothing.ended) == (1, "questions")
    assert [one.mean for one in nothing.entrants] == [None, None]
    assert nothing.entrants[1].difference is None


def test_it_asks_less_than_everything() -> None:
    ask = Asked([coins(0.3 + 0.05 * n, 128, n) for n in range(8)])
    found = race(8, ask, questions=128)
    asked = sum(ask.most(n) for n in range(8))
    assert asked == sum(one.questions for one in found.entrants)
    assert asked <= 8 * 16 + 5 * 16 + 4 * 32 + 3 * 64 < 8 * 128 * 0.52


def test_the_same_scores_make_the_same_race() -> None:
    def run(seed: int) -> object:
        return race(5, Asked([coins(0.5, 64, n) for n in range(5)]), questions=64, seed=seed)

    assert run(3) == run(3)


def test_progress_ends_full_on_every_rung() -> None:
    told: list[tuple[str, int, int]] = []
    note: Callable[[str, int, int], None] = lambda *of: told.append(of)  # noqa: E731
    race(3, Asked([steady(0.5), steady(0.52), steady(0.51)]), questions=20, first=8, progress=note)
    last = {what: (done, total) for what, done, total in told}
    assert [what[:11] for what in last] == ["rung 1 of 3", "rung 2 of 3", "rung 3 of 3"]
    assert all(done == total for done, total in last.values())
