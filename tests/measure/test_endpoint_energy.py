"""Energy of a managed endpoint: the sum, the range, what fails, and the shipped table."""

from __future__ import annotations

import pytest

from wattune.measure.accounts.endpoint_energy import TokenEnergy, token_energy, with_endpoint_energy
from wattune.measure.accounts.yaml_table import shipped_table
from wattune.measure.record import Energy, Phase

LOCAL = Phase(
    duration_s=2.0,
    energy_j=10.0,
    exclusive_energy_j=8.0,
    net_energy_j=1.0,
    components={"cpu": Energy(energy_j=10.0, provenance="modelled_load")},
)
FIGURES = TokenEnergy(
    wh_per_1000_tokens_in=0.1, wh_per_1000_tokens_out=0.5, low=0.5, high=3, source="a paper, 2025"
)


def test_input_and_output_tokens_both_count() -> None:
    assert FIGURES.joules(1000, 0) == pytest.approx(0.1 * 3600)
    assert FIGURES.joules(0, 1000) == pytest.approx(0.5 * 3600)
    assert FIGURES.joules(2000, 100) == pytest.approx((0.2 + 0.05) * 3600)


def test_it_is_one_component_more_with_its_range_and_source() -> None:
    phase = with_endpoint_energy(LOCAL, 1000, 100, FIGURES)
    assert (phase.energy_j, phase.exclusive_energy_j, phase.net_energy_j) == (550.0, 548.0, 541.0)
    part = phase.components["endpoint"]
    assert part.provenance == "modelled_tokens"
    assert part.detail == (
        "1000 tokens in at 0.1 and 100 out at 0.5 Wh per 1,000, range 270 to 1.62e+03 J: "
        "a paper, 2025"
    )
    assert phase.components["cpu"] == LOCAL.components["cpu"]
    assert with_endpoint_energy(Phase(duration_s=1, energy_j=None), 0, 100, FIGURES).energy_j == 180


@pytest.mark.parametrize(
    ("tokens", "figures", "words"),
    [
        ((None, 5), FIGURES, "did not say how many tokens"),
        ((5, None), FIGURES, "did not say how many tokens"),
        ((5, 5), None, "no figure for this endpoint's energy"),
    ],
)
def test_what_is_not_known_has_failed_and_is_no_zero(
    tokens: tuple[int | None, int | None], figures: TokenEnergy | None, words: str
) -> None:
    phase = with_endpoint_energy(LOCAL, *tokens, figures)
    part = phase.components["endpoint"]
    assert (part.energy_j, part.provenance, part.coverage) == (None, "failed", 0.0)
    assert words in part.detail
    assert phase.energy_j == LOCAL.energy_j


def test_every_shipped_row_has_a_range_and_a_source_and_models_find_theirs() -> None:
    rows = shipped_table("endpoints", TokenEnergy)
    for row in rows.values():
        assert row.low < 1 < row.high
        assert row.source != TokenEnergy.model_fields["source"].default
        assert 0 < row.wh_per_1000_tokens_in < row.wh_per_1000_tokens_out
    assert token_energy(None, "gpt-4o") == token_energy("gpt-4o", "mine") == rows["gpt-4o"]
    assert token_energy(None, "mine") is None
    assert token_energy(FIGURES, "gpt-4o") == FIGURES
    # By hand from the source: 0.301 Wh for 500 output tokens with a PUE of 1.2; 2.5 Wh with 10,000
    # input tokens more.
    row = rows["gpt-4o"]
    assert row.wh_per_1000_tokens_out == pytest.approx(0.301 / 1.2 / 0.5, rel=0.01)
    assert row.wh_per_1000_tokens_in == pytest.approx((2.5 - 0.301) / 10 / 1.2, rel=0.02)
    pessimistic = 1.304 / 1.3 / 0.5
    assert row.wh_per_1000_tokens_out * row.high == pytest.approx(pessimistic, rel=0.01)
