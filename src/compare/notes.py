"""What a reader must know to believe the tables, as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..measure.record import Carbon, Record
from .figures import STAR, cost_columns, energy_provenance, quality_columns

if TYPE_CHECKING:
    from .table import Comparison
    from .verdicts import Verdict

FEW_QUESTIONS = 50
"""Below, the bootstrap's intervals are somewhat too narrow: of 400 simulated comparisons of seven
equally good runs a false difference was found in 8 % on 24 questions, 7 % on 60, 5 % on 200
(`false_finds` in tests/compare/test_verdicts.py)."""


def notes(comparison: Comparison) -> list[str]:
    """The sentences under the tables; what overrides or keeps apart comes first."""
    done = comparison.done
    if not done:
        return []
    return [
        *comparison.reasons,
        *_verdict_notes(comparison),
        *_seed_notes(comparison),
        *_energy_notes(done),
        *_carbon_notes(done),
        *_other_notes(done),
    ]


def _verdict_notes(comparison: Comparison) -> list[str]:
    judged = comparison.verdicts
    found = [
        f"{STAR} is the best of its column, in quality with all that is tied with it; none where "
        "all are alike. Costs were measured once a run: a small lead may be chance."
    ]
    if len(comparison.rows) < 2:
        return []
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
    )
    for number in range(len(comparison.groups)):
        metric = next(iter(judged.of[number]), None)
        if metric is None:
            continue
        verdicts = judged.of[number][metric]
        tied = [v for v in verdicts if v and v.word == "tied" and v.detectable]
        known = [v.difference.n for v in verdicts if v and v.difference]
        best = next(v.best for v in verdicts if v)
        header = quality_columns([metric])[0].header
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
    measured = {"counter", "integrated_power"}
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
    return notes


def _carbon_notes(records: Sequence[Record]) -> list[str]:
    grids: dict[str, dict[str, None]] = {}
    for record in records:
        grid = _grid(record.carbon) if record.carbon else "no place given"
        grids.setdefault(grid, {})[record.name] = None
    if len(grids) > 1:
        sides = "; ".join(f"{grid}: {', '.join(names)}" for grid, names in grids.items())
        return [f"WARNING: gCO₂e of different places or intensities do not compare: {sides}."]
    if records[0].carbon is None:
        return ["gCO₂e needs a place: set `place: FRA` (or `intensity_g_per_kwh:`) in the recipe."]
    return [
        f"gCO₂e: prepare + load + 1,000 answers at {next(iter(grids))}. It is derived from energy "
        "and ranks nothing."
    ]


def _grid(carbon: Carbon) -> str:
    year = f", {carbon.year}" if carbon.year else ""
    pue = f", PUE {carbon.pue:g}" if carbon.pue != 1 else ""
    return (
        f"{carbon.intensity_g_per_kwh:g} g/kWh ({carbon.place}, {carbon.kind}, "
        f"{carbon.source}{year}{pue})"
    )


def _other_notes(records: Sequence[Record]) -> list[str]:
    notes = [
        "Wh per 1,000: answers in one batch. Latency: median of one question at a time. "
        "J per correct: an answer is correct when it contains the gold.",
        "Prepare is what the stages cost when first made, also where they were reused.",
    ]
    shown = {column.name for column in cost_columns(records)}
    if "gflop_per_answer" in shown:
        methods = {r.work["answer"].flops_method for r in records if "answer" in r.work} - {""}
        notes.append(f"GFLOP: 10⁹ floating-point operations, {' / '.join(sorted(methods))}.")
    if "money_per_1000_answers" in shown:
        sources = sorted({r.money.source for r in records if r.money and r.money.source})
        notes.append(f"Money for 1,000 answers, by {'; '.join(sources) or 'prices not named'}.")
    if any("overlap_allowed" in record.flags for record in records):
        notes.append("WARNING: test questions stand in training (--allow-overlap).")
    if any("questions_without_answer" in record.flags for record in records):
        notes.append("WARNING: an endpoint left questions without an answer; they count as wrong.")
    return notes
