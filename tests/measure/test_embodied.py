"""The making of the hardware, shared out over its life."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wattune.measure.accounts.embodied import Embodied, hardware_table


def test_the_worked_example_of_sci() -> None:
    """SCI v1.1: 1000 kg over four years, reserved for an hour, are about 28 g."""
    grams = Embodied(kg_co2e=1000, lifetime_years=4).grams(3600)
    assert grams == pytest.approx(1000 * 1000 / (4 * 365 * 24))
    assert 28 < grams < 29


def test_the_share_and_the_units() -> None:
    # 35,040 hours are four years of 365 days: an hour of 35,040 kg is 1 kg, half of it 500 g.
    assert Embodied(kg_co2e=35_040, share=0.5).grams(3600) == pytest.approx(500)
    assert Embodied(kg_co2e=35_040, lifetime_years=8).grams(3600) == pytest.approx(500)
    assert Embodied(kg_co2e=35_040).grams(0) == 0


def test_a_row_of_the_table() -> None:
    board = Embodied(hardware="nvidia-hgx-h100", share=0.125)
    assert board.kg == 1312
    assert "NVIDIA" in board.source
    assert board.grams(4 * 365 * 24 * 3600) == pytest.approx(164_000)  # one GPU of eight


def test_every_row_says_what_it_is_of_and_who_says_so() -> None:
    rows = hardware_table()
    assert len(rows) >= 5
    for name, row in rows.items():
        assert 100 < row.kg_co2e < 10_000, name  # kilograms, neither grams nor tons
        assert 2009 < row.year < 2030, name
        assert len(row.what) > 10, name
        assert len(row.source) > 10, name


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "give either"),
        ({"kg_co2e": 1.0, "hardware": "nvidia-hgx-h100"}, "give either"),
        ({"hardware": "nvidia-hgx-h10"}, 'did you mean "nvidia-hgx-h100"'),
        ({"kg_co2e": -1.0}, "greater than or equal to 0"),
        ({"kg_co2e": float("nan")}, "finite"),
        ({"kg_co2e": True}, "valid number"),
        ({"kg_co2e": "1000"}, "valid number"),
        ({"kg_co2e": 1.0, "lifetime_years": 0}, "greater than 0"),
        ({"kg_co2e": 1.0, "lifetime_years": float("inf")}, "finite"),
        ({"kg_co2e": 1.0, "share": 0}, "greater than 0"),
        ({"kg_co2e": 1.0, "share": 1.5}, "less than or equal to 1"),
        ({"kg_co2e": 1.0, "share": float("nan")}, "than or equal to 1"),
        ({"kg": 1.0}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Embodied.model_validate(settings)
