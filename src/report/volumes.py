"""Volumes: what would be taken at each number of answers, and so where the choice turns.

Each stop is decided by `advise` itself, so that the page's slider says what the verb would say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from ..advice import Advice, Needs, advise
from ..advice.verdict import Amount, Decision
from ..advice.wording import energy
from ..compare.table import Comparison
from ..compare.usage import Usage
from ..compare.wording import listed, number, span

PER_DECADE = (1.0, 2.0, 5.0)
LEAST, MOST = 10.0, 1e6
"""Answers over the horizon between which a page's slider moves; further where it is asked for."""


@dataclass(frozen=True)
class Stop:
    """One volume: `answers` over the horizon, Wh of each run by name, and what is taken there
    (None where nothing meets what is asked). `sentence` says it."""

    answers: float
    totals: dict[str, Amount | None]
    choice: str | None
    cheapest: str | None
    sentence: str


@dataclass(frozen=True)
class Span:
    """Neighbouring stops with the same choice, the first and the last of them."""

    choice: str | None
    first: float
    last: float


def grid_of(asked: float | None) -> list[float]:
    """The volumes of the stops: 1, 2 and 5 of each power of ten, and the one that was asked for."""
    low, high = LEAST, MOST
    if asked:
        low, high = min(low, asked / 10), max(high, asked * 10)
    powers = [10.0**power for power in range(-3, 16)]
    rounds = [power * step for power in powers for step in PER_DECADE]
    found = {volume for volume in rounds if low <= volume <= high * (1 + 1e-9)}
    if asked and not any(isclose(asked, volume) for volume in found):
        found.add(asked)
    return sorted(found)


def shown_of(stops: Sequence[Stop], usage: Usage) -> int:
    """The number of the stop of the usage's own volume, at which the page's slider begins."""
    return min(range(len(stops)), key=lambda n: abs(stops[n].answers - usage.answers))


def stops_of(comparison: Comparison, advice: Advice) -> list[list[Stop]]:
    """For each decision of the advice, in its order, the stops of the grid."""
    needs = advice.needs
    found: list[list[Stop]] = [[] for _ in advice.decisions]
    for volume in grid_of(needs.usage.answers or None):
        daily = volume / needs.usage.horizon_days
        usage = needs.usage.model_copy(update={"answers_per_day": daily})
        there = needs.model_copy(update={"usage": usage})
        # What a group holds does not depend on the volume, so neither does the groups' order.
        for stops, decision in zip(found, advise(comparison, there).decisions, strict=True):
            stops.append(_stop(volume, decision, there))
    return found


def _stop(volume: float, decision: Decision, needs: Needs) -> Stop:
    totals = {c.run: c.total_wh for c in decision.candidates}
    known = {run: total for run, total in totals.items() if total is not None}
    cheapest = min(known, key=lambda run: known[run].value, default=None)
    return Stop(volume, totals, decision.choice, cheapest, _sentence(volume, decision, needs))


def _sentence(volume: float, decision: Decision, needs: Needs) -> str:
    days = needs.usage.horizon_days
    daily = volume / days
    rate = f"{number(daily)} a day" if daily >= 1 else f"one every {number(1 / daily)} days"
    lead = f"{number(volume)} answers in {span(days)} ({rate}): "
    taken = decision.candidate(decision.choice)
    if taken is None:
        return f"{lead}nothing meets what is asked."
    text = f"{lead}take {taken.run}"
    if taken.total_wh is not None:
        text += f", {energy(taken.total_wh.value)} in all"
    second = decision.candidate(decision.runner_up)
    if second is not None and second.total_wh is not None:
        text += f"; the runner-up is {second.run}, {energy(second.total_wh.value)}"
    return f"{text}."


def spans_of(stops: Sequence[Stop]) -> list[Span]:
    """The stops as stretches of one choice each."""
    found: list[Span] = []
    for stop in stops:
        if found and found[-1].choice == stop.choice:
            found[-1] = Span(stop.choice, found[-1].first, stop.answers)
        else:
            found.append(Span(stop.choice, stop.answers, stop.answers))
    return found


def told(stops: Sequence[Stop], needs: Needs) -> str:
    """Where the choice turns, as a sentence."""
    spans = spans_of(stops)
    over = f"from {number(stops[0].answers)} to {number(stops[-1].answers)} answers in "
    over += span(needs.usage.horizon_days)
    if len(spans) == 1:
        if spans[0].choice is None:
            return f"Nothing meets what is asked at any volume {over}."
        return f"Take {spans[0].choice} at every volume {over}."
    parts = []
    for place, each in enumerate(spans):
        name = each.choice or "nothing that meets what is asked"
        if place == 0:
            parts.append(f"{name} up to {number(each.last)}")
        elif place == len(spans) - 1:
            parts.append(f"{name} from {number(each.first)} on")
        elif each.first == each.last:
            parts.append(f"{name} at {number(each.first)}")
        else:
            parts.append(f"{name} from {number(each.first)} to {number(each.last)}")
    return f"It depends on the volume, {over}: {listed(parts)}."
