"""What a reader must know of a time of use, and what would change the winner, as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..durations import DAY_S
from ..measure.record import Record
from .break_even import MOST_PAIRED
from .figures import STAR, quality_columns
from .lifecycle import LifeCycle
from .sensitivity import Change, Input, Sensitivity
from .uncertainty import REPEAT_SD
from .usage import HOUR_S, Usage
from .use_tables import Use, in_words, unit_of
from .wording import listed, rounded, span

MOST_NAMED = 6
"""Runs that a sentence names."""


def use_notes(found: Sequence[Use]) -> list[str]:
    """The sentences under the tables of a use; what would change the winner comes last."""
    if not found:
        return []
    usage = found[0].cycles[0].usage
    cycles = [cycle for use in found for cycle in use.cycles]
    return [
        *_meaning(usage, cycles),
        *_not_known(cycles),
        *_busy_machine(cycles),
        *dict.fromkeys(note for use in found for note in _paired_off(use)),
        *(
            sentence
            for use in found
            if len(use.cycles) > 1  # alone there is nothing to win
            for sentence in sentences(use.sensitivity, use.name)
        ),
    ]


def sentences(found: Sensitivity, group: str = "") -> list[str]:
    """The winner, and for each input the value at which it would be another."""
    where = f"Group {group}: " if group else ""
    if found.winner is None:
        return [f"{where}{_no_winner(found)}"]
    usage, winner = found.winner.usage, found.winner
    others = [cycle for cycle in found.good_enough if cycle is not winner]
    first = f"{where}Of {_who(found)}, {_name(winner)} takes the least: {_wh(winner)} at "
    first = f"{first}{in_words(usage)}."
    if not others:
        name = _name(winner)
        why = _standard(found)
        return [
            f"{where}{name} takes {_wh(winner)} at {in_words(usage)}. No input changes the winner: "
            f"{name} is the only run that {why}. Another `--min-quality` would let others compete."
        ]
    if found.close:
        first += f" That is not certain: {_several(found.close)} cannot be told from it."
    lines = [first]
    for change in found.changes:
        grams = change.input == "intensity_g_per_kwh"
        lines.append(f"{where}{_cleaner(change, found) if grams else _turn(change, usage)}")
    if found.steady:
        words = [_INPUTS[name] for name in found.steady]
        lines.append(
            f"{where}Changing nothing at any value, by itself: {listed(words, MOST_NAMED)}."
        )
    for name, cycles in (found.unclear or {}).items():
        lines.append(
            f"{where}What {_INPUTS[name]} would change cannot be told: {_missing(name)} of "
            f"{_several(cycles)} was not measured."
        )
    return lines


_INPUTS: dict[Input, str] = {
    "answers_per_day": "answers a day",
    "horizon_days": "the horizon",
    "refreshes_per_year": "refreshes",
    "cached_share": "the share from a cache",
    "idle_hours_per_day": "idle hours",
    "serving": "the way of serving",
    "intensity_g_per_kwh": "the grid's intensity (all have the same one)",
}


def _turn(change: Change, usage: Usage) -> str:
    name = _name(change.winner)
    if change.value is None:
        other = "one at a time" if usage.serving == "batch" else "all at once"
        return f"Asked {other}, it would be {name}."
    value = rounded(change.value, 3)
    more = "more" if change.above else "fewer"
    if change.input == "answers_per_day":
        return f"With {more} than {value} answers a day it would be {name}."
    if change.input == "horizon_days":
        longer = "longer" if change.above else "shorter"
        return f"Over a time {longer} than {span(change.value)} it would be {name}."
    if change.input == "refreshes_per_year":
        return f"With {more} than {value} refreshes a year it would be {name}."
    if change.input == "cached_share":
        # Near all of them, it is the share that is left which counts.
        share = f"{change.value * 100:.{4 if change.value < 0.999 else 6}g} %"
        return f"With {more} than {share} of the answers from a cache it would be {name}."
    return f"With {more} than {value} idle hours a day it would be {name}."


def _cleaner(change: Change, found: Sensitivity) -> str:
    known = [(cycle.total_g, _name(cycle)) for cycle in found.good_enough]
    grams, least = min((one, name) for one, name in known if one is not None)
    return (
        f"In grams {least} is the least ({rounded(grams, 3)} g); {_name(change.winner)} would be "
        f"on a grid of less than {rounded(change.value or 0.0, 3)} g/kWh."
    )


def _missing(name: Input) -> str:
    return {
        "refreshes_per_year": "a refresh",
        "idle_hours_per_day": "the machine at rest",
        "serving": "the other way of serving",
    }.get(name, "the cost of an answer")


def _no_winner(found: Sensitivity) -> str:
    if found.busy:
        return (
            "No run is called the cheapest: all answered on a busy machine, whose joules are too "
            "high by more than they may differ."
        )
    if not found.good_enough:
        return f"None of these runs {_standard(found)}, so there is no winner."
    return f"There is no winner: the total of {_several(found.good_enough)} is not known."


def _who(found: Sensitivity) -> str:
    if found.metric is None:
        return "all runs"
    return f"the runs that {_standard(found, 'are')} ({_several(found.good_enough)})"


def _standard(found: Sensitivity, verb: str = "is") -> str:
    name = quality_columns([found.metric])[0].plain if found.metric else "quality"
    if found.min_quality is None:
        return f"{verb} best in {name} or tied with it"
    reaches = "reach" if verb == "are" else "reaches"
    return f"{reaches} {found.min_quality:g} in {name} or cannot be told from it"


def _meaning(usage: Usage, cycles: Sequence[LifeCycle]) -> list[str]:
    parts = ["prepare", "answers"]
    if usage.refreshes:
        parts.insert(1, "refreshes")
    if usage.idle_s:
        parts.append("idle time")
    notes = [
        f"Life cycle: {' + '.join(parts)} ({in_words(usage)}). {STAR} is the least total of the "
        "runs that are good enough, with all that cannot be told from it. J per correct is the "
        "total over all correct answers.",
        "Intervals of joules: the same work measured again (standard deviation "
        f"{REPEAT_SD * 100:g} %), other questions, other seeds, as far as known. "
        f"{_in_common(cycles)}",
    ]
    if usage.refreshes and usage.refresh_costs == "prepare":
        notes.append("ASSUMED, not measured: a refresh costs as much as preparing anew.")
    return notes


def _in_common(cycles: Sequence[LifeCycle]) -> str:
    known = {
        part.provenance
        for cycle in cycles
        for record in cycle.costs.row.records
        for phase in record.phases.values()
        for part in phase.components.values()
    }
    if known & {"modelled_load", "constant", "modelled_tokens", "projected"}:
        return "Not in them: what is wrong with all of them alike, as a model of power may be."
    return "Not in them: what is wrong with all of them alike, such as a meter's own error."


def _not_known(cycles: Sequence[LifeCycle]) -> list[str]:
    reasons: dict[str, list[LifeCycle]] = {}
    for cycle in cycles:
        for reason in cycle.unknown:
            reasons.setdefault(reason, []).append(cycle)
    return [f"Not known of {_several(found)}: {reason}." for reason, found in reasons.items()]


def _busy_machine(cycles: Sequence[LifeCycle]) -> list[str]:
    """Where one machine has not hours enough in a day for that many answers."""
    late = []
    for cycle in cycles:
        usage = cycle.usage
        seconds = [_seconds_an_answer(r, usage) for r in cycle.costs.row.records]
        known = [one for one in seconds if one is not None]
        asked = usage.answers_per_day * (1 - usage.cached_share)
        if known and max(known) * asked > DAY_S - usage.idle_hours_per_day * HOUR_S:
            late.append((max(known) * asked / HOUR_S, cycle))
    if not late:
        return []
    hours = rounded(max(late, key=lambda one: one[0])[0], 2)
    return [
        f"One machine of this kind cannot keep up: {_several([c for _, c in late])} would answer "
        f"for up to {hours} hours a day, idle hours apart. Joules stand for as many as it takes; "
        "idle time is that of one."
    ]


def _seconds_an_answer(record: Record, usage: Usage) -> float | None:
    phase = record.phases.get("answer" if usage.serving == "batch" else "realtime")
    count = record.answers
    if usage.serving == "realtime":
        count = (record.realtime.questions if record.realtime else None) or 0
    return phase.duration_s / count if phase is not None and count else None


def _paired_off(use: Use) -> list[str]:
    notes = []
    never: dict[str, list[str]] = {}
    for pair in use.break_evens:
        if pair.word == "always":
            cheaper, dearer = pair.cheaper_to_prepare.label, pair.dearer_to_prepare.label
            never.setdefault(dearer, []).append(cheaper)
    if never:
        each = "; ".join(
            f"{name} over {listed(others, MOST_NAMED)}" for name, others in sorted(never.items())
        )
        notes.append(f"Dearer to prepare and an answer too, so it never pays back: {each}.")
    if any(pair.word in ("after", "never") for pair in use.break_evens):
        notes.append(
            "Break-even is about energy alone: it says nothing of whether the one that is paid "
            "back is as good. `never` at the end of an interval: that anything is saved is not "
            "certain."
        )
    if len(use.cycles) > MOST_PAIRED:
        notes.append(
            f"Break-evens are between {MOST_PAIRED} runs, the good enough ones first and then the "
            f"least totals; {len(use.cycles) - MOST_PAIRED:,} others are left out."
        )
    return notes


def _name(cycle: LifeCycle) -> str:
    return cycle.costs.row.label


def _wh(cycle: LifeCycle) -> str:
    assert cycle.total_j is not None
    unit, joules = unit_of([cycle])
    value, low, high = (
        rounded(one / joules, 3)
        for one in (cycle.total_j.value, cycle.total_j.low, cycle.total_j.high)
    )
    return f"{value} {unit} [{low}, {high}]"


def _several(cycles: Iterable[LifeCycle]) -> str:
    return listed([_name(cycle) for cycle in cycles], MOST_NAMED)
