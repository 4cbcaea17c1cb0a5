"""Reasons as sentences: the headline, why the choice, why not the others."""

from __future__ import annotations

from collections.abc import Sequence

from ..compare.comparability import contention
from ..compare.figures import quality_columns
from ..compare.floor import reaches
from ..compare.sensitivity import close_to
from ..compare.wording import listed, number, span
from ..measure.carbon import J_PER_WH
from ..measure.quality import better
from .choice import Offer, beaten_by
from .gaps import Scene
from .verdict import Check, Constraint, Standing
from .wording import at_least, counted, energy, energy_within, grams, often, scored, who

SAME = 0.005
"""Two costs that differ by less are said to be the same."""


def headline(scene: Scene, nearest: Offer | None) -> str:
    """The decision in one sentence, and another where its energies rank nothing."""
    told = _decided(scene, nearest)
    rivals = [record for o in scene.offers if o.cost is not None for record in o.row.records]
    busy = [contention(record) is not None for record in rivals]
    if scene.choice.taken is None or len(scene.offers) == 1 or not any(busy):
        return told
    which = "all" if all(busy) else "some"
    return (
        f"{told} But other programs kept the machine busy while {which} of them answered, so which "
        "one is cheapest is not known yet: run them again, into a new folder, on an idle machine."
    )


def _decided(scene: Scene, nearest: Offer | None) -> str:
    taken, floor = scene.choice.taken, scene.needs.min_quality
    name = quality_columns([scene.metric])[0].plain
    if taken is None or taken.quality is None:
        return _none(scene, nearest)
    if len(scene.offers) == 1:
        return _alone(taken, scene)
    if floor is None:
        if taken.quality.value == 0 and better(scene.metric) == "higher":
            return f"Take {taken.name} if any, the cheapest: no run reaches more than 0 in {name}."
        if len(scene.choice.good_enough) == 1:
            cheapest = taken.cost == min(o.cost for o in scene.offers if o.cost is not None)
            rest = "it is the cheapest, too" if cheapest else "no cheaper run comes near"
            return f"Take {taken.name}: it has the best {name}, and {rest}."
        return f"Take {taken.name}: the cheapest whose {name} cannot be told apart from the best."
    known = [o.quality for o in scene.offers if o.eligible and o.quality]
    met = [reaches(quality, floor, scene.metric) for quality in known]
    enough = len(met) - met.count("no")
    which = f"the cheapest of the {enough} runs" if enough > 1 else "the only run"
    asked = f"{at_least(scene.metric)} {floor:g} {name}"
    tail = ", or not distinguishable from it" if "perhaps" in met else ""
    return f"Take {taken.name}: {which} with {asked}{tail}."


def _alone(taken: Offer, scene: Scene) -> str:
    if not scene.apart:
        return f"Take {taken.name}: it is the only run there is, and it meets what is asked."
    return (
        f"{taken.name} stands alone: it was measured otherwise than the rest ({scene.apart}), so "
        "they cannot be weighed against each other; by itself it meets what is asked."
    )


def _none(scene: Scene, nearest: Offer | None) -> str:
    untold = [o.name for o in scene.rivals if not o.eligible]
    if untold:
        return (
            "Nothing can be recommended yet: something that was asked for is not known of "
            f"{who(untold, len(scene.offers))}, and no other run meets what is asked."
        )
    near = f" {nearest.name} comes nearest: {_missed(nearest)}." if nearest else ""
    return f"Nothing meets what is asked.{near}"


def reasons_of(scene: Scene, second: Offer | None, nearest: Offer | None) -> tuple[str, ...]:
    """Why the choice, in sentences; without one, which constraint fails for whom."""
    taken = scene.choice.taken
    if taken is None:
        return tuple(_failures(scene))
    return (
        _quality(scene, taken), _costs(scene, taken), *_kept(taken), *_refreshed(scene, taken),
        _runner_up(scene, taken, second),
    )  # fmt: skip


def _quality(scene: Scene, taken: Offer) -> str:
    assert taken.quality is not None
    name, floor = quality_columns([scene.metric])[0].plain, scene.needs.min_quality
    told = f"Quality: {name} {scored(taken.quality)}"
    if floor is not None:
        side = "above" if better(scene.metric) == "higher" else "below"
        if reaches(taken.quality, floor, scene.metric) == "surely":
            return f"{told}, surely {side} {floor:g}."
        return (
            f"{told}: not distinguishable from {floor:g}, so it counts as good enough."
            f"{_surer(scene, taken, floor)}"
        )
    best = next((v.best for v in scene.choice.verdicts.values() if v), taken.name)
    if best == taken.name:
        return f"{told}, the best of {counted(len(scene.offers), 'run')}."
    return f"{told}, tied with {best}: these questions cannot tell them apart."


def _surer(scene: Scene, taken: Offer, floor: float) -> str:
    """The cheapest that surely reaches the floor."""
    for offer in scene.choice.good_enough:
        if offer.quality and reaches(offer.quality, floor, scene.metric) == "surely":
            return f" To be sure of {floor:g} take {offer.name}, at {_beside(offer, taken, scene)}."
    return ""


def _costs(scene: Scene, taken: Offer) -> str:
    cycle, usage = taken.cycle, scene.needs.usage
    assert cycle.total_j is not None
    total = cycle.total_j
    within = energy_within(*(j / J_PER_WH for j in (total.value, total.low, total.high)))
    words = {
        "prepare": "to prepare", "refreshes": f"to update {often(usage.refreshes_per_year)}",
        "answers": "to answer", "idle": "waiting",
    }  # fmt: skip
    parts = [
        f"{energy(joules / J_PER_WH)} {words.get(part, part)}"
        for part, joules in cycle.parts_j.items()
        if joules
    ]
    if taken.assumed and cycle.parts_j["refreshes"]:
        parts = [f"{p} (each as preparing anew)" if "to update" in p else p for p in parts]
    told = f"Cost over {span(usage.horizon_days)}: {within}"
    if len(parts) > 1:
        told += f": {listed(parts)}"
    if taken.grams is not None:
        place = scene.needs.place or next(
            (r.carbon.place for r in taken.row.records if r.carbon), "the grid"
        )
        told += f". That is {grams(taken.grams)} on the grid of {place.upper()}"
        if cycle.total_money is not None:
            told += f" and {number(cycle.total_money)} {cycle.currency or ''}".rstrip()
    return f"{told}."


def _kept(taken: Offer) -> list[str]:
    """The constraints that are met, each with its figure; quality has a sentence of its own."""
    return [
        f"{check.constraint.capitalize()}: {check.sentence}."
        for check in taken.checks
        if check.constraint != "quality"
    ]


def _refreshed(scene: Scene, taken: Offer) -> list[str]:
    """How good it is after an update, where that was measured."""
    refreshes = [r.refresh for r in taken.row.records if r.refresh]
    if not scene.needs.usage.refreshes or not refreshes:
        return []
    first = refreshes[0]
    stale, changed = first.stale.get(scene.metric), first.changed.get(scene.metric)
    if stale is None or changed is None:
        return []
    name = quality_columns([scene.metric])[0].plain
    return [
        f"Freshness: on questions whose answer changed, {name} {stale.value:.2f} before an update "
        f"and {changed.value:.2f} after it."
    ]


def _runner_up(scene: Scene, taken: Offer, second: Offer | None) -> str:
    if second is None:
        return "Runner-up: none; no other run is good enough and meets what is asked."
    told = f"Runner-up: {second.name}"
    if second.quality:
        told += f", {quality_columns([scene.metric])[0].plain} {scored(second.quality)}"
    told += f", {_beside(second, taken, scene)}"
    return f"{told}{_same_cost(taken, second)}."


def _beside(offer: Offer, taken: Offer, scene: Scene) -> str:
    """What one costs beside the choice: ``2.07 times the energy``."""
    if not taken.cost or offer.cost is None:
        return f"with its own {scene.needs.weigh}"
    ratio = offer.cost / taken.cost
    same = abs(ratio - 1) < SAME
    return f"{'about the same' if same else f'{number(ratio)} times the'} {scene.needs.weigh}"


def _same_cost(one: Offer, other: Offer) -> str:
    """Said where the totals cannot be told apart, draw by draw."""
    known = [cycle for cycle in (one.cycle, other.cycle) if cycle.total_j is not None]
    known.sort(key=lambda cycle: cycle.total_j.value if cycle.total_j else 0.0)
    if len(known) < 2 or not close_to(known[0], known[1:]):
        return ""
    return "; the difference in energy may be chance"


def _failures(scene: Scene) -> list[str]:
    """By constraint, how many runs fail it, and which comes nearest."""
    found: dict[Constraint, list[tuple[Offer, Check]]] = {}
    for offer in scene.offers:
        for check in offer.checks:
            if check.state == "not met":
                found.setdefault(check.constraint, []).append((offer, check))
    sentences = []
    for constraint, misses in found.items():
        offer, check = min(misses, key=lambda miss: (_miss(miss[1]), miss[0].name))
        names = who([o.name for o, _ in misses], len(scene.offers))
        near = f"; nearest is {offer.name}" if len(misses) > 1 else ""
        sentences.append(f"{constraint.capitalize()}: missed by {names}{near}: {check.sentence}.")
    return sentences


def nearest_of(offers: Sequence[Offer]) -> Offer | None:
    """The run that misses the fewest constraints, and of those the one that misses them least."""

    def missed(offer: Offer) -> tuple[int, float, float, str]:
        misses = [_miss(c) for c in offer.checks if c.state == "not met"]
        cost = float("inf") if offer.cost is None else offer.cost
        return len(misses), max(misses, default=0.0), cost, offer.name

    known = [o for o in offers if not o.untold and any(c.state == "not met" for c in o.checks)]
    return min(known, key=missed, default=None)


def _miss(check: Check) -> float:
    """How far a figure lies from its limit, as a share of the limit; what is no number, far."""
    if isinstance(check.figure, float) and isinstance(check.limit, float) and check.limit:
        return abs(check.figure - check.limit) / abs(check.limit)
    return float("inf")


def _missed(offer: Offer) -> str:
    return "; ".join(check.sentence for check in offer.checks if check.state == "not met")


def _untold(offer: Offer) -> str:
    told = [check.sentence for check in offer.untold]
    if offer.cost is None:
        told += offer.cycle.unknown or ("what it costs is not known",)
    if offer.quality is None:
        told.append("its quality has no interval")
    return "; ".join(dict.fromkeys(told))


def why_not(offer: Offer, standing: Standing, scene: Scene) -> str:
    """Why a run stands where it stands, in a clause."""
    if standing == "choice":
        return "good enough, and the cheapest of those"
    if standing == "fails":
        return "; ".join(check.sentence for check in offer.failed)
    if standing == "cannot be told":
        return _untold(offer)
    if standing == "beaten" or (standing == "runner-up" and offer not in scene.choice.frontier):
        other = beaten_by(offer, scene.choice.frontier, scene.metric)
        return f"{other.name} is at least as good, and cheaper" if other else "beaten"
    if standing == "not good enough":
        return _not_good_enough(offer, scene)
    taken = scene.choice.taken
    return f"good enough, at {_beside(offer, taken, scene)}" if taken else "good enough"


def _not_good_enough(offer: Offer, scene: Scene) -> str:
    if scene.needs.min_quality is not None:
        check = next(c for c in offer.checks if c.constraint == "quality")
        return check.sentence
    verdict = scene.choice.verdicts.get(offer.name)
    if verdict is None or verdict.difference is None:
        return "below the best; scores by question are missing, so no test could be made"
    apart = verdict.difference
    text = f"worse than {verdict.best} by {abs(apart.value):.2f}"
    low, high = sorted((abs(apart.low), abs(apart.high)))
    return f"{text} [{low:.2f}, {high:.2f}]"
