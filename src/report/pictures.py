"""The charts of a report as files: PNG for slides, SVG for papers; on white paper."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .chart import altair
from .contents import Report

SCALE = 2.0
"""Dots of a PNG for each of the chart."""


def pictures(report: Report) -> Iterator[tuple[str, bytes]]:
    """File names and contents, a PNG and an SVG a chart; `CannotRun` where the plotting library is
    missing."""
    altair()
    import vl_convert

    for part in report.parts:
        for chart in report.charts(part, "file"):
            spec = json.dumps(chart.spec)
            yield f"{chart.name}.png", vl_convert.vegalite_to_png(spec, scale=SCALE)
            yield f"{chart.name}.svg", vl_convert.vegalite_to_svg(spec).encode("utf-8")
