"""All at once and one at a time: percentiles, and the values that a record holds."""

from __future__ import annotations

import numpy as np
import pytest

from wattune.measure.serving import batch_of, percentile, realtime_of


def test_percentiles_are_numpy_s() -> None:
    random = np.random.default_rng(7)
    for count in (1, 2, 3, 4, 19, 20, 21, 100, 257):
        values = random.lognormal(size=count).tolist()
        for percent in (1, 50, 95, 99):
            expected = float(np.percentile(values, percent))
            assert percentile(values, percent) == pytest.approx(expected, rel=1e-12)


def test_a_percentile_takes_values_in_any_order_and_leaves_them() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert percentile(values, 50) == 2.5
    assert values == [4.0, 1.0, 3.0, 2.0]
    assert percentile([], 50) is None


def test_what_is_known_of_answers_one_at_a_time() -> None:
    waits = [0.1 * number for number in range(1, 22)]
    known = realtime_of(22, 44.0, waits, waits[:1])  # one question got no answer
    assert (known.questions, known.energy_j_per_answer) == (22, 2.0)
    assert known.latency_p50_s == pytest.approx(1.1)
    assert known.latency_p95_s == pytest.approx(2.0)
    assert known.first_token_p50_s == known.first_token_p95_s == 0.1
    assert known.latency_s == tuple(waits)


def test_what_is_not_known_is_none() -> None:
    unknown = realtime_of(2, None, [], [])
    assert unknown.questions == 2
    assert {value for name, value in unknown if name.endswith(("_p50_s", "_p95_s"))} == {None}
    assert unknown.energy_j_per_answer is None
    assert batch_of(3, 0.0).questions_per_s is None
    assert batch_of(3, 1.5).questions_per_s == 2.0
