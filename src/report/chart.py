"""A chart of a report: its specification for Vega-Lite, and what it shows in words and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from ..compare.layout import Table
from ..errors import CannotRun
from .colours import Colours

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FILE_WIDTH = 720
"""Width in dots of a chart in a file; on the page it is as wide as there is room."""

LEGEND_CHARACTERS = 60
"""Of a line of a legend: what a phone has room for, and a little."""


@dataclass(frozen=True)
class Chart:
    """`description` is what a person is told who cannot see it, `table` holds its figures.
    `name` is that of its file, unique in a report."""

    name: str
    title: str
    caption: str
    description: str
    table: Table
    spec: dict[str, Any]

    def _repr_png_(self) -> bytes:
        """The chart in a notebook, as it would be in a file."""
        import json

        altair()
        import vl_convert

        return vl_convert.vegalite_to_png(json.dumps(self.spec))


def altair() -> Any:
    """The plotting library; `CannotRun` where it, or what draws its charts, is missing."""
    try:
        import altair
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise CannotRun(
            "the charts of a report need altair and vl-convert-python, which are not installed: "
            "pip install 'wattune[report]'"
        ) from error
    return altair


def finished(layers: Any, colours: Colours, *, height: int) -> dict[str, Any]:
    """A chart's specification, with size and the look that all charts share.

    Text and axes take the page's own colour. Marks have no labels of their own for screen readers:
    the chart has a description, and its figures stand in a table.
    """
    paper = colours.theme == "page"
    width: str | int = "container" if paper else FILE_WIDTH
    sized = layers.properties(
        width=width,
        height=height,
    )
    text = {"labelColor": colours.ink, "titleColor": colours.ink}
    axis = {
        **text, "domainColor": colours.ink, "tickColor": colours.ink, "gridColor": colours.ink,
        "gridOpacity": 0.14, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "domainOpacity": 0.5, "tickOpacity": 0.5, "aria": False,
    }  # fmt: skip
    legend = {
        **text, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "orient": "top", "labelLimit": 220, "symbolSize": 90, "symbolOpacity": 1,
        "aria": False,
    }  # fmt: skip
    spec: dict[str, Any] = sized.configure(
        font=FONT,
        background="transparent" if paper else colours.paper,
        axis=axis,
        legend=legend,
        view={"stroke": None},
        mark={"aria": False, "tooltip": None},
        text={"fill": colours.ink, "fontSize": 12},
    ).to_dict()
    return spec


def values(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a chart's data, whatever their number."""
    return altair().Data(values=[dict(row) for row in rows])


def by_run(labels: Sequence[str], colours: Colours, *, legend: bool = True) -> dict[str, Any]:
    """The encodings `color` and `shape` of a run, with one legend for both. All layers of a chart
    need the same `legend`: Vega-Lite makes one of their legends."""
    alt = altair()
    longest = max(map(len, labels), default=0)
    columns = max(2, min(5, LEGEND_CHARACTERS // (longest + 3)))
    shown = alt.Legend(title=None, columns=columns) if legend else None
    colour = alt.Scale(domain=list(labels), range=colours.range(labels))
    shape = alt.Scale(domain=list(labels), range=colours.marks(labels))
    return {
        "color": alt.Color("run:N", scale=colour, legend=shown),
        "shape": alt.Shape("run:N", scale=shape, legend=shown),
    }


def powers_of_ten(figures: Sequence[float]) -> list[float]:
    """The ticks of a logarithmic axis over these figures, all above 0."""
    first, last = floor(log10(min(figures))), ceil(log10(max(figures)))
    return [10.0**power for power in range(first, last + 1)]


def scale_of(figures: Sequence[float], *, log_above: float = 10.0, padding: int = 0) -> Any:
    """A logarithmic scale where the largest figure is far above the least, else a linear one."""
    alt = altair()
    if figures and 0 < log_above * min(figures) < max(figures):
        return alt.Scale(type="log", nice=False, padding=padding)
    return alt.Scale(type="linear", nice=False, zero=False, padding=padding)
