"""How far are plans from what runs then take? Calibrates, plans and runs, in one session.

    python benchmarks/plan.py [--seconds 10] [--runs FOLDER] [--only rag,lora]

Prints for each strategy of plan.yaml: tokens and operations given the answers' lengths (the plan is
made again with those that were written), time, energy and memory as they were planned before, each
as measured over planned; and how often the stated 80 % ranges held what came out. Answers are not
taken from the cache, nor are stages that were there before: give a fresh WATTUNE_CACHE with the
models in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from wattune.compare.layout import Table
from wattune.compare.planned import outcomes
from wattune.compare.render import show_tables
from wattune.measure.record import Record
from wattune.planning import Plan, calibrate, plan_recipe
from wattune.planning.calibration_table import calibration_notes, calibration_tables
from wattune.planning.written import lengths_of
from wattune.recipe import Recipe
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe

GIVEN = ("tokens_in", "tokens_out", "flops")
BEFORE = ("duration_s", "energy_j", "peak_memory_bytes")


class Figure(NamedTuple):
    """Something that was planned and came out: measured over planned, and whether in its range."""

    run: str
    ratio: float
    covered: bool

    @property
    def error(self) -> float:
        """How far measured is from planned, as a share of what was measured."""
        return abs(1 / self.ratio - 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=10.0, help="how long to calibrate")
    options.add_argument("--runs", type=Path, help="where the records are kept")
    options.add_argument("--only", default="", help="names of runs: rag,lora")
    options.add_argument("overrides", nargs="*", help="limit.questions=24")
    asked = options.parse_args()
    recipe = load_recipe(str(Path(__file__).with_suffix(".yaml")), asked.overrides)
    if asked.only:
        names = asked.only.split(",")
        kept = {name: steps for name, steps in recipe.runs.items() if name in names}
        recipe = recipe.model_copy(update={"runs": kept})
    with tempfile.TemporaryDirectory() as scratch:
        report(recipe, asked.runs or Path(scratch), asked.seconds)


def report(recipe: Recipe, folder: Path, seconds: float) -> None:
    """Calibrate, plan, run, and print what came of it."""
    model = recipe.settings.model
    assert isinstance(model, str)
    # As with `wattune calibrate`: what that leaves in memory is not held against the runs.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        calibration = alone.submit(calibrate, model, seconds=seconds).result()
    show_tables(calibration_tables(calibration))
    say("\n".join(calibration_notes(calibration)))
    before = plan_recipe(recipe, calibration)
    for run in before.runs:
        if run.skipped:
            say(f"{run.job.name} is not planned: {run.skipped}")
    records = [one for one in run_recipe(recipe, folder, say=say) if one.status == "done"]
    lengths = {record.name: lengths_of(folder, record) for record in records}
    given = plan_recipe(recipe, calibration, known=lengths, keep=False)
    figures = {**of_plan(given, records, GIVEN), **of_plan(before, records, BEFORE)}
    show_tables([by_strategy(records, figures), by_phase(records), summary(figures)])


def of_plan(plan: Plan, records: list[Record], names: tuple[str, ...]) -> dict[str, list[Figure]]:
    """What a plan said beside what came out."""
    said = {run.job.name: run.predicted for run in plan.runs if not run.skipped}
    found: dict[str, list[Figure]] = {name: [] for name in names}
    for record in records:
        if record.name not in said:
            continue
        told = outcomes(record.model_copy(update={"predicted": said[record.name]}))
        for name in names:
            ratio = told[name].ratio if name in told else None
            if ratio:
                found[name].append(Figure(record.name, ratio, told[name].covered))
    return found


def by_strategy(records: list[Record], figures: Mapping[str, list[Figure]]) -> Table:
    """A row a run: measured over planned, starred beyond the range."""
    cells = {(one.run, name): one for name, each in figures.items() for one in each}

    def shown(run: str, name: str) -> str:
        one = cells.get((run, name))
        if one is None:
            return "–"
        return f"{one.ratio:.2f}{'' if one.covered or name in GIVEN else '*'}"

    heads = ("run", "tokens in\n(given)", "tokens out\n(given)", "operations\n(given)", "time",
             "energy", "memory")  # fmt: skip
    rows = tuple((r.name, *(shown(r.name, name) for name in (*GIVEN, *BEFORE))) for r in records)
    return Table("Measured over planned (* beyond the stated range)", heads, rows)


def by_phase(records: list[Record]) -> Table:
    """Seconds by phase, planned and measured."""
    names = ("prepare", "load", "answer", "realtime", "general")

    def cells(record: Record) -> Iterator[str]:
        took = {"prepare": record.prepare.duration_s}
        took |= {name: phase.duration_s for name, phase in record.phases.items()}
        for name in names:
            plan = record.predicted.phases.get(name) if record.predicted else None
            said = (
                "–"
                if plan is None or plan.duration_s is None
                else (f"{plan.duration_s.likely:.1f}")
            )
            yield f"{said} / {took[name]:.1f}" if name in took else ""

    rows = tuple((record.name, *cells(record)) for record in records)
    return Table("Seconds: planned / measured", ("run", *names), rows)


def summary(figures: Mapping[str, list[Figure]]) -> Table:
    """Over all strategies: the median and the largest error, and the share of ranges that held."""
    rows = []
    for name, each in figures.items():
        if each:
            errors = [one.error for one in each]
            held = "" if name in GIVEN else f"{sum(one.covered for one in each) / len(each):.0%}"
            worst = max(each, key=lambda one: one.error)
            rows.append(
                (name, f"{statistics.median(errors):.0%}", f"{worst.error:.0%} ({worst.run})", held)
            )
    heads = ("figure", "median error", "largest error", "ranges that held")
    return Table(f"Over {max(map(len, figures.values()), default=0)} runs", heads, tuple(rows))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
