"""A frugal comparison in words: how each run stands and why, what to take, what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..compare.figures import interval, quality_columns
from ..compare.layout import Table
from ..measure.carbon import J_PER_WH
from .decision import State, standing

if TYPE_CHECKING:
    from .live import Frugal


def said_of(state: State, run: int, metric: str, *, racing: bool = False) -> str:
    """How a run stands, and why, as the end of a sentence; `racing` says that the floor is past and
    it is asked on for being the best."""
    contender = state.contenders[run]
    if contender.out:
        return contender.out
    word, bounds = standing(state, run)
    name, asked, of = metric_name(metric), len(contender.scores), state.questions
    if asked == 0:
        return "not started"
    count = f"all {of} questions" if asked == of else f"{asked} of {of} questions"
    if not contender.known:
        return f"asked {count}: {name} applies to none of them"
    if asked == of:
        figure = f"{name} {interval(state.interval(run))}"
        if racing or word == "open":  # or there is no floor
            return f"asked {count}: {figure}"
        above = bounds.mean is not None and state.floor is not None and bounds.mean >= state.floor
        reach = "does not reach"
        if word == "accepted":
            reach = "reaches" if above else "cannot be told from"
        return f"{word} after {count}: {figure} {reach} {state.floor:g}"
    lies = f"over all questions {name} surely lies"
    between = f"{lies} between {bounds.low:.2f} and {bounds.high:.2f}"
    if word == "accepted":
        return (
            f"accepted after {count}: {lies} at {bounds.low:.2f} or above; wanted {state.floor:g}"
        )
    if word == "dropped":
        return (
            f"dropped after {count}: {lies} at {bounds.high:.2f} or below; wanted {state.floor:g}"
        )
    return f"asked {count}: {between}"


def metric_name(metric: str) -> str:
    """A metric as tables call it."""
    return quality_columns([metric])[0].header.replace("\n", " ")


def table_of(found: Frugal) -> Table:
    """The runs, cheapest first: what each was expected to take, how much was asked, how it
    stands."""
    rows = []
    for run, contender in enumerate(found.state.contenders):
        joules = found.expected[run]
        bounds = standing(found.state, run).bounds
        asked = len(contender.scores)
        rows.append(
            (
                contender.name,
                "–" if joules is None else f"{joules / J_PER_WH:,.2f}",
                f"{asked} of {found.state.questions}",
                "–" if bounds.mean is None else f"{bounds.mean:.2f}",
                "–" if not asked else f"{bounds.low:.2f} to {bounds.high:.2f}",
                outcome(found, run),
            )
        )
    wanted = "" if found.state.floor is None else f" of at least {found.state.floor:g}"
    return Table(
        f"Frugal comparison: {metric_name(found.metric)}{wanted}, the cheapest first",
        ("run", "expected\nWh", "asked", "mean\nso far", "of all,\nsurely", "outcome"),
        tuple(rows),
    )


def outcome(found: Frugal, run: int) -> str:
    """One or two words on what became of a run."""
    stop, contender = found.stop, found.state.contenders[run]
    if contender.out:
        return "cannot run"
    if not contender.scores:
        return "not started"
    if run == stop.chosen:
        return "accepted"
    if stop.chosen is None and run == stop.best:
        return "the best"
    if stop.chosen is None and run in stop.beside:
        return "beside it"
    return "dropped"


def decision_of(found: Frugal) -> list[str]:
    """The decision and what it saved, as sentences."""
    stop, contenders = found.stop, found.state.contenders
    name, floor = metric_name(found.metric), found.state.floor
    said = []
    if stop.chosen is not None:
        said.append(
            f"Take {contenders[stop.chosen].name}, the cheapest run that reaches {name} {floor:g} "
            f"or cannot be told from it ({said_of(found.state, stop.chosen, found.metric)})."
        )
    else:
        if floor is not None:
            said.append(f"No run reaches {name} {floor:g}.")
        said.append(_best(found))
    chance = f"{found.state.alpha:.0%}".replace("%", " %")
    said.append(
        f"In {chance} of such comparisons at most the full one, by the same order of costs, would "
        "decide otherwise."
    )
    if None in found.expected:
        said.append(
            "The order is by the kinds of steps: neither records nor a plan (`wattune plan`) tell "
            "what all of these runs take."
        )
    said.append(energy_of(found))
    return said


def _best(found: Frugal) -> str:
    """The best of the runs where no floor decides, as a sentence."""
    best, contenders = found.stop.best, found.state.contenders
    if best is None:
        return "No run could be asked."
    mean = standing(found.state, best).bounds.mean
    if mean is None:
        return f"{contenders[best].name} is the only run that can be asked."
    others = ", ".join(contenders[run].name for run in found.stop.beside)
    return (
        f"The best is {contenders[best].name}, with {mean:.2f} on "
        f"{len(contenders[best].scores)} of {found.state.questions} questions"
        + (f"; these questions do not tell it from {others}." if others else ".")
    )


def energy_of(found: Frugal) -> str:
    """What the comparison took, beside what all runs whole are expected to."""
    if found.spent_j is None:
        return "What this comparison took is not known: the meter gave no figure."
    spent = f"This comparison took {_wh(found.spent_j)}"
    if not found.whole_j:
        return (
            f"{spent}. What all runs whole would take is not known: no record tells it of those "
            "that were not started."
        )
    share = f"{found.spent_j / found.whole_j:.0%}".replace("%", " %")
    return (
        f"{spent}, {share} of the {_wh(found.whole_j)} that it takes to prepare all runs and ask "
        "them all questions."
    )


def _wh(joules: float) -> str:
    return f"{joules / J_PER_WH:,.2f} Wh"


def plain_of(found: Frugal) -> dict[str, Any]:
    """The comparison as JSON types; energies in joules, None where unknown."""
    names = [contender.name for contender in found.state.contenders]

    def named(run: int | None) -> str | None:
        return None if run is None else names[run]

    runs = []
    for run, contender in enumerate(found.state.contenders):
        bounds = standing(found.state, run).bounds
        runs.append(
            {
                "name": contender.name,
                "expected_j": found.expected[run],
                "asked": len(contender.scores),
                "mean": bounds.mean,
                "low": bounds.low,
                "high": bounds.high,
                "outcome": outcome(found, run),
                "why": said_of(found.state, run, found.metric),
            }
        )
    return {
        "metric": found.metric,
        "floor": found.state.floor,
        "questions": found.state.questions,
        "alpha": found.state.alpha,
        "chosen": named(found.stop.chosen),
        "best": named(found.stop.best),
        "beside": [names[run] for run in found.stop.beside],
        "spent_j": found.spent_j,
        "whole_j": found.whole_j,
        "runs": runs,
    }
