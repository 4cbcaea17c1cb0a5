"""Advise: a decision for each group of records that may be weighed together, and its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ..compare.comparability import COST, QUALITY, Group, hardware
from ..compare.figures import energy_provenance, quality_columns
from ..compare.lifecycle import LifeCycle, life_cycles
from ..compare.seeds import Row
from ..compare.table import Comparison, compare
from ..compare.transfer_table import projection_notes
from ..errors import InputError, did_you_mean
from ..measure.carbon import J_PER_WH
from ..measure.record import Record
from .choice import Offer, choose, offer_of
from .gaps import Scene, gaps_of
from .needs import Needs
from .prices import amount_of, price_of
from .reasons import headline, nearest_of, reasons_of, why_not
from .verdict import Advice, Candidate, Decision, Price, Standing
from .wording import counted


def advise(
    records: Comparison | Sequence[Record], needs: Needs, *, recipe: str = "RECIPE"
) -> Advice:
    """What to take for these needs, from what was measured: a decision for each group of records
    that may be weighed together (the same questions, machine and ways of knowing energy).

    The rule stands in `advice/choice.py`. Every figure is a record's, or derived from records.
    `recipe` is the name that commands in the text are written with. Raises `InputError` for no
    finished records, a metric that none has, and where `needs` weighs what no record tells.
    """
    comparison = records if isinstance(records, Comparison) else compare(list(records))
    if not comparison.rows:
        raise InputError(
            "there are no finished records to advise from; run a recipe first (`wattune compare`), "
            "or answer a few questions instead (`wattune advise --ask`)"
        )
    groups = [group for parts in comparison.cost_groups for group in parts]
    usage = needs.usage
    measured = life_cycles(comparison, usage)
    cycles = [measured] * 3
    if usage.refreshes:
        # What a refresh takes lies between nothing and preparing anew, where it was not measured.
        bounds: tuple[dict[str, object], ...]
        bounds = ({"refresh_costs": "prepare"}, {"refreshes_per_year": 0.0})
        cycles[1:] = [life_cycles(comparison, usage.model_copy(update=one)) for one in bounds]
    decisions = [
        _decision(group, apart, _Cycles(*three), needs, comparison, recipe)
        for group, apart, *three in zip(groups, _differences(groups), *cycles, strict=True)
    ]
    return Advice(needs=needs, decisions=tuple(sorted(decisions, key=_order)))


def _order(decision: Decision) -> tuple[int, str, str]:
    """The largest group first; records given in another order give the same advice."""
    return -len(decision.candidates), decision.task, decision.group


class _Cycles(NamedTuple):
    """A group's life cycles: as measured, with each refresh as preparing anew, and as nothing."""

    measured: list[LifeCycle]
    anew: list[LifeCycle]
    free: list[LifeCycle]


def _decision(
    group: Group, apart: str, cycles: _Cycles, needs: Needs, comparison: Comparison, recipe: str
) -> Decision:
    metric = _metric(group, comparison, needs)
    rows = _named(group.rows)
    by_row = list(zip(rows, cycles.measured, cycles.anew, cycles.free, strict=True))
    offers = [offer_of(row, cycle, anew, needs, metric) for row, cycle, anew, _ in by_row]
    _refuse_unweighable(offers, needs)
    choice = choose(offers, metric, needs.min_quality)
    taken = choice.taken
    others = [offer for offer in offers if offer is not taken]
    second = choose(others, metric, needs.min_quality).taken if taken else None
    if_free = taken
    if any(o.assumed for o in offers):
        free = [offer_of(row, cycle, free, needs, metric) for row, cycle, _, free in by_row]
        if_free = choose(free, metric, needs.min_quality).taken
    scene = Scene(offers, choice, if_free, metric, needs, recipe, apart)
    nearest = None if taken else nearest_of(offers)
    first = offers[0].row.records[0]
    return Decision(
        group=apart,
        task=str(first.task.get("name", "")),
        metric=metric,
        questions=max((o.quality.n for o in offers if o.quality), default=None),
        choice=taken.name if taken else None,
        runner_up=second.name if second else None,
        nearest=nearest.name if nearest else None,
        headline=headline(scene, nearest),
        reasons=reasons_of(scene, second, nearest),
        prices=_prices(scene, second),
        candidates=tuple(_candidate(o, scene, second) for o in _in_order(offers)),
        gaps=gaps_of(scene),
        provenance=_provenance(offers, metric),
    )


def _metric(group: Group, comparison: Comparison, needs: Needs) -> str:
    held = {m for row in group.rows for record in row.records for m in record.quality}
    if needs.metric is not None:
        if needs.metric not in comparison.metrics:
            known = did_you_mean(needs.metric, comparison.metrics)
            raise InputError(f'metric "{needs.metric}": no record has it{known}')
        return needs.metric
    metric = next((m for m in comparison.judged if m in held), None)
    if metric is None:
        names = ", ".join(row.label for row in group.rows)
        raise InputError(f"{names}: no quality was measured, so there is nothing to choose by")
    return metric


def _refuse_unweighable(offers: Sequence[Offer], needs: Needs) -> None:
    """Raise where what is weighed cannot be known of any run, although its energy is."""
    if any(o.cost is not None for o in offers) or all(o.cycle.total_j is None for o in offers):
        return
    if needs.weigh == "carbon":
        raise InputError("carbon cannot be weighed: the records name no place; give --place FRA")
    raise InputError(
        "money cannot be weighed: the records hold no prices; set `accounting.prices` in the "
        "recipe and compare again"
    )


def _named(rows: Sequence[Row]) -> list[Row]:
    """The rows, each under a name of its own: a run that was measured twice is told by its number,
    the older one first."""
    order = sorted(range(len(rows)), key=lambda n: (rows[n].records[0].created_at, n))
    seen: dict[str, int] = {}
    named = list(rows)
    for n in order:
        label = rows[n].label
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            named[n] = replace(rows[n], label=f"{label}, run {seen[label]}")
    return named


def _in_order(offers: Sequence[Offer]) -> list[Offer]:
    """The cheapest first, what is not known last."""
    return sorted(offers, key=lambda o: (o.cost is None, o.cost or 0.0, o.name))


def _prices(scene: Scene, second: Offer | None) -> tuple[Price, ...]:
    """The choice beside its neighbours on the frontier, and beside the runner-up."""
    taken, front = scene.choice.taken, list(scene.choice.frontier)
    if taken is None:
        return ()
    at = front.index(taken)
    others = [*front[max(0, at - 1) : at], *front[at + 1 : at + 2]]
    if second is not None and second not in others:
        others.append(second)
    return tuple(price_of(taken, other, scene.needs, scene.metric) for other in others)


def _candidate(offer: Offer, scene: Scene, second: Offer | None) -> Candidate:
    choice = scene.choice
    standing: Standing
    if offer is choice.taken:
        standing = "choice"
    elif offer.failed:
        standing = "fails"
    elif not offer.eligible:
        standing = "cannot be told"
    elif offer is second:
        standing = "runner-up"
    elif offer not in choice.frontier:
        standing = "beaten"
    else:
        standing = "acceptable" if offer in choice.good_enough else "not good enough"
    cycle = offer.cycle
    return Candidate(
        run=offer.name,
        records=tuple(record.key for record in offer.row.records),
        standing=standing,
        why=why_not(offer, standing, scene),
        quality=offer.quality,
        total_wh=amount_of(cycle.total_j, 1 / J_PER_WH),
        parts_wh={
            name: None if joules is None else joules / J_PER_WH
            for name, joules in cycle.parts_j.items()
        },
        total_g=offer.grams,
        total_money=cycle.total_money,
        currency=cycle.currency,
        refresh_assumed=offer.assumed,
        checks=offer.checks,
        on_frontier=offer in choice.frontier if offer.eligible else None,
        projected=any(record.projected for record in offer.row.records),
    )


def _provenance(offers: Sequence[Offer], metric: str) -> tuple[str, ...]:
    """Where the figures come from, a sentence for each kind."""
    records = [record for offer in offers for record in offer.row.records]
    first = records[0].task
    asked = counted(int(first.get("questions") or 0), "question")
    ways = {way for record in records for way in energy_provenance(record).items()}
    known = [f"{part} {how.replace('_', ' ')}" for part, how in ways]
    dates = sorted({record.created_at[:10] for record in records if record.created_at})
    when = f" of {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    return (
        *projection_notes(records),
        f"Quality: mean {quality_columns([metric])[0].plain} over {asked} of the "
        f"{first.get('split', 'test')} split of {first.get('name', 'the task')}; in brackets the "
        "95 % interval.",
        f"Energy: {', '.join(sorted(known)) or 'not recorded'}; the whole machine, its idle share "
        "included. Preparing counts in full, also where a stage was reused.",
        f"Machine: {'; '.join(sorted({hardware(record) for record in records}))}.",
        f"All figures stand in, or follow from, {counted(len(records), 'record')}{when}.",
    )


def _differences(groups: Sequence[Group]) -> list[str]:
    """What sets each group apart from the others, for a person; empty for one group."""
    if len(groups) < 2:
        return [""] * len(groups)
    first = [group.rows[0].records[0] for group in groups]
    tasks = [str(record.task.get("name", "unnamed")) for record in first]
    told = {"task": tasks} | {name: [of(one) for one in first] for name, of in COST.items()}
    if len(set(zip(*told.values(), strict=True))) < len(groups):  # they tell not all apart
        told |= {name: [of(record) for record in first] for name, of in QUALITY.items()}
    apart = {AS_SAID.get(name, name): of for name, of in told.items() if len(set(of)) > 1}
    return ["; ".join(f"{name}: {of[n]}" for name, of in apart.items()) for n in range(len(groups))]


AS_SAID = {"contended": "machine busy with other programs"}
"""Names of fields that a person would not know."""
