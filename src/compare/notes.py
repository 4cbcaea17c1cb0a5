"""What a reader must know to believe the tables, as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..measure.record import Record
from .comparability import contention
from .figures import (
    BUSY_PERCENT,
    CORRECT,
    FEW_QUESTIONS,
    STAR,
    busy_baseline,
    cost_columns,
    energy_provenance,
    quality_columns,
)
from .forgetting import forgetting_notes
from .grams import carbon_notes, footprint_notes
from .refresh import refresh_notes
from .serving import serving_notes
from .training import training_notes
from .transfer_table import projection_notes

if TYPE_CHECKING:
    from .table import Comparison
    from .verdicts import Verdict


def notes(comparison: Comparison) -> list[str]:
    """The sentences under the tables; what makes figures wrong comes first."""
    done = comparison.done
    if not done:
        return []
    return [
        *projection_notes(done),
        *_contention_notes(comparison),
        *comparison.reasons,
        *_verdict_notes(comparison),
        *_seed_notes(comparison),
        *training_notes(comparison.rows),
        *refresh_notes(comparison.rows),
        *forgetting_notes(comparison.rows),
        *_energy_notes(done),
        *carbon_notes(done),
        *footprint_notes(done),
        *_other_notes(done),
    ]


def _contention_notes(comparison: Comparison) -> list[str]:
    found = []
    for row in comparison.rows:
        shares = [share for r in row.records if (share := contention(r)) is not None]
        if shares:
            known = ", ".join(dict.fromkeys(filter(None, shares)))
            found.append(f"{row.label} ({known})" if known else row.label)
    if not found:
        return []
    return [
        f"WARNING: {', '.join(found)}: other programs kept the processors busy while these "
        "answered (contended): their energy and time are too high; run them again on an idle "
        "machine."
    ]


def _verdict_notes(comparison: Comparison) -> list[str]:
    judged = comparison.verdicts
    found = [
        f"{STAR} is the best of its column, in quality with all that is tied with it; none where "
        "all are alike. Costs were measured once a run: a small lead may be chance."
    ]
    if len(comparison.rows) < 2:
        return []
    if any(group.mixed for group in comparison.groups):
        return [
            f"{STAR} is the best of its column, in quality by the mean alone: there are no "
            "verdicts where --allow ranks what differs. A small lead may be chance."
        ]
    if not judged.comparisons:
        if any(len(group.rows) > 1 for group in comparison.groups):
            found.append(
                "No verdicts on quality: paired tests need each run's scores by question, on the "
                "same questions. Records of older versions hold none; run the recipe again."
            )
        return found
    found.append(
        "vs best: run minus best on the same questions with its 95 % paired bootstrap interval. "
        "Tied: not distinguishable at 5 %, corrected (Holm) for all "
        f"{judged.comparisons} pairs of runs and metrics."
        + (
            " Shown is the first metric; the other metrics' differences are in CSV and JSON; p "
            "there is corrected."
            if any(len(of) > 1 for of in judged.of)
            else ""
        )
    )
    for number in range(len(comparison.groups)):
        metric = next(iter(judged.of[number]), None)
        if metric is None:
            continue
        verdicts = judged.of[number][metric]
        tied = [v for v in verdicts if v and v.word == "tied" and v.detectable]
        known = [v.difference.n for v in verdicts if v and v.difference]
        best = next(v.best for v in verdicts if v)
        header = quality_columns([metric])[0].plain
        if tied:
            found.append(_tied(best, header, tied))
        if min(known) < FEW_QUESTIONS:
            found.append(
                f"Only {min(known)} questions: with fewer than {FEW_QUESTIONS}, verdicts find "
                "false differences more often than 5 % of the time."
            )
    return found


def _tied(best: str, header: str, tied: Sequence[Verdict]) -> str:
    shown = sorted(v.detectable for v in tied if v.detectable)
    # Two digits, more it cannot be known to.
    needed = sorted(round(v.needed, 2 - len(str(v.needed))) for v in tied if v.needed)
    difference = _span([f"{one:.2f}" for one in shown])
    text = f"Tied with {best} in {header}: a difference of {difference} would show"
    if needed:
        text += (
            "; to tell apart what was found takes some "
            f"{_span([f'{count:,}' for count in needed])} questions"
        )
    return f"{text} (at 80 % power)."


def _span(ordered: Sequence[str]) -> str:
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


def _seed_notes(comparison: Comparison) -> list[str]:
    several = [row for row in comparison.rows if len(row.records) > 1]
    if several:
        return [
            "Several seeds: figures are means over them, intervals and verdicts are over questions "
            "for the seeds that ran. Runs of one seed say nothing of others."
        ]
    return ["One seed a run: intervals are over questions, and nothing is said of other seeds."]


def _energy_notes(records: Sequence[Record]) -> list[str]:
    found: dict[str, set[str]] = {}
    for record in records:
        for component, provenance in energy_provenance(record).items():
            found.setdefault(component, set()).add(provenance)
    if not found:
        return []
    parts = [f"{name}: {' / '.join(sorted(how))}" for name, how in sorted(found.items())]
    notes = [f"Energy per component: {'; '.join(parts)}."]
    measured = {"counter", "integrated_power", "projected"}
    if not any(how & measured for how in found.values()):
        notes.append(
            "Energy here is modelled from rated power, load and time, not measured: it ranks runs "
            "on this machine and says little about another."
        )
    if any("modelled_tokens" in how for how in found.values()):
        notes.append(
            "A managed endpoint's energy is its tokens times an estimate; the range, which is "
            "wide, and the source stand in the records."
        )
    if any("failed" in how for how in found.values()):
        notes.append("The meter failed for a component: the energies above leave it out.")
    busy = {r.name: load for r in records if (load := busy_baseline(r)) is not None}
    if busy:
        names = ", ".join(f"{name} ({load:.0f} %)" for name, load in busy.items())
        notes.append(
            f"No net Wh of {names}: the baseline was taken on a busy machine (processors' load in "
            f"brackets, above {BUSY_PERCENT:.0f} % is not idle), so the idle share is not known."
        )
    return notes


def _other_notes(records: Sequence[Record]) -> list[str]:
    notes = [
        "Wh per 1,000: energy of 1,000 answers, all questions given at once.",
        *serving_notes(records),
        *_correct_notes(records),
        "Prepare is what the stages cost when first made, also where they were reused.",
        *_recalled_notes(records),
    ]
    shown = {column.name for column in cost_columns(records)}
    if "gflop_per_answer" in shown:
        methods = {r.work["answer"].flops_method for r in records if "answer" in r.work} - {""}
        notes.append(f"GFLOP: 10⁹ floating-point operations, {' / '.join(sorted(methods))}.")
    if shown & {"gflop_per_answer", "tokens_in_per_answer", "tokens_out_per_answer"}:
        notes.append("GFLOP, tokens in and tokens out are for one answer.")
    if "sci_g_per_answer" in shown:
        notes.append(
            "SCI: grams of CO₂e for one answered question (R), answering only: (energy × intensity "
            "× PUE + share of the hardware's making) / R."
        )
    if "money_per_1000_answers" in shown:
        sources = sorted({r.money.source for r in records if r.money and r.money.source})
        prices = "; ".join(sources) or "not named"
        notes.append(f"Money is what 1,000 answers cost. Prices: {prices}.")
    if any("overlap_allowed" in record.flags for record in records):
        notes.append("WARNING: test questions stand in training (--allow-overlap).")
    if any("questions_without_answer" in record.flags for record in records):
        notes.append("WARNING: an endpoint left questions without an answer; they count as wrong.")
    return notes


def _recalled_notes(records: Sequence[Record]) -> list[str]:
    counts = {r.name: count for r in records if (count := r.environment.get("cached_replies"))}
    if not counts:
        return []
    names = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
    return [
        f"Replies taken from the cache: {names}. Their energy and time are those of when they were "
        "first made; to measure anew, run with --no-cache."
    ]


def _correct_notes(records: Sequence[Record]) -> list[str]:
    notes = []
    if any(CORRECT in record.quality for record in records):
        notes.append(
            "J per correct: an answer is correct when it contains the gold; where a question has "
            "no answer, the refusal is the gold."
        )
    if any(CORRECT not in record.quality and record.outcomes for record in records):
        notes.append(
            f"J per correct where the task does not measure `{CORRECT}`: an answer is correct when "
            "it contains the gold; a refusal never is, even where it is right."
        )
    return notes
