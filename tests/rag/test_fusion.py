"""Two rankings made into one, by hand."""

from __future__ import annotations

import pytest

from wattune.rag.fusion import min_max, ranked, reciprocal_rank, scaled

DENSE = [(7, 0.9), (3, 0.7), (5, 0.5)]
WORDED = [(3, 8.0), (9, 2.0)]


def test_scores_are_brought_to_one() -> None:
    assert scaled(DENSE) == pytest.approx({7: 1.0, 3: 0.5, 5: 0.0})
    assert scaled(WORDED, least=0.0) == {3: 1.0, 9: 0.25}
    assert scaled([(1, 0.2), (2, 0.2)]) == {1: 1.0, 2: 1.0}
    assert scaled([]) == {}


def test_min_max_weighs_both_sides() -> None:
    assert min_max(DENSE, WORDED, 0.5) == [(3, 0.75), (7, 0.5), (9, 0.125), (5, 0.0)]
    assert [row for row, _ in min_max(DENSE, WORDED, 1.0)][:2] == [7, 3]
    assert [row for row, _ in min_max(DENSE, WORDED, 0.0)][:2] == [3, 9]
    assert min_max([], WORDED, 0.5) == [(3, 0.5), (9, 0.125)]
    assert min_max([], [], 0.5) == []


def test_reciprocal_ranks_are_summed() -> None:
    found = reciprocal_rank(DENSE, WORDED)
    assert [row for row, _ in found] == [3, 7, 9, 5]
    assert dict(found) == pytest.approx(
        {3: 1 / 62 + 1 / 61, 7: 1 / 61, 9: 1 / 62, 5: 1 / 63}, abs=1e-6
    )


def test_equal_scores_are_ordered_by_row() -> None:
    assert ranked({4: 0.5, 2: 0.5 + 1e-9, 9: 0.6}) == [(9, 0.6), (2, 0.5), (4, 0.5)]
