"""Maximal marginal relevance, by hand."""

from __future__ import annotations

import numpy as np

from wattune.rag.diversity import marginal_relevance

VECTORS = np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
RELEVANCE = [0.9, 0.89, 0.5]


def test_relevance_alone_keeps_the_order() -> None:
    assert marginal_relevance(RELEVANCE, VECTORS, 3, 1.0) == [0, 1, 2]


def test_a_twin_gives_way_to_what_is_new() -> None:
    # 0.5 * 0.89 - 0.5 * 1.0 < 0.5 * 0.5 - 0.5 * 0.6
    assert marginal_relevance(RELEVANCE, VECTORS, 2, 0.5) == [0, 2]
    assert marginal_relevance(RELEVANCE, VECTORS, 9, 0.5) == [0, 2, 1]


def test_equal_ones_in_the_order_given() -> None:
    assert marginal_relevance([0.5] * 3, np.eye(3), 3, 0.7) == [0, 1, 2]
    assert marginal_relevance([], np.zeros((0, 3)), 2, 0.7) == []
