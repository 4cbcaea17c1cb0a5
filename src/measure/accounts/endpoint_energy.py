"""Energy of a managed endpoint, modelled from the tokens it read and wrote, with a range.

Nobody outside can meter such a machine, so the figure is a product of tokens and a published
estimate, and it says so: provenance `modelled_tokens`, its range and its source in the detail.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...errors import InputError, did_you_mean
from ...values import Value
from ..carbon import J_PER_WH
from ..record import Energy, Phase
from .yaml_table import Amount, shipped_table

COMPONENT = "endpoint"


class TokenEnergy(Value):
    """Watt-hours of a machine for each 1,000 tokens read and written, without PUE.

    `low` and `high` bound the range, as multiples of the figure; 1 where no range is known.
    """

    wh_per_1000_tokens_in: Amount
    wh_per_1000_tokens_out: Amount
    low: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0
    high: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    source: str = "given by the user"

    def joules(self, tokens_in: int, tokens_out: int) -> float:
        """``3600 x (in / 1000 x Wh per 1,000 in + out / 1000 x Wh per 1,000 out)``."""
        watt_hours = (
            tokens_in * self.wh_per_1000_tokens_in + tokens_out * self.wh_per_1000_tokens_out
        ) / 1000
        return watt_hours * J_PER_WH


def token_energy(chosen: str | TokenEnergy | None, model: str | None) -> TokenEnergy | None:
    """The figures that were `chosen`, else the shipped row of the model's own name, else None.

    Raises `InputError` where a row is named that the table has not.
    """
    if isinstance(chosen, TokenEnergy):
        return chosen
    rows = shipped_table("endpoints", TokenEnergy)
    if chosen is not None and chosen not in rows:
        raise InputError(
            f'energy "{chosen}": the shipped table of endpoints has no such row'
            + did_you_mean(chosen, rows)
        )
    return rows.get(chosen or model or "")


def with_endpoint_energy(
    phase: Phase, tokens_in: int | None, tokens_out: int | None, energy: TokenEnergy | None
) -> Phase:
    """`phase` with one component more: what the endpoint drew for these tokens, in joules.

    It is added to the phase's inclusive, exclusive and net energy: all of it is on top of an idle
    machine of ours. Tokens that are None are not known; then, and without figures, the component
    has failed and says why, and the sums leave it out, as they do any component that failed.
    """
    if energy is None:
        why = "no figure for this endpoint's energy is known: give `energy` beside its address"
    elif tokens_in is None or tokens_out is None:
        why = "the server did not say how many tokens it read and wrote"
    else:
        joules = energy.joules(tokens_in, tokens_out)
        spread = (
            f"range {joules * energy.low:.3g} to {joules * energy.high:.3g} J"
            if energy.low < energy.high
            else "no range is known"
        )
        part = Energy(
            energy_j=joules,
            provenance="modelled_tokens",
            detail=(
                f"{tokens_in} tokens in at {energy.wh_per_1000_tokens_in:g} and {tokens_out} out "
                f"at {energy.wh_per_1000_tokens_out:g} Wh per 1,000, {spread}: {energy.source}"
            ),
        )
        return phase.model_copy(
            update={
                "components": {**phase.components, COMPONENT: part},
                "energy_j": joules + (phase.energy_j or 0.0),
                "exclusive_energy_j": joules + (phase.exclusive_energy_j or 0.0),
                "net_energy_j": None if phase.net_energy_j is None else joules + phase.net_energy_j,
            }
        )
    failed = Energy(energy_j=None, provenance="failed", detail=why, coverage=0.0)
    return phase.model_copy(update={"components": {**phase.components, COMPONENT: failed}})
