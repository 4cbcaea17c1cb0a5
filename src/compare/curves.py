"""Training curves: the loss over optimizer steps, and over what those steps have cost.

On the right it can be read what the next 0.1 nats cost, counted from where preparing the run began:
what earlier stages took stands before a later one. A colour a training; thin lines are training
losses, marks validation losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ..errors import CannotRun
from ..measure.carbon import J_PER_WH
from ..measure.record import Bill, Record, StageRecord
from .figures import energy_provenance
from .plot import MARKS, blank_figure, picture
from .training import training_name, trainings

WIDTH_INCHES, HEIGHT_INCHES = 11.0, 4.6
IN_JOULES_BELOW_WH = 0.1
"""The axis of energies is in joules where all of them are less."""

Points = list[tuple[float, float]]


class Curve(NamedTuple):
    """One training: losses and validation losses by step, and the joules that preparing the run
    had taken by each step, in this stage and those before it; none where they are not known."""

    label: str
    losses: Points
    validation: Points
    joules: Points


def curves_of(records: Sequence[Record]) -> list[Curve]:
    """A curve for each training that the records' stages tell of; one that several runs share is
    drawn once, under the name of the first."""
    found: dict[str, Curve] = {}
    for record in records:
        own = trainings(record)
        run = f"{record.name} (seed {record.seed})" if _repeated(record, records) else record.name
        for number, stage in enumerate(own):
            losses, validation, joules = (_points(stage.details.get(name)) for name in _SERIES)
            before = _joules_before(record, stage)
            spent = [] if before is None else [(step, before + energy) for step, energy in joules]
            curve = Curve(training_name(run, own, number), losses, validation, spent)
            found.setdefault(stage.key, curve)
    return list(found.values())


_SERIES = ("losses", "validation_losses", "energy_curve")


def _joules_before(record: Record, stage: StageRecord) -> float | None:
    """What the stages before this one took; None where one of them was not metered."""
    earlier = record.stages[: record.stages.index(stage)]
    return sum((one.attributed for one in earlier), Bill()).energy_j


def _points(pairs: Any) -> Points:
    return [(float(step), float(value)) for step, value in pairs or ()]


def _repeated(record: Record, records: Sequence[Record]) -> bool:
    return len({other.seed for other in records if other.name == record.name}) > 1


def draw_curves(records: Sequence[Record], kind: Literal["png", "svg"]) -> bytes:
    """The picture of all trainings as a file's content: 1,584 x 662 dots, or SVG.

    Raises `CannotRun` where matplotlib is missing, or where nothing was trained.
    """
    curves = curves_of(records)
    if not curves:
        raise CannotRun("none of these runs trained anything, so there are no curves to draw")
    figure = blank_figure(WIDTH_INCHES, HEIGHT_INCHES)
    by_step, by_energy = figure.subplots(1, 2, sharey=True)
    most = max((joules for c in curves for _, joules in c.joules), default=0.0) / J_PER_WH
    unit, joules_a_unit = ("J", 1.0) if most < IN_JOULES_BELOW_WH else ("Wh", J_PER_WH)
    for number, curve in enumerate(curves):
        style = {"color": f"C{number % 10}"}
        mark = MARKS[number % len(MARKS)]
        _draw(by_step, curve.losses, curve.validation, style, mark, curve.label)
        if curve.joules:
            spent = [(step, joules / joules_a_unit) for step, joules in curve.joules]
            losses, validation = _over(curve.losses, spent), _over(curve.validation, spent)
            _draw(by_energy, losses, validation, style, mark, curve.label)
    by_step.set_xlabel("optimizer steps")
    by_step.set_ylabel("loss, nats a token (line: training, marks: validation)")
    by_energy.set_xlabel(f"{unit} that preparing the run took so far")
    for ax in (by_step, by_energy):
        ax.grid(alpha=0.25)
        ax.set_xlim(left=0)
    if not any(curve.joules for curve in curves):
        by_energy.text(
            0.5, 0.5, "energy was not metered", ha="center", transform=by_energy.transAxes
        )
    handles, labels = by_step.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(curves), 5), fontsize=8
    )
    figure.suptitle(_title(records), fontsize=10, parse_math=False)
    return picture(figure, kind)


def _draw(
    ax: Any, losses: Points, validation: Points, style: dict[str, Any], mark: str, label: str
) -> None:
    if losses:
        # Where nothing was validated there are no marks to carry the name.
        named = {} if validation else {"label": label}
        dot = {"marker": "."} if len(losses) == 1 else {}  # a line of one point is not seen
        ax.plot(*zip(*losses, strict=True), linewidth=0.8, alpha=0.6, **dot, **style, **named)
    if validation:
        ax.plot(
            *zip(*validation, strict=True), marker=mark, markersize=5, linewidth=1.6, label=label,
            **style,
        )  # fmt: skip


def _over(points: Points, spent: Points) -> Points:
    """The points over the energy spent by their steps, between two readings in proportion."""
    import numpy as np

    steps, energies = zip(*spent, strict=True)
    return [(float(np.interp(step, steps, energies)), value) for step, value in points]


def _title(records: Sequence[Record]) -> str:
    tasks = ", ".join(dict.fromkeys(str(record.task.get("name", "task")) for record in records))
    first = next(record for record in records if trainings(record))
    known = [f"{name} {how}" for name, how in sorted(energy_provenance(first).items())]
    return f"Training on {tasks}\nenergy: {', '.join(known) or 'not recorded'}"
