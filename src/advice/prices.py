"""The price of quality: what the better of two runs gains, takes once and takes by the answer."""

from __future__ import annotations

import math

from ..compare.break_even import BreakEven, break_even
from ..compare.figures import quality_columns
from ..compare.lifecycle import Estimate
from ..compare.wording import number, span
from ..measure.carbon import J_PER_WH
from ..measure.paired import Difference, paired_differences
from ..measure.quality import better
from .choice import Offer
from .needs import Needs
from .verdict import Amount, Price
from .wording import POINT, energy

PER_1000 = 1000 / J_PER_WH
"""From the joules of an answer to the Wh of 1,000."""


def price_of(one: Offer, other: Offer, needs: Needs, metric: str) -> Price:
    """What the better of two offers gains over the other, and what that takes."""
    sign = 1 if better(metric) == "higher" else -1
    apart = sign * (_value(one) - _value(other))
    best, over = (one, other) if (apart, one.name) >= (0, other.name) else (other, one)
    gain = _gain(best, over, metric)
    even = break_even(best.cycle.costs, over.cycle.costs, needs.usage)
    once = _minus(best.cycle.costs.prepare_j, over.cycle.costs.prepare_j)
    each = _extra(best, over, even)
    more_j = _minus(_total(best), _total(over))
    points = abs(apart) / POINT
    wh_per_point = None if more_j is None or not points else more_j / J_PER_WH / points
    answers = amount_of(even.answers)
    return Price(
        run=best.name,
        over=over.name,
        gain=gain,
        prepare_wh=None if once is None else once / J_PER_WH,
        wh_per_1000=each,
        word=even.word,
        worth_it_after_answers=answers,
        wh_per_point=wh_per_point,
        sentence=_sentence(best, over, gain, once, each, even, wh_per_point, needs, metric),
    )


def amount_of(estimate: Estimate | None, factor: float = 1.0) -> Amount | None:
    """An estimate as plain JSON can hold it: no infinity. None where it is none."""
    if estimate is None or not math.isfinite(estimate.value):
        return None
    high = estimate.high * factor
    return Amount(
        value=estimate.value * factor,
        low=estimate.low * factor,
        high=high if math.isfinite(high) else None,
    )


def _gain(best: Offer, over: Offer, metric: str) -> Difference | None:
    """The paired difference, more is better; None without scores by question of the same ones."""
    one, other = best.row.scores(metric), over.row.scores(metric)
    if one is None or other is None or len(one) != len(other):
        return None
    items = {r.task.get("items") for offer in (best, over) for r in offer.row.records}
    if len(items) > 1 or not any(None not in pair for pair in zip(one, other, strict=True)):
        return None
    pair = (one, other) if better(metric) == "higher" else (other, one)
    return paired_differences([pair])[0]


def _extra(best: Offer, over: Offer, even: BreakEven) -> Amount | None:
    """What 1,000 answers of the better one take more, in Wh; negative where they take less."""
    saved = even.saving_j_per_answer
    if saved is None:
        return None
    if even.dearer_to_prepare is best.cycle.costs.row:
        saved = Estimate(-saved.value, -saved.high, -saved.low)
    return amount_of(saved, PER_1000)


def _sentence(
    best: Offer, over: Offer, gain: Difference | None, once: float | None, each: Amount | None,
    even: BreakEven, wh_per_point: float | None, needs: Needs, metric: str,
) -> str:  # fmt: skip
    name = quality_columns([metric])[0].plain
    costs = []
    if once:
        costs.append(f"{energy(abs(once) / J_PER_WH)} {'once' if once > 0 else 'less once'}")
    if each and each.value:
        if each.value > 0:
            costs.append(f"{energy(each.value)} more per 1,000 answers")
        else:
            costs.append(f"saves {energy(-each.value)} per 1,000 answers")
    gained = f"{best.name} gains {_gained(best, over, gain, metric)} {name} over {over.name}"
    price = " and ".join(costs)
    if each and needs.usage.refreshes:
        price += ", updates included"
    if price:
        price = f" and {price}" if price.startswith("saves") else f" for {price}"
    text = f"{gained}{price}: {_paid_back(best, even, needs)}."
    if wh_per_point is not None and wh_per_point > 0:
        text += (
            f" A point ({POINT:g}) more costs {energy(wh_per_point)} over "
            f"{span(needs.usage.horizon_days)}."
        )
    return text


def _gained(best: Offer, over: Offer, gain: Difference | None, metric: str) -> str:
    if gain is None:
        apart = abs(_value(best) - _value(over))
        return f"{apart:.2f} (not tested: scores by question are missing)"
    chance = "" if gain.low > 0 or gain.high < 0 else " (perhaps by chance)"
    return f"{gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}]{chance}".replace("-", "−")


def _paid_back(best: Offer, even: BreakEven, needs: Needs) -> str:
    """When the energy is paid back, from the better one's side."""
    dearer = even.dearer_to_prepare is best.cycle.costs.row
    if even.word == "unknown":
        return "when that is paid back is not known"
    if even.word == "after" and even.answers is not None:
        daily = needs.usage.answers_per_day
        use_days = math.ceil(even.answers.value / daily) if daily else 0
        late = ", later than asked for" if use_days > needs.usage.horizon_days else ""
        days = f", {span(use_days)} of use{late}" if daily else ""
        high = number(even.answers.high) if math.isfinite(even.answers.high) else "never"
        when = f"{number(even.answers.value)} answers [{number(even.answers.low)}, {high}]{days}"
        return f"worth it after {when}" if dearer else f"cheaper only for the first {when}"
    return "the energy is never paid back" if dearer else "cheaper from the first answer on"


def _value(offer: Offer) -> float:
    return offer.quality.value if offer.quality else 0.0


def _total(offer: Offer) -> float | None:
    return offer.cycle.total_j.value if offer.cycle.total_j else None


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
