"""Paired tests: agreement with scipy, with hand-worked tables, and with what they claim."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]

from wattune.errors import InputError
from wattune.measure.paired import Difference, holm, mcnemar, paired_differences


def pair(one: list[float | None], other: list[float | None], resamples: int = 2000) -> Difference:
    (found,) = paired_differences([(one, other)], resamples=resamples)
    return found


def test_intervals_agree_with_scipys_paired_bootstrap() -> None:
    generator = np.random.default_rng(1)
    pairs, references = [], []
    for _ in range(200):
        n = int(generator.integers(20, 60))
        one, other = generator.random(n), generator.random(n) ** 2
        pairs.append((one.tolist(), other.tolist()))
        reference = scipy.stats.bootstrap(
            (one - other,), np.mean, n_resamples=1500, method="percentile", rng=generator
        )
        references.append((reference.confidence_interval, reference.standard_error))
    errors = []
    for given, (interval, error) in zip(pairs, references, strict=True):
        found = pair(*given, resamples=1500)
        assert found.value == pytest.approx(np.mean(np.subtract(*given)))
        assert found.sd == pytest.approx(np.std(np.subtract(*given), ddof=1))
        errors += [(found.low - interval.low) / error, (found.high - interval.high) / error]
    # Each end is a quantile of 1,500 draws: two of them differ by about 0.09 standard errors.
    assert max(map(abs, errors)) < 0.45
    assert abs(float(np.mean(errors))) < 0.03


def test_p_agrees_with_the_t_test_where_that_holds() -> None:
    generator = np.random.default_rng(2)
    gaps = []
    for _ in range(200):
        one, other = generator.normal(0, 1, 300), generator.normal(0.1, 1, 300)
        reference = float(scipy.stats.ttest_rel(one, other).pvalue)
        gaps.append(pair(one.tolist(), other.tolist()).p - reference)
    assert max(map(abs, gaps)) < 0.06
    assert abs(float(np.mean(gaps))) < 0.005


def test_mcnemar_agrees_with_scipys_exact_binomial_test() -> None:
    generator = random.Random(3)
    for _ in range(300):
        n = generator.randint(1, 120)
        one = [float(generator.random() < 0.6) for _ in range(n)]
        other = [a if generator.random() < 0.5 else float(generator.random() < 0.4) for a in one]
        wins, losses = (
            sum(a > b for a, b in zip(one, other, strict=True)),
            sum(a < b for a, b in zip(one, other, strict=True)),
        )
        expected = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        assert mcnemar(one, other) == pytest.approx(expected, rel=1e-9)
        found = pair([*one], [*other], resamples=50)
        assert (found.p, found.test) == (mcnemar(one, other), "mcnemar")


def test_mcnemar_by_hand_and_of_many() -> None:
    # Ten questions differ, nine one way: 2 * (1 + 10) / 2^10.
    assert mcnemar([1.0] * 9 + [0.0] * 3, [0.0] * 9 + [1.0] + [0.0] * 2) == 22 / 1024
    assert mcnemar([1.0, 0.0, None], [1.0, 0.0, 1.0]) == 1.0
    many = mcnemar([1.0] * 2100 + [0.0] * 1900, [0.0] * 2100 + [1.0] * 1900)
    assert many == pytest.approx(scipy.stats.binomtest(1900, 4000).pvalue, rel=1e-9)


def test_holm_by_hand() -> None:
    # .005 x 4 = .02; .01 x 3 = .03; .03 x 2 = .06; .04 x 1 is below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, 0.04], comparisons=5) == pytest.approx([0.05, 0.16])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(InputError, match="2 p values of only 1"):
        holm([0.1, 0.2], comparisons=1)


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """Marcus, Peritz and Gabriel 1976: a hypothesis falls where all sets that hold it fall."""
    generator = random.Random(4)
    for _ in range(200):
        p = [generator.random() ** 3 for _ in range(generator.randint(1, 6))]
        sets = [
            subset
            for size in range(1, len(p) + 1)
            for subset in itertools.combinations(range(len(p)), size)
        ]
        closed = [
            max(min(1.0, len(s) * min(p[i] for i in s)) for s in sets if number in s)
            for number in range(len(p))
        ]
        assert holm(p) == pytest.approx(closed)
        assert holm(p, len(p) + 3) == pytest.approx(holm([*p, 1.0, 1.0, 1.0])[: len(p)])


def test_the_interval_covers_and_p_errs_as_claimed() -> None:
    generator = np.random.default_rng(5)
    pairs = []
    for _ in range(400):  # scores of one question go together, and many are exactly 0 or 1
        hard = generator.normal(size=(80, 1))
        scores = np.clip((generator.normal(size=(80, 2)) + hard) * 0.5 + 0.5, 0, 1)
        pairs.append((scores[:, 0].tolist(), scores[:, 1].tolist()))
    found = paired_differences(pairs, resamples=1000)
    covered = sum(one.low <= 0 <= one.high for one in found) / 400
    errors = sum(one.p <= 0.05 for one in found) / 400
    assert 0.92 <= covered <= 0.98
    assert 0.02 <= errors <= 0.08


def test_a_difference_that_is_there_is_found_and_its_sign_is_one_minus_other() -> None:
    one: list[float | None] = [0.9, 0.8, 0.7] * 20
    other: list[float | None] = [0.5, 0.6, 0.4] * 20
    found, back = paired_differences([(one, other), (other, one)])
    assert found.value == pytest.approx(0.3)
    assert 0.2 < found.low < 0.3 < found.high < 0.4
    assert found.p == pytest.approx(2 / 10_001)
    assert back.value == -found.value
    assert back.p == found.p
    assert pair(one, one).p == 1.0


def test_pairing_sees_what_two_intervals_do_not() -> None:
    generator = np.random.default_rng(6)
    hard = generator.random(100)
    better = np.clip(hard + 0.05 + generator.normal(0, 0.05, 100), 0, 1)
    found = pair(better.tolist(), hard.tolist())
    assert found.p < 0.01
    assert found.high - found.low < 0.03 < 2 * 1.96 * float(hard.std()) / 10


def test_questions_without_a_score_are_left_out_pair_by_pair() -> None:
    one: list[float | None] = [0.5, None, 0.25, 0.75]
    other: list[float | None] = [0.25, 0.5, None, 0.5]
    full: list[float | None] = [0.0, 0.5, 0.1, 0.25]
    both = paired_differences([(one, other), (one, full), (other, full)])
    assert [found.n for found in both] == [2, 3, 3]
    assert both[0].value == pytest.approx(0.25)
    assert both[1] == pair(one, full, resamples=10_000)
    assert both[2] == pair(other, full, resamples=10_000)


def test_a_handful_of_questions_claims_no_more_than_their_signs_could() -> None:
    assert pair([0.9], [0.1]).p == 1.0
    assert pair([0.9], [0.1]).sd is None
    assert pair([0.9, 0.8, 0.7, 0.5], [0.1, 0.2, 0.3, 0.5]).p == math.ldexp(1, -2)


def test_it_is_repeatable_and_the_seed_matters() -> None:
    given = ([0.1, 0.9, 0.4, 0.6, 0.3] * 9, [0.2, 0.5, 0.4, 0.1, 0.9] * 9)
    assert paired_differences([given]) == paired_differences([given])
    assert paired_differences([given]) != paired_differences([given], seed=1)


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        ([1.0], [1.0, 0.0], "1 beside 2"),
        ([None, 1.0], [0.0, None], "no scored question in common"),
        ([math.inf, 1.0], [0.0, 0.5], "finite"),
    ],
)
def test_scores_that_cannot_be_paired(
    one: list[float | None], other: list[float | None], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        paired_differences([(one, other)])


def test_no_pairs_are_no_differences() -> None:
    assert paired_differences([]) == []
