"""Quality against energy, drawn: a panel a group, a colour a run, the frontier as a step line.

By matplotlib's own objects, without pyplot: nothing global is touched and no window opens.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CannotRun
from ..measure.record import Record
from .figures import energy_provenance, quality_columns
from .frontier import Front, TradeOff, fronts, parted

if TYPE_CHECKING:
    from .table import Comparison

KINDS: dict[str, Literal["png", "svg"]] = {".png": "png", ".svg": "svg"}
"""What can be drawn, by the ending of a file."""
PANEL_INCHES = (8.0, 5.0)
DOTS_PER_INCH = 144
LOG_ABOVE = 10
"""Times the least energy, from which on the axis of energies is logarithmic."""
MOST_NOTED = 12
"""Points with their settings beside them; of more, only those on the frontier have theirs."""
MARKS = "osD^v<>P*X"


def draw(comparison: Comparison, kind: Literal["png", "svg"]) -> bytes:
    """The picture as a file's content: 1,152 x 720 dots a panel, or SVG with its text as text.

    Raises `CannotRun` where matplotlib is missing, or no point has both quality and energy.
    """
    panels = [
        (front, drawn)
        for front in fronts(comparison)
        if (drawn := [p for p in front.points if None not in (p.quality, p.wh)])
    ]
    if not panels:
        raise CannotRun("no point has both a quality and an energy")
    width, height = PANEL_INCHES
    figure = blank_figure(width, height * len(panels))
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for ax, (front, drawn) in zip(axes, panels, strict=True):
        _panel(ax, front, drawn)
    return picture(figure, kind)


def blank_figure(width: float, height: float) -> Any:
    """A matplotlib figure of so many inches; `CannotRun` where matplotlib is missing."""
    try:
        import matplotlib.figure
    except ImportError as error:
        raise CannotRun(
            "plots need matplotlib, which is not installed: pip install 'wattune[plot]'"
        ) from error
    return matplotlib.figure.Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained"
    )


def picture(figure: Any, kind: Literal["png", "svg"]) -> bytes:
    """A figure as a file's content. Text stays text, and equal content gives an equal file."""
    import matplotlib

    content = io.BytesIO()
    # Both settings are undone on leaving.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wattune"}):
        figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


def _panel(ax: Any, front: Front, points: Sequence[TradeOff]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    runs = list(dict.fromkeys(parted(point.row.records[0].name)[0] for point in points))
    for number, run in enumerate(runs):
        own = [p for p in points if parted(p.row.records[0].name)[0] == run]
        colour = f"C{number % 10}"
        ax.errorbar(
            [p.wh for p in own], [p.quality for p in own],
            yerr=list(zip(*[_bars(p) for p in own], strict=True)),
            fmt=MARKS[number % len(MARKS)], color=colour, ecolor=(colour, 0.4),
            label=run, markersize=5, capsize=2, elinewidth=0.8,
        )  # fmt: skip
    best = [p for p in points if p.on_frontier]
    if best:
        ax.plot(
            [p.wh for p in best], [p.quality for p in best], drawstyle="steps-post",
            color="0.3", linewidth=1.2, label="frontier",
        )  # fmt: skip
    energies = [p.wh for p in points if p.wh is not None]
    for point in points if len(points) <= MOST_NOTED else best:
        run, settings = parted(point.row.records[0].name)
        last = point.wh == max(energies)  # its words stand to the left, within the frame
        ax.annotate(
            settings.replace(",", "\n") or run, (point.wh, point.quality),
            xytext=(-5 if last else 5, 3), textcoords="offset points", fontsize=6.5,
            ha="right" if last else "left", linespacing=1.0,
            fontweight="bold" if point.on_frontier else "normal", parse_math=False,
        )  # fmt: skip
    if 0 < LOG_ABOVE * min(energies) < max(energies):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(front.cost)
    ax.set_ylabel(f"{quality_columns([front.metric])[0].plain}, 95 % intervals")
    ax.set_title(_title(front, points), fontsize=10, parse_math=False)
    ax.margins(x=0.12, y=0.1)
    if all(not point.quality and not any(_bars(point)) for point in points):
        ax.set_ylim(-0.05, 1)  # all 0.00: left alone it would show a ten-thousandth as a hill
    ax.grid(alpha=0.25)
    ax.legend(fontsize=8)


def _bars(point: TradeOff) -> tuple[float, float]:
    """How far the interval reaches below and above the mean; nothing where it is not known."""
    if point.score is None or point.quality is None:
        return 0.0, 0.0
    # A bootstrap's interval may, by rounding, end a hair inside of the mean.
    below, above = point.quality - point.score.low, point.score.high - point.quality
    return max(0.0, below), max(0.0, above)


def _title(front: Front, points: Sequence[TradeOff]) -> str:
    """Group, task, model, questions; how the energy is known; why there is no frontier."""
    records = [record for point in points for record in point.row.records]
    task = records[0].task
    about = f"{task.get('questions', '?')} {task.get('split', '')} questions"
    models = ", ".join(dict.fromkeys(map(_model, records)))
    known = [f"{name} {how}" for name, how in sorted(energy_provenance(records[0]).items())]
    lines = [
        f"{task.get('name', 'task')}, {models}, {about}",
        f"energy: {', '.join(known) or 'not recorded'}",
    ]
    if all(point.on_frontier is None for point in points):
        lines.append("other programs kept the machine busy: no frontier")
    return "\n".join([f"group {front.name}", *lines] if front.name else lines)


def _model(record: Record) -> str:
    if record.system.get("kind") == "classical":
        return "a classifier"
    of = record.system.get("model") or record.system.get("endpoint") or {}
    name = str(of.get("name") or of.get("model") or "a model")
    return PurePath(name).name.partition("@")[0]
