"""The page: one HTML file that needs nothing else and lets nothing else in.

Every text of a record is escaped by the template. The page's policy allows only the two scripts and
the one style that stand in it, by their hashes: no network, no inline handlers, no eval, so Vega
runs its expressions by its interpreter.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ..advice.text import sections, table_of
from ..compare.figures import STAR, quality_columns
from ..compare.wording import number
from .chart import altair
from .colours import DARK, DARK_INK, DARK_PAPER, LIGHT, LIGHT_INK, LIGHT_PAPER
from .contents import Part, Report
from .method import method_tables
from .volumes import shown_of, told

TEMPLATES = Path(__file__).parent / "templates"
OPEN = ("Quality", "Cost", "Serving")
"""Beginnings of the titles of the tables that stand open on the page."""


def to_html(report: Report) -> str:
    """The report as one page; `CannotRun` where the plotting library is missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    altair()
    library = _library()
    style = _text("page.css").replace("/* colours */", _colours())
    script = _text("page.js")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    parts = [_part(report, part) for part in report.parts]
    tables = report.comparison.tables()
    return environment.get_template("page.html").render(
        policy=_policy([library, script], [style]),
        # Our own files, and JSON that is made safe: all else is escaped.
        style=Markup(style),
        script=Markup(script),
        library=Markup(library),
        data=Markup(embedded({"charts": _specs(parts), "stops": _stops(report)})),
        report=report,
        title=title_of(report),
        parts=parts,
        open_tables=[t for t in tables if t.title.startswith(OPEN)],
        more_tables=[t for t in tables if not t.title.startswith(OPEN)],
        notes=report.comparison.notes(),
        method=method_tables(report),
        numbers=report.numbers,
        star=STAR,
        number=number,
    )


def _part(report: Report, part: Part) -> dict[str, Any]:
    """What the template shows of one decision."""
    decision = part.decision
    header = quality_columns([decision.metric])[0].plain
    charts = report.charts(part, "page")
    return {
        "decision": decision,
        "all_charts": charts,
        "break_even": next((c.name for c in charts if c.name.startswith("break-even")), ""),
        "needs": report.needs.sentence(header),
        "told": told(part.stops, report.needs),
        "table": table_of(decision, report.advice),
        "sections": [(name, lines) for name, lines in sections(decision) if lines],
        "stops": part.stops,
        "shown": shown_of(part.stops, report.needs.usage),
        "examples": part.examples,
        "metric": header,
    }


def _specs(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {chart.name: chart.spec for part in parts for chart in part["all_charts"]}


def _stops(report: Report) -> list[list[dict[str, Any]]]:
    return [
        [{"answers": stop.answers, "sentence": stop.sentence} for stop in part.stops]
        for part in report.parts
    ]


def title_of(report: Report) -> str:
    """What the report is about: the task, or tasks."""
    records = report.comparison.done
    return " and ".join(dict.fromkeys(str(r.task.get("name", "task")) for r in records))


def embedded(content: Any) -> str:
    """JSON that can stand in a script element: it cannot end it, nor open a comment."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed (BSD 3-Clause) as one script, as vl-convert ships them."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _colours() -> str:
    """The variables of both themes."""

    def variables(colours: tuple[str, ...], ink: str, paper: str) -> str:
        runs = "".join(f"--run-{n}:{colour};" for n, colour in enumerate(colours))
        return f"--ink:{ink};--paper:{paper};{runs}"

    light = variables(LIGHT, LIGHT_INK, LIGHT_PAPER)
    dark = variables(DARK, DARK_INK, DARK_PAPER)
    swatches = "".join(f".run-{n}{{color:var(--run-{n})}}" for n in range(len(LIGHT)))
    at_night = f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f":root{{{light}}}{at_night}{swatches}"


def _policy(scripts: list[str], styles: list[str]) -> str:
    """The Content-Security-Policy: what stands in the page, and nothing from elsewhere."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: list[str]) -> str:
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
