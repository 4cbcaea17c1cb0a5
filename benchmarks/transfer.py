"""Do decisions transfer? Which runs keep their order at another size of model and in another batch,
and how far a projection is from what is then measured.

    python benchmarks/transfer.py [--runs FOLDER] [--seconds 10] [limit.questions=40]

Runs zero-shot, few-shot, rag and lora with the packaged model and with some of its layers dropped,
each with all questions at once and one at a time, in one session. Prints which pairs of runs turn
in joules an answer, and three projections beside what was measured: from the whole model to the
small one by the number of parameters, and both from counted work alone by a calibration of this
machine, as if they had been measured elsewhere. Other hardware is not in it: that takes two machines, and
`wattune compare HERE THERE --by hardware`. Give a fresh WATTUNE_CACHE with the models in it, and an
otherwise idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from wattune.compare.layout import Table
from wattune.compare.order import order
from wattune.compare.render import show_tables
from wattune.compare.transfer import project
from wattune.measure.calibration import Calibration
from wattune.measure.predicted import Expected
from wattune.measure.record import Record, StageRecord
from wattune.models.facts import facts_here
from wattune.planning import calibrate
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe
from wattune.stages import StageStore
from wattune.system import StageRef

SMALL = "-small"
FIGURES = ("answer_j", "realtime_j", "lora_j")
NAMES = {"answer_j": "J an answer, all at once", "realtime_j": "J an answer, one at a time",
         "lora_j": "J of training"}  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description="Do decisions transfer?")
    options.add_argument("--runs", type=Path, help="where the records are kept")
    options.add_argument("--seconds", type=float, default=10.0, help="how long to calibrate")
    options.add_argument("overrides", nargs="*", help="limit.questions=24")
    asked = options.parse_args()
    recipe = load_recipe(str(Path(__file__).with_suffix(".yaml")), asked.overrides)
    model = recipe.settings.model
    assert isinstance(model, str)
    calibration = calibrate(model, seconds=asked.seconds)
    with tempfile.TemporaryDirectory() as scratch:
        records = run_recipe(recipe, asked.runs or Path(scratch), say=say)
    done = [record for record in records if record.status == "done"]
    for record in records:
        if record.status != "done":
            say(f"{record.name}: {record.reason}")
    report(done, calibration, facts_here(model).parameters or 0)


def report(records: Sequence[Record], calibration: Calibration, parameters: int) -> None:
    """Print the figures, which pairs turn, and the projections."""
    large = [one for one in records if not one.name.endswith(SMALL)]
    small = {one.name.removesuffix(SMALL): one for one in records if one not in large}
    large = [one for one in large if one.name in small]
    least = [small[one.name] for one in large]
    size = parameters_of(least[0])
    cases = {
        f"{size_name}, {way}": [of(one) for one in group]
        for size_name, group in (("large", large), ("small", least))
        for way, of in (("all at once", at_once), ("one at a time", alone))
    }
    names = [one.name for one in large]
    show_tables([figures(names, cases), orders(names, cases)])
    say(f"large: {parameters / 1e6:.1f} million parameters, small: {size / 1e6:.1f} million")
    elsewhere = calibration.model_copy(
        update={"environment": {"hardware": {"cpu": "another", "cores_logical": 1}}}
    )
    by_size = paired(large, project(large, parameters=size)[0], small)
    show_tables(
        [
            off("From large to small, by the number of parameters", by_size),
            off("From counted work alone, large", against(large, elsewhere)),
            off("From counted work alone, small", against(least, elsewhere)),
        ]
    )


def parameters_of(record: Record) -> int:
    """Of the weights that a record's prune stage saved."""
    stage = next(one for one in record.stages if one.strategy == "prune")
    folder = StageStore().folder(StageRef(key=stage.key))
    found = facts_here(str(folder)).parameters
    assert found is not None
    return found


def at_once(record: Record) -> float:
    """Joules of an answer when all are given at once."""
    joules = record.phases["answer"].energy_j
    assert joules is not None
    return joules / record.answers


def alone(record: Record) -> float:
    """Joules of an answer given alone."""
    found = record.realtime.energy_j_per_answer if record.realtime else None
    assert found is not None
    return found


def figures(names: Sequence[str], cases: dict[str, list[float]]) -> Table:
    """Joules of an answer of each run in each case."""
    rows = tuple((name, *(f"{each[n]:.3g}" for each in cases.values())) for n, name in
                 enumerate(names))  # fmt: skip
    heads = [case.replace(", ", "\n") for case in cases]
    return Table("Measured: J an answer", ("run", *heads), rows)


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
        "Where the order by J an answer holds", ("from, to", "pairs that hold", "tau", "turned"),
        tuple(rows), words=True,
    )  # fmt: skip


Outcome = tuple[str, str, Expected, float]
"""Run, figure, what was projected, what was measured."""


def paired(
    large: Sequence[Record], projected: Sequence[Record], small: dict[str, Record]
) -> list[Outcome]:
    """What was projected of the large runs beside the small ones."""
    found: list[Outcome] = []
    for one, moved in zip(large, projected, strict=True):
        assert moved.projected is not None
        measured = small[one.name]
        said = dict(moved.projected.figures)
        came = {"answer_j": at_once(measured), "realtime_j": alone(measured)}
        made = trained(measured)
        if made is not None and made.attributed.energy_j is not None:
            # Beside the training, only the prompt is prepared, which is next to nothing.
            said["lora_j"], came["lora_j"] = said["prepare_j"], made.attributed.energy_j
        found += [(one.name, name, said[name], came[name]) for name in FIGURES if name in came]
    return found


def against(records: Sequence[Record], calibration: Calibration) -> list[Outcome]:
    """What counted work alone says of runs beside what was measured of the same."""
    found: list[Outcome] = []
    for one, moved in zip(records, project(records, onto=calibration)[0], strict=True):
        assert moved.projected is not None
        found.append((one.name, "answer_j", moved.projected.figures["answer_j"], at_once(one)))
    return found


def trained(record: Record) -> StageRecord | None:
    """The training of a run."""
    return next((one for one in record.stages if one.details.get("losses")), None)


def off(title: str, outcomes: Sequence[Outcome]) -> Table:
    """Each projection beside its outcome, and by figure the median and the order."""
    rows = [
        (name, NAMES[figure], f"{said.likely:.3g} [{said.low:.3g}, {said.high:.3g}]",
         f"{came:.3g}", f"{came / said.likely:.2f}", "yes" if said.covers(came) else "no")
        for name, figure, said, came in outcomes
    ]  # fmt: skip
    for figure in FIGURES:
        these = [(said, came) for _, of, said, came in outcomes if of == figure]
        if len(these) > 1:
            ratio = statistics.median(came / said.likely for said, came in these)
            held = order([said.likely for said, _ in these], [came for _, came in these])
            tau = "" if held.tau is None else f", tau {held.tau:.2f}"
            rows.append(
                ("median", NAMES[figure], "", "", f"{ratio:.2f}",
                 f"order: {len(held.turned)} of {held.pairs} turn{tau}")
            )  # fmt: skip
    heads = ("run", "figure", "projected, 80 % range", "measured", "measured /\nprojected", "held")
    return Table(title, heads, tuple(rows))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
