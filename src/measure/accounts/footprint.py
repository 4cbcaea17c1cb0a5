"""Footprint: from a run's joules to grams of CO2e, to the SCI rate, and to the scopes.

Sources: Software Carbon Intensity v1.1 of the Green Software Foundation (ISO/IEC 21031:2024); the
GHG Protocol's Corporate Standard with Appendix F (leased assets, 2006), Scope 2 Guidance (2015) and
Scope 3 Standard (2011).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...values import Value
from ..carbon import J_PER_KWH
from ..record import Carbon, Footprint, Record
from .embodied import Embodied
from .money import Boundary, Prices
from .provider_report import ProviderReport, Reported
from .yaml_table import Amount


class Accounting(Value):
    """How a run's energy becomes a footprint and money: the recipe's key `accounting`.

    `boundary` is whose machine it is: one's own, `leased` (a whole machine that one runs oneself),
    `cloud` (a rented virtual machine), or `managed` (somebody's endpoint). `pue` is the power usage
    effectiveness of the data centre, facility energy over machine energy; without it the place's,
    as a rule 1. `market_g_per_kwh` is the factor of the electricity contract. `report` is the path
    of a provider's emissions export, `report_share` the part of its account that the run is while
    it lasts. `prices` is a row of the shipped table, or prices of one's own, here or in a file.
    """

    boundary: Boundary | None = None
    pue: Annotated[float, Field(strict=True, ge=1, allow_inf_nan=False)] | None = None
    market_g_per_kwh: Amount | None = None
    embodied: Embodied | None = None
    report: str | None = None
    report_share: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    prices: str | Prices | None = None

    def settled(self, carbon: Carbon | None) -> Carbon | None:
        """`carbon` with the PUE and the market factor that are declared here."""
        if carbon is None:
            return None
        changes: dict[str, float | str] = {}
        if self.pue is not None:
            changes = {"pue": self.pue, "pue_source": "given by the user"}
        if self.market_g_per_kwh is not None:
            changes["market_g_per_kwh"] = self.market_g_per_kwh
        return carbon.model_copy(update=changes)

    def facility(self, carbon: Carbon | None) -> float:
        """The PUE: declared here, else of the place, else 1."""
        if self.pue is not None:
            return self.pue
        return carbon.pue if carbon is not None else 1.0


def footprint_of(
    record: Record,
    accounting: Accounting,
    carbon: Carbon | None,
    report: ProviderReport | None = None,
) -> Footprint:
    """Grams of CO2e of what a run itself spent, its SCI rate, and its scopes.

    - `operational_g` = energy spent (kWh) x intensity (g/kWh) x PUE; with a `report`, the
      provider's own figure of the run instead.
    - `embodied_g` = TE x time spent / lifespan x share (see `Embodied.grams`).
    - `sci_g` = (E x I x PUE + M) / R of the answer phase, R one answered question. SCI's factors
      are of the place, average or marginal, and never of a contract; so a report is not used.
    - Owned and leased machines: their electricity is scope 2, location-based by the grid's average
      and market-based by the contract's factor; their making is scope 3 (category 2, capital goods;
      8 for leased ones). Leased is scope 2 because its user has operational control; who accounts
      by equity share or financial control books an operating lease in scope 3, category 8.
    - Cloud and managed machines: all is scope 3 (category 1, purchased services). A provider's
      figure counts the making of its hardware by the provider's method: `embodied_g` is not added
      to it.
    - Marginal factors tell what a change would cause and never stand in an inventory: no scopes.

    What is not known is None, never 0, and `notes` say why.
    """
    pue = accounting.facility(carbon)
    kwh = _kwh(record.spent.energy_j, pue)
    settled = accounting.settled(carbon)
    if report is not None:
        figures = report.of_run(
            record.started_at, record.ended_at, record.spent.energy_j, accounting.report_share
        )
    else:
        contract = settled.market_g_per_kwh if settled else accounting.market_g_per_kwh
        figures = Reported(
            location_g=_times(kwh, settled.intensity_g_per_kwh if settled else None),
            market_g=_times(kwh, contract),
            note=_unknown(kwh, settled),
        )
    notes = [figures.note]
    operational_g = figures.location_g
    if operational_g is None and report is not None and figures.market_g is not None:
        operational_g = figures.market_g
        notes.append("operational grams are the provider's market-based ones")
    marginal = report is None and settled is not None and settled.kind == "marginal"
    if marginal:
        notes.append(
            "operational grams are by a marginal factor: what a change would cause, no inventory"
        )

    making = accounting.embodied
    embodied_g = making.grams(record.spent.duration_s) if making else None
    if making is None:
        notes.append(
            "the making of the hardware is not known, so neither is SCI: set `accounting.embodied`"
        )
    else:
        notes.append(
            f"embodied: {making.kg:g} kg over {making.lifetime_years:g} years, share "
            f"{making.share:g}: {making.source}"
        )

    boundary = accounting.boundary
    location_g = market_g = scope3_g = None
    if boundary is None:
        notes.append("no scopes: set `accounting.boundary` (owned, leased, cloud or managed)")
    elif marginal:
        notes.append("no scopes: inventories take average factors; set `place` to a grid's average")
    elif boundary in ("owned", "leased"):
        location_g, market_g, scope3_g = figures.location_g, figures.market_g, embodied_g
        if market_g is None and report is None and kwh is not None:
            notes.append("no market-based scope 2: set `accounting.market_g_per_kwh`")
        if boundary == "leased":
            notes.append("leased: scope 2 by operational control")
    elif report is not None:
        scope3_g = operational_g
        if embodied_g is not None:
            notes.append("scope 3 is the provider's figure; embodied grams are not added to it")
    elif operational_g is not None:
        scope3_g = operational_g + (embodied_g or 0.0)
        if embodied_g is None:
            notes.append("scope 3 is the operation alone")
    return Footprint(
        method="intensity" if report is None else "provider_reported",
        operational_g=operational_g,
        embodied_g=embodied_g,
        sci_g=_sci(record, settled, pue, making, notes),
        boundary=boundary,
        scope2_location_g=location_g,
        scope2_market_g=market_g,
        scope3_g=scope3_g,
        notes=tuple(note for note in notes if note),
    )


def _sci(
    record: Record, carbon: Carbon | None, pue: float, making: Embodied | None, notes: list[str]
) -> float | None:
    """(E x I x PUE + M) / R of answering, in grams a question; None with a note where a part of it
    is not known."""
    if making is None:
        return None  # SCI counts it, and the footprint's notes say that it is not known
    phase = record.phases.get("answer")
    # The figures of a repeated phase are of all its repeats together.
    answered = record.answers * phase.repeats if phase is not None else 0
    if phase is None or not answered:
        notes.append("no SCI: nothing was answered")
    elif phase.energy_j is None:
        notes.append("no SCI: the energy of answering is not known")
    elif carbon is None:
        notes.append("no SCI: no intensity is known")
    else:
        operational_g = phase.energy_j / J_PER_KWH * pue * carbon.intensity_g_per_kwh
        return (operational_g + making.grams(phase.duration_s)) / answered
    return None


def _unknown(kwh: float | None, carbon: Carbon | None) -> str:
    if carbon is None:
        return "no operational grams: set `place` or `intensity_g_per_kwh`"
    return "no operational grams: the run's energy is not known" if kwh is None else ""


def _kwh(energy_j: float | None, pue: float) -> float | None:
    """Kilowatt-hours at the facility's meter."""
    return None if energy_j is None else energy_j / J_PER_KWH * pue


def _times(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other
