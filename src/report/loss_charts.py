"""Charts of training: the loss over steps, and over the energy that those steps took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..compare.curves import Curve, curves_of
from ..compare.layout import Table
from ..compare.seeds import Row
from ..compare.training import trainings
from ..compare.wording import number
from ..measure.carbon import J_PER_WH
from .chart import Chart, altair, by_run, finished, values
from .colours import Colours

HEIGHT = 300
MOST_POINTS = 300
"""Points of a line; of more, every second (third, ...) is drawn."""


def loss_charts(name: str, rows: Sequence[Row], colours: Colours) -> list[Chart]:
    """Two charts: over optimizer steps, and over Wh; none where nothing was trained, and only the
    first where the energy of training was not metered."""
    curves = _curves(rows)
    if not curves:
        return []
    charts = [
        _chart(f"{name}-steps", "Loss over training steps", "optimizer steps", curves, "step",
               colours)
    ]  # fmt: skip
    if any(curve.joules for _, curve in curves):
        charts.append(
            _chart(f"{name}-energy", "Loss over the energy of preparing",
                   "Wh that preparing the run took so far", curves, "wh", colours)
        )  # fmt: skip
    return charts


def _curves(rows: Sequence[Row]) -> list[tuple[str, Curve]]:
    """Each training with the label of its row; one that several runs share stands once."""
    found: dict[tuple[str, ...], tuple[str, Curve]] = {}
    for row in rows:
        for record in row.records:
            keys = dict.fromkeys(stage.key for stage in trainings(record))
            for key, curve in zip(keys, curves_of([record]), strict=True):
                seed = f" (seed {record.seed})" if len(row.records) > 1 else ""
                found.setdefault((key,), (row.label, curve._replace(label=curve.label + seed)))
    return list(found.values())


def _chart(
    name: str, title: str, x_title: str, curves: Sequence[tuple[str, Curve]], over: str,
    colours: Colours,
) -> Chart:  # fmt: skip
    alt = altair()
    if over == "wh":
        curves = [(run, curve) for run, curve in curves if curve.joules]
    labels = list(dict.fromkeys(run for run, _ in curves))
    training = [row for run, curve in curves for row in _rows(run, curve, curve.losses, over)]
    checked = [row for run, curve in curves for row in _rows(run, curve, curve.validation, over)]
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(tickCount=6))
    y = alt.Y("loss:Q", title="loss, nats a token")
    both = by_run(labels, colours)
    layers = [
        alt.Chart(values(training))
        .mark_line(strokeWidth=1, opacity=0.55)
        .encode(x=x, y=y, color=both["color"], detail="curve:N"),
        alt.Chart(values(checked))
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=both["color"], detail="curve:N"),
        alt.Chart(values(checked))
        .mark_point(filled=True, size=70, opacity=1)
        .encode(x=x, y=y, **both,
                tooltip=[alt.Tooltip("curve:N"), alt.Tooltip("loss:Q", format=".3f")]),
    ]  # fmt: skip
    ends = [(curve.label, _end(curve.losses), _end(curve.validation)) for _, curve in curves]
    told = "; ".join(f"{label} ends at {last}" for label, last, _ in ends)
    return Chart(
        name,
        title,
        "Thin lines: training loss. Thick lines and marks: validation loss. Losses of other data, "
        "prompts or vocabularies do not compare.",
        f"Line chart of training and validation loss over {x_title}: {told}.",
        Table(title, ("training", "last training loss", "last validation loss"), tuple(ends)),
        finished(alt.layer(*layers), colours, height=HEIGHT),
    )


def _rows(
    run: str, curve: Curve, points: Sequence[tuple[float, float]], over: str
) -> list[dict[str, Any]]:
    import numpy as np

    every = -(-len(points) // MOST_POINTS) if points else 1
    thinned = list(points[::every])
    if points and thinned[-1] != points[-1]:
        thinned.append(points[-1])
    places = [step for step, _ in thinned]
    if over == "wh":
        steps, joules = zip(*curve.joules, strict=True)
        places = (np.interp(places, steps, joules) / J_PER_WH).tolist()
    return [
        {"run": run, "curve": curve.label, "x": place, "loss": loss}
        for place, (_, loss) in zip(places, thinned, strict=True)
    ]


def _end(points: Sequence[tuple[float, float]]) -> str:
    return number(points[-1][1]) if points else "–"
