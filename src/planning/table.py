"""A plan on paper: a row a run, what it has in all, and in words what stands behind the figures."""

from __future__ import annotations

from typing import Any

from ..compare.layout import Table
from ..measure.carbon import J_PER_WH
from ..measure.predicted import Expected
from .plan import Plan, PlannedRun

UNKNOWN = "–"


def plan_tables(plan: Plan) -> list[Table]:
    """Tokens, operations and memory; then time, energy, grams and money, with the total."""
    if not plan.runs:
        return []
    work_rows = [
        (
            _name(plan, run),
            _shown(run.predicted.tokens_in, 1, 0),
            _shown(run.predicted.tokens_out, 1, 0),
            _shown(run.predicted.flops_prepare, 1e12, 2),
            _shown(run.predicted.flops_answer, 1e12, 2),
            _shown(run.predicted.peak_memory_bytes, 1e9, 1),
        )
        for run in plan.runs
        if not run.skipped
    ]
    costs = [_costs(plan, run) for run in plan.runs if not run.skipped]
    money = plan.worth.currency
    total = (
        "in all",
        "",
        "",
        _shown(plan.duration_s, 60, 1),
        _shown(plan.energy_j, J_PER_WH, 2),
        _shown(plan.worth.grams(plan.spends), 1),
        *((_shown(plan.worth.money(plan.spends), 1),) if money else ()),
    )
    found = [
        Table(
            "Planned work: likely [80 % range]",
            ("run", "tokens in", "tokens out", "prepare\nTFLOP", "answer\nTFLOP", "peak\nGB"),
            tuple(work_rows),
        ),
        Table(
            "Planned costs: likely [80 % range]",
            (
                "run",
                "prepare\nWh",
                "answer\nWh",
                "to spend\nmin",
                "to spend\nWh",
                "to spend\ngCO₂e",
                *((f"to spend\n{money}",) if money else ()),
            ),
            (*costs, total),
        ),
    ]
    skipped = tuple((_name(plan, run), run.skipped) for run in plan.runs if run.skipped)
    if skipped:
        found.append(Table("Not planned", ("run", "why"), skipped, words=True))
    return found if work_rows else found[2:]


def _costs(plan: Plan, run: PlannedRun) -> tuple[str, ...]:
    prepare = run.predicted.phases.get("prepare")
    answer = run.predicted.phases.get("answer")
    return (
        _name(plan, run),
        _shown(prepare.energy_j, J_PER_WH, 2) if prepare else "0",
        _shown(answer.energy_j, J_PER_WH, 2) if answer else UNKNOWN,
        _shown(run.spends.duration_s, 60, 1),
        _shown(run.spends.energy_j, J_PER_WH, 2),
        _shown(plan.worth.grams(run.spends), 1),
        *((_shown(plan.worth.money(run.spends), 1),) if plan.worth.currency is not None else ()),
    )


def plan_notes(plan: Plan) -> list[str]:
    """Sentences: what is counted once, what is found, where lengths, rates and ranges are from."""
    notes = []
    done = [_name(plan, run) for run in plan.runs if run.done is not None]
    if done:
        notes.append(f"Finished before, so there is nothing to spend: {', '.join(done)}.")
    for run in plan.runs:
        if run.done is None and run.found:
            notes.append(
                f"{_name(plan, run)}: stages that are there already: {', '.join(run.found)}."
            )
        shared = [stage for stage in run.shared if stage not in run.found]
        if run.done is None and shared:
            notes.append(
                f"{_name(plan, run)}: {', '.join(shared)} is counted where it comes first, and "
                "once."
            )
    said: dict[str, list[str]] = {}
    for run in plan.runs:
        for sentence in run.predicted.basis if not run.skipped else ():
            said.setdefault(sentence, []).append(_name(plan, run))
    notes += [f"{', '.join(dict.fromkeys(names))}: {text}." for text, names in said.items()]
    calibration = plan.calibration
    spreads = ", ".join(
        f"{name.replace('_', ' ')} {rates.spread:.0%}" for name, rates in calibration.rates.items()
    )
    known = ", ".join(f"{name} {how}" for name, how in sorted(calibration.known.items()))
    notes.append(
        f"Rates by a calibration of {calibration.created_at[:10]} with {calibration.model} in "
        f"{calibration.machine.get('dtype')} on {calibration.machine.get('device')}; joules: "
        f"{known or 'unknown'}. Ranges join answer lengths, training lengths and how far the rates "
        f"were off in the calibration ({spreads})."
    )
    if (calibration.contended_percent or 0) > 10:
        notes.append(
            f"The machine was {calibration.contended_percent:.0f} % busy before the calibration: "
            "what others took is in its rates. `wattune calibrate --fresh` on an idle machine "
            "gives better ones."
        )
    if any(run.job.revision is not None for run in plan.runs):
        notes.append("Refreshing is not planned; its costs come on top.")
    if plan.worth.carbon is None:
        notes.append("gCO₂e: unknown, for no `place` or `intensity_g_per_kwh` is set.")
    return notes


def plan_plain(plan: Plan) -> dict[str, Any]:
    """The plan as JSON types; seconds, joules, grams."""
    return {
        "recipe": plan.name,
        "made_at": plan.made_at,
        "calibration": {
            "digest": plan.calibration.digest(),
            "created_at": plan.calibration.created_at,
            "model": plan.calibration.model,
        },
        "runs": [
            {
                "run": run.job.name,
                "seed": run.job.seed,
                "key": run.job.key,
                "skipped": run.skipped,
                "done": run.done is not None,
                "shared_stages": list(run.shared),
                "found_stages": list(run.found),
                "predicted": None if run.skipped else run.predicted.plain(),
                "to_spend": None if run.skipped else _spent(plan, run),
            }
            for run in plan.runs
        ],
        "in_all": {
            "duration_s": _plain(plan.duration_s),
            "energy_j": _plain(plan.energy_j),
            "emissions_g": _plain(plan.worth.grams(plan.spends)),
            "money": _plain(plan.worth.money(plan.spends)),
            "currency": plan.worth.currency,
        },
    }


def _spent(plan: Plan, run: PlannedRun) -> dict[str, Any]:
    return {
        "duration_s": _plain(run.spends.duration_s),
        "energy_j": _plain(run.spends.energy_j),
        "emissions_g": _plain(plan.worth.grams(run.spends)),
        "money": _plain(plan.worth.money(run.spends)),
    }


def _plain(figure: Expected | None) -> dict[str, float] | None:
    return None if figure is None else figure.plain()


def _name(plan: Plan, run: PlannedRun) -> str:
    seeds = sum(other.job.name == run.job.name for other in plan.runs)
    return f"{run.job.name} (seed {run.job.seed})" if seeds > 1 else run.job.name


def _shown(figure: Expected | None, unit: float, digits: int | None = None) -> str:
    """A figure with its range, of so many decimals, or of two significant digits."""
    if figure is None:
        return UNKNOWN
    likely, low, high = (
        f"{each / unit:,.{digits}f}" if digits is not None else f"{each / unit:.2g}"
        for each in (figure.likely, figure.low, figure.high)
    )
    return likely if low == high else f"{likely} [{low}, {high}]"
