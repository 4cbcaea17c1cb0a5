"""Verdicts: they err as seldom as they claim, and leave out what cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from wattune.compare import verdicts as room
from wattune.compare.seeds import Row
from wattune.compare.verdicts import Verdict, verdicts
from wattune.measure.record import Record, Score


def row(name: str, metric: str, scores: Sequence[float | None], items: str = "0123") -> Row:
    """A run of one metric; its interval does not matter here."""
    mean = float(np.mean([score for score in scores if score is not None]))
    return Row(
        name,
        (
            Record(
                name=name,
                key=name,
                task={"items": items},
                quality={metric: Score(value=mean, low=mean, high=mean, n=len(scores))},
                scores={metric: tuple(scores)},
            ),
        ),
    )


def equally_good(generator: np.random.Generator, runs: int, questions: int) -> list[Row]:
    """Runs of one skill: 1, 0 or something between, more often 1 where the question is easy."""
    easy = generator.beta(0.6, 0.9, size=(questions, 1))
    luck = generator.random((questions, runs))
    partly = generator.random((questions, runs)).round(1)
    scores = np.where(luck < 0.6 * easy, 1.0, np.where(luck < 0.6 * easy + 0.25, partly, 0.0))
    return [row(f"run {n}", "token_f1", scores[:, n].tolist()) for n in range(runs)]


def false_finds(rounds: int, questions: int, runs: int = 7) -> tuple[float, float]:
    """Share of rounds with a false difference: as corrected here, and for the best's pairs only.

    docs/method.md and `FEW_QUESTIONS` give it for 400 rounds and 24, 60, 200 questions.
    """
    generator = np.random.default_rng(questions)
    here = pairs_of_best = 0
    for _ in range(rounds):
        (found,) = verdicts([equally_good(generator, runs, questions)], ["token_f1"]).of
        given = [verdict for verdict in found["token_f1"] if verdict and verdict.difference]
        here += any(verdict.word != "tied" for verdict in given)
        least = min(verdict.difference.p for verdict in given if verdict.difference)
        pairs_of_best += least * (runs - 1) <= room.LEVEL
    return here / rounds, pairs_of_best / rounds


def test_seven_equally_good_runs_are_tied_as_often_as_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "RESAMPLES", 3000)  # enough for 21 pairs, and quicker
    here, pairs_of_best = false_finds(rounds=100, questions=80)
    assert here <= 0.09
    assert pairs_of_best > here  # the best was chosen by its luck


def test_the_family_is_every_pair_of_every_metric_and_group() -> None:
    generator = np.random.default_rng(1)
    groups = [equally_good(generator, 4, 30), equally_good(generator, 3, 30)]
    assert verdicts(groups, ["token_f1", "absent"]).comparisons == 6 + 3
    assert verdicts([groups[0][:1]], ["token_f1"]).comparisons == 0


def test_lower_is_better_where_the_metric_says_so() -> None:
    metric = "hallucination_rate"
    rows = [
        row("bold", metric, [1.0] * 40 + [0.0] * 20),
        row("shy", metric, [1.0] * 5 + [0.0] * 55),
    ]
    (found,) = verdicts([rows], [metric]).of
    bold, shy = found[metric]
    assert shy == Verdict("best", "shy")
    assert bold is not None
    assert bold.word == "worse"
    assert bold.difference is not None
    assert bold.difference.test == "mcnemar"
    assert bold.p == 2 / 2**35


def test_tied_says_what_would_have_been_seen() -> None:
    a: list[float | None] = [0.0, 1.0, 0.5, 0.25] * 10
    b: list[float | None] = [0.0, 0.25, 0.75, 1.0] * 10
    (found,) = verdicts([[row("a", "token_f1", a), row("b", "token_f1", b)]], ["token_f1"]).of
    tied, best = found["token_f1"]
    assert best == Verdict("best", "b")
    assert tied is not None
    assert (tied.word, tied.best) == ("tied", "b")
    difference = tied.difference
    assert difference is not None
    assert difference.sd is not None
    # z = 1.95996 + 0.84162 for 5 % two-sided and a power of 80 %; one pair needs no correction.
    assert tied.detectable == pytest.approx(2.80158 * difference.sd / 40**0.5, rel=1e-5)
    assert tied.needed == np.ceil((2.801585 * difference.sd / difference.value) ** 2)
    assert tied.needed is not None
    assert tied.needed > 40
    # Equal scores: no number of questions would tell them apart.
    (same,) = verdicts([[row("a", "token_f1", a), row("b", "token_f1", a)]], ["token_f1"]).of
    assert same["token_f1"][1] is not None
    assert (same["token_f1"][1].word, same["token_f1"][1].needed) == ("tied", None)


def test_rows_of_other_questions_get_no_verdict() -> None:
    scores: list[float | None] = [0.0, 1.0, 0.5, 0.25] * 10
    better: list[float | None] = [0.5, 1.0, 1.0, 0.75] * 10
    rows = [
        row("a", "token_f1", scores),
        row("b", "token_f1", better),
        row("c", "token_f1", scores, items="4567"),
    ]
    (found,) = verdicts([rows], ["token_f1"]).of
    assert [verdict and verdict.word for verdict in found["token_f1"]] == ["worse", "best", None]
