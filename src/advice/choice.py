"""The choice: constraints first, then the frontier, then the cheapest that is good enough.

1. A run that fails a constraint, or of which one cannot be told, is out.
2. Of the others those stay that none beats: at least as good in the mean and cheaper over the life
   cycle, or better and no dearer. So a run that is beaten changes nothing of what follows.
3. Of these, good enough is, where a floor is asked for, each whose 95 % interval reaches it (the
   questions cannot tell it from one that does); else the best one and each that the paired test,
   corrected for all pairs of the frontier, cannot tell from the best (compare/verdicts.py).
4. The cheapest that is good enough is taken. The runner-up is what the same rule takes without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..compare.floor import reaches
from ..compare.frontier import on_frontier
from ..compare.lifecycle import Estimate, LifeCycle
from ..compare.seeds import Row
from ..compare.verdicts import Verdict, verdicts
from ..measure.carbon import carbon_of, emissions_g
from ..measure.quality import better
from ..measure.record import Score
from .constraints import checks_of
from .needs import Needs
from .verdict import Check


@dataclass(frozen=True, eq=False)  # each is itself: records are long to compare
class Offer:
    """A run as it would be used. `cost` is what is weighed, over the horizon (joules, grams or
    money), None where it is not known. `assumed` says that a refresh was not measured and counts
    as preparing anew."""

    row: Row
    cycle: LifeCycle
    assumed: bool
    quality: Score | None
    grams: float | None
    cost: float | None
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """The row's label, which no other offer has."""
        return self.row.label

    @property
    def failed(self) -> list[Check]:
        """The constraints that are not met, the floor of quality apart."""
        return [c for c in self.checks if c.state == "not met" and c.constraint != "quality"]

    @property
    def falls_short(self) -> bool:
        """Whether it surely misses the floor of quality."""
        return any(c.state == "not met" and c.constraint == "quality" for c in self.checks)

    @property
    def untold(self) -> list[Check]:
        """The constraints of which nobody knows."""
        return [c for c in self.checks if c.state == "unknown"]

    @property
    def eligible(self) -> bool:
        """Whether it can be chosen at all."""
        known = self.quality is not None and self.cost is not None
        return known and not self.failed and not self.untold


@dataclass(frozen=True)
class Choice:
    """What the rule took: the frontier (the cheapest first), those of it that are good enough, and
    where there is no floor each one's verdict against the best."""

    taken: Offer | None
    frontier: tuple[Offer, ...]
    good_enough: tuple[Offer, ...]
    verdicts: Mapping[str, Verdict | None]


def offer_of(row: Row, cycle: LifeCycle, instead: LifeCycle, needs: Needs, metric: str) -> Offer:
    """A row as it would be used, by its life cycle; by the one `instead` where only what a refresh
    takes is missing."""
    assumed = cycle.parts_j["refreshes"] is None and instead.total_j is not None
    cycle = instead if assumed else cycle
    grams = _grams(row, cycle, needs.place)
    cost = {"energy": _mean(cycle.total_j), "carbon": grams, "money": cycle.total_money}
    checks = checks_of(row, cycle, metric, needs)
    return Offer(row, cycle, assumed, row.score(metric), grams, cost[needs.weigh], checks)


def choose(offers: Sequence[Offer], metric: str, floor: float | None) -> Choice:
    """The choice among offers, by the rule above; their order does not matter."""
    sign = 1 if better(metric) == "higher" else -1
    points = [
        (sign * o.quality.value, o.cost) if o.eligible and o.quality else (None, None)
        for o in offers
    ]
    kept = [o for o, on in zip(offers, on_frontier(points), strict=True) if on]
    front = sorted(kept, key=lambda o: (o.cost or 0.0, o.name))
    judged: Mapping[str, Verdict | None] = {}
    if floor is not None:
        good = [o for o in front if o.quality and reaches(o.quality, floor, metric) != "no"]
    else:
        judged = _against_best(front, metric)
        best = max((sign * o.quality.value for o in front if o.quality), default=None)
        good = [
            o
            for o in front
            if (o.quality and sign * o.quality.value == best)
            or ((verdict := judged[o.name]) is not None and verdict.word == "tied")
        ]
    return Choice(good[0] if good else None, tuple(front), tuple(good), judged)


def _against_best(front: Sequence[Offer], metric: str) -> dict[str, Verdict | None]:
    """Each one's verdict; None where no paired test can be made."""
    found = verdicts([[o.row for o in front]], [metric]).of[0].get(metric, (None,) * len(front))
    return {o.name: verdict for o, verdict in zip(front, found, strict=True)}


def beaten_by(offer: Offer, frontier: Sequence[Offer], metric: str) -> Offer | None:
    """The cheapest run of the frontier that is at least as good and no dearer."""
    sign = 1 if better(metric) == "higher" else -1
    if offer.quality is None or offer.cost is None:
        return None
    for other in frontier:
        if (
            other.quality and other.cost is not None and other.cost <= offer.cost
            and sign * other.quality.value >= sign * offer.quality.value
        ):  # fmt: skip
            return other
    return None


def _grams(row: Row, cycle: LifeCycle, place: str | None) -> float | None:
    """Grams over the horizon: the joules at the place's yearly intensity, with the records' PUE."""
    if place is None:
        return cycle.total_g
    carbon, own = carbon_of(place), row.records[0].carbon
    if carbon is not None and own is not None:
        carbon = carbon.model_copy(update={"pue": own.pue, "pue_source": own.pue_source})
    return emissions_g(_mean(cycle.total_j), carbon)


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
