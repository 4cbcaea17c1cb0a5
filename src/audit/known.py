"""How well energies are known: by component how, and what can be claimed of the error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..measure.record import Provenance, Record

JUDGED = "a judgement: docs/measuring.md, Energy"
CLAIMS: Mapping[Provenance, tuple[int | None, str]] = {
    "counter": (10, JUDGED),
    "integrated_power": (None, "not stated"),
    "modelled_load": (50, JUDGED),
    "constant": (50, JUDGED),
    "modelled_tokens": (None, "not stated; a range stands with the record's component"),
    "provider_reported": (None, "not stated by the provider"),
    "projected": (None, "projected, not measured; a range stands in the record"),
    "failed": (None, "there is no figure"),
}
"""Within how many percent an energy is taken for right, None where nobody says, and who says so.
The two figures are those that docs/measuring.md gives: 10 % for counters, 50 % for what is modelled
(a constant power is a model too)."""
NOT_STATED = "not stated"


class Known(NamedTuple):
    """`by` names each component and how its energy is known; `uncertainty` is what can be claimed
    of their sum."""

    by: str
    uncertainty: str


NOTHING = Known("not recorded", NOT_STATED)


def known_of(records: Iterable[Record]) -> Known:
    """How the energies of records are known, all their phases together.

    A sum is within the widest of its parts' bounds; where one part has none, neither has the sum.
    """
    found: dict[str, set[Provenance]] = {}
    for record in records:
        for phase in record.phases.values():
            for name, energy in phase.components.items():
                found.setdefault(name, set()).add(energy.provenance)
    if not found:
        return NOTHING
    by = "; ".join(f"{name} {', '.join(sorted(hows))}" for name, hows in sorted(found.items()))
    ways = {way for hows in found.values() for way in hows}
    without = sorted(way for way in ways if CLAIMS[way][0] is None)
    if without:
        return Known(by, "; ".join(f"{way}: {CLAIMS[way][1]}" for way in without))
    widest = max(CLAIMS[way][0] or 0 for way in ways)
    return Known(by, f"within {widest} % ({JUDGED})")
