"""A projection drawn: a panel a run, a bar a month, its parts stacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..errors import CannotRun
from ..measure.carbon import J_PER_WH, emissions_g
from .plot import blank_figure, picture
from .projection import WORDS, Month, Projection

if TYPE_CHECKING:
    from .projection import Year

PANEL_INCHES = (8.0, 3.0)
COLOURS = {"training": "C0", "refreshes": "C4", "answers": "C1", "idle": "0.7", "making": "C2"}


def draw_year(year: Year, kind: Literal["png", "svg"]) -> bytes:
    """The picture as a file's content: grams of CO2e where all runs have a grid, else kWh.

    Raises `CannotRun` where matplotlib is missing, or no run has all its figures.
    """
    known = [each for each in year.projections if all(m.total_j is not None for m in each.months)]
    if not known:
        raise CannotRun("no run has all the figures that a month is made of")
    grams = all(each.carbon is not None for each in known)
    width, height = PANEL_INCHES
    figure = blank_figure(width, max(4.0, height * len(known)))
    axes = figure.subplots(len(known), sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, each in zip(axes, known, strict=True):
        _panel(ax, each, grams=grams)
    handles: dict[str, Any] = {}
    for ax in axes:
        bars, words = ax.get_legend_handles_labels()
        handles |= dict(zip(words, bars, strict=True))
    axes[0].legend(handles.values(), handles.keys(), fontsize=8, ncols=len(handles))
    axes[-1].set_xlabel("month")
    records = year.comparison.done
    task = records[0].task.get("name", "task")
    figure.suptitle(
        f"{task}: {year.usage.answers_per_day:,.0f} answers a day, growing by "
        f"{100 * year.growth_per_month:.3g} % a month",
        fontsize=10,
        parse_math=False,
    )
    return picture(figure, kind)


def _panel(ax: Any, projection: Projection, *, grams: bool) -> None:
    months = projection.months
    numbers = [month.number for month in months]
    below = [0.0] * len(months)
    for part in (*WORDS, "making"):
        heights = [_height(projection, month, part, grams=grams) for month in months]
        if any(heights):
            word = WORDS.get(part, part)
            ax.bar(numbers, heights, bottom=below, color=COLOURS[word], label=word, width=0.8)
            below = [low + high for low, high in zip(below, heights, strict=True)]
    ax.set_xticks(numbers[:: max(1, len(numbers) // 12)])
    ax.set_ylabel("g CO₂e" if grams else "kWh")
    ax.set_title(projection.label, fontsize=9, loc="left", parse_math=False)
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)


def _height(projection: Projection, month: Month, part: str, *, grams: bool) -> float:
    if part == "making":
        return (month.footprint.embodied_g or 0.0) if grams else 0.0
    joules = month.parts_j[part] or 0.0
    if not grams:
        return joules / J_PER_WH / 1000
    return emissions_g(joules, projection.carbon) or 0.0
