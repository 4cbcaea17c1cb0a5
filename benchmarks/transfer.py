"""Do decisions transfer? Which runs keep their order at another size of model and in another batch,
and how far a projection is from what is then measured.

    python benchmarks/transfer.py [--runs FOLDER] [--seconds 10] [--processor] [limit.questions=40]

Runs zero-shot, few-shot, rag and lora with the packaged model and with some of its layers dropped,
each with all questions at once and one at a time, in one session. Prints which pairs of runs turn
in joules an answer, and three projections beside what was measured: from the whole model to the
small one by the number of parameters, and both from counted work alone by a calibration of this
machine, as if they had been measured elsewhere. Other hardware is not in it: that takes two
machines, and `wattune compare HERE THERE --by hardware`. Give a fresh WATTUNE_CACHE with the models
in it, and an otherwise idle machine. Where others use it and joules are modelled by the machine's
load and time, `--processor` counts processor seconds of this process in place of joules.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from wattune.compare.layout import Table
from wattune.compare.order import order
from wattune.compare.render import show_tables
from wattune.compare.transfer import project
from wattune.measure.calibration import Calibration
from wattune.measure.predicted import Expected
from wattune.measure.record import Record
from wattune.models.facts import facts_here
from wattune.planning import calibrate
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe
from wattune.stages import StageStore
from wattune.system import StageRef

SMALL = "-small"
WAYS = {"answer": "all at once", "realtime": "one at a time"}
"""The two ways of answering, by the names of their phases."""


def main() -> None:
    options = argparse.ArgumentParser(description="Do decisions transfer?")
    options.add_argument("--runs", type=Path, help="where the records are kept")
    options.add_argument("--seconds", type=float, default=10.0, help="how long to calibrate")
    options.add_argument("--processor", action="store_true", help="processor seconds, not joules")
    options.add_argument("overrides", nargs="*", help="limit.questions=24")
    asked = options.parse_args()
    recipe = load_recipe(str(Path(__file__).with_suffix(".yaml")), asked.overrides)
    model = recipe.settings.model
    assert isinstance(model, str)
    calibration = calibrate(model, seconds=asked.seconds)
    with tempfile.TemporaryDirectory() as scratch:
        records = run_recipe(recipe, asked.runs or Path(scratch), say=say)
    for record in records:
        if record.status != "done":
            say(f"{record.name}: {record.reason}")
    measure = Measure("s" if asked.processor else "J")
    done = [record for record in records if record.status == "done"]
    report(done, calibration, facts_here(model).parameters or 0, measure)


@dataclass(frozen=True)
class Measure:
    """What an answer takes: in joules, or in processor seconds of this process."""

    unit: Literal["J", "s"]

    def of(self, record: Record, phase: str) -> float:
        """One answer of a phase."""
        found = record.phases[phase]
        count = record.answers if phase == "answer" else asked_alone(record)
        took = found.energy_j if self.unit == "J" else found.utilisation.cpu_s
        assert took is not None
        return took / count

    def projected(self, record: Record, moved: Record, phase: str) -> Expected:
        """What scaling a phase comes to: of what was measured, in this unit."""
        assert moved.projected is not None
        said, was = moved.projected.figures, moved.projected.measured
        name = f"{phase}_{self.unit.lower()}"
        return said[name].times(self.of(record, phase) / was[name])

    def counted(self, moved: Record) -> Expected:
        """What counted work alone comes to, all at once."""
        assert moved.projected is not None
        return moved.projected.figures[f"answer_{self.unit.lower()}"]


def asked_alone(record: Record) -> int:
    """How many questions were asked one at a time."""
    assert record.realtime is not None
    assert record.realtime.questions is not None
    return record.realtime.questions


def report(
    records: Sequence[Record], calibration: Calibration, parameters: int, measure: Measure
) -> None:
    """Print the figures, which pairs turn, and the projections."""
    small = {r.name.removesuffix(SMALL): r for r in records if r.name.endswith(SMALL)}
    large = [record for record in records if record.name in small]
    least = [small[record.name] for record in large]
    size = parameters_of(least[0])
    cases = {
        f"{of_size}, {way}": [measure.of(record, phase) for record in group]
        for of_size, group in (("large", large), ("small", least))
        for phase, way in WAYS.items()
    }
    names = [record.name for record in large]
    show_tables([figures(large, least, cases, measure.unit), orders(names, cases)])
    say(f"large: {parameters / 1e6:.1f} million parameters, small: {size / 1e6:.1f} million")
    by_size = [
        (f"{one.name}, {way}", measure.projected(one, moved, phase),
         measure.of(small[one.name], phase))
        for one, moved in zip(large, project(large, parameters=size)[0], strict=True)
        for phase, way in WAYS.items()
    ]  # fmt: skip
    show_tables(
        [
            off(f"{measure.unit} an answer, from large to small by the parameters", by_size),
            *(
                off(f"{measure.unit} an answer, {name}, from counted work alone",
                    counted(group, calibration, measure))
                for name, group in (("large", large), ("small", least))
            ),
        ]
    )  # fmt: skip


def parameters_of(record: Record) -> int:
    """Of the weights that a record's prune stage saved."""
    stage = next(one for one in record.stages if one.strategy == "prune")
    folder = StageStore().folder(StageRef(key=stage.key))
    found = facts_here(str(folder)).parameters
    assert found is not None
    return found


def figures(
    large: Sequence[Record], small: Sequence[Record], cases: dict[str, list[float]], unit: str
) -> Table:
    """What an answer of each run takes in each case, and how many tokens it has."""
    rows = tuple(
        (one.name, *(f"{each[n]:.3g}" for each in cases.values()), tokens(one), tokens(other))
        for n, (one, other) in enumerate(zip(large, small, strict=True))
    )
    heads = [case.replace(", ", "\n") for case in cases]
    return Table(f"Measured: {unit} an answer", ("run", *heads, "tokens out\nlarge", "small"), rows)


def tokens(record: Record) -> str:
    """Tokens of an answer."""
    written = record.work["answer"].tokens_out
    return "–" if written is None else f"{written / record.answers:.1f}"


def orders(names: Sequence[str], cases: dict[str, list[float]]) -> Table:
    """For each two cases that differ in one thing: Kendall's tau, and the pairs that turn."""
    rows = []
    for one, other in combinations(cases, 2):
        same = set(one.split(", ")) & set(other.split(", "))
        if len(same) == 1:
            found = order(cases[one], cases[other])
            turned = "; ".join(f"{names[a]} and {names[b]}" for a, b in found.turned)
            tau = "–" if found.tau is None else f"{found.tau:.2f}"
            changed = " to ".join(", ".join(set(case.split(", ")) - same) for case in (one, other))
            held = f"{found.pairs - len(found.turned)} of {found.pairs}"
            rows.append((f"{same.pop()}: {changed}", held, tau, turned or "none"))
    return Table(
        "Where the order of runs holds", ("from, to", "pairs that hold", "tau", "turned"),
        tuple(rows), words=True,
    )  # fmt: skip


Outcome = tuple[str, Expected, float]
"""Which answer, what was projected, what was measured."""


def counted(records: Sequence[Record], calibration: Calibration, measure: Measure) -> list[Outcome]:
    """What counted work alone says of runs beside what was measured of the same."""
    elsewhere = calibration.model_copy(
        update={"environment": {"hardware": {"cpu": "another", "cores_logical": 1}}}
    )
    moved = project(records, onto=elsewhere)[0]
    return [
        (one.name, measure.counted(other), measure.of(one, "answer"))
        for one, other in zip(records, moved, strict=True)
    ]


def off(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Each projection beside its outcome; the median ratio, and how many ranges held."""
    rows = [
        (name, f"{said.likely:.3g} [{said.low:.3g}, {said.high:.3g}]", f"{came:.3g}",
         f"{came / said.likely:.2f}", "yes" if said.covers(came) else "no")
        for name, said, came in outcomes
    ]  # fmt: skip
    ratios = [came / said.likely for _, said, came in outcomes]
    held = sum(said.covers(came) for _, said, came in outcomes)
    median = f"{statistics.median(ratios):.2f}"
    rows.append(("median", "", "", median, f"{held} of {len(rows)}"))
    heads = ("answer", "projected, 80 % range", "measured", "measured /\nprojected", "in range")
    return Table(title, heads, tuple(rows))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
