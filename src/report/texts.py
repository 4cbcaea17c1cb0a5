"""A report as text: Markdown for people, CSV and JSON for other tools."""

from __future__ import annotations

import json
from typing import Any

from ..compare.figures import quality_columns
from ..compare.render import markdown_tables
from ..compare.table import plain_rows
from ..files import csv_text
from .contents import Part, Report
from .method import method_tables
from .page import title_of
from .volumes import Stop, told

FIELDS = ("group", "run", "standing", "metric", "quality", "quality_low", "quality_high",
          "answers", "total_wh", "total_wh_low", "total_wh_high", "taken")  # fmt: skip


def to_markdown(report: Report) -> str:
    """The recommendation, where it turns, the tables, and the method."""
    lines = [f"# {title_of(report)}: which way to go", "", "## Recommendation", ""]
    if report.asked:
        lines += [report.advice.to_markdown()]
    for part in report.parts:
        if part.decision.group and len(report.parts) > 1:
            lines += [f"*Measured with {part.decision.group}*", ""]
        lines += [told(part.stops, report.needs), ""]
    comparison = report.comparison
    lines += ["## Results", "", comparison.to_markdown(), "## Where the figures come from", ""]
    lines += [markdown_tables(method_tables(report), [])]
    return "\n".join(lines).rstrip() + "\n"


def to_csv(report: Report) -> str:
    """One line a run and volume, full precision, units in the headers; empty where unknown."""
    rows = []
    for part in report.parts:
        for candidate in part.decision.candidates:
            quality = candidate.quality
            about = {
                "group": part.decision.group,
                "run": candidate.run,
                "standing": candidate.standing if report.asked else None,
                "metric": part.decision.metric,
                "quality": quality.value if quality else None,
                "quality_low": quality.low if quality else None,
                "quality_high": quality.high if quality else None,
            }
            rows += [{**about, **_at(stop, candidate.run)} for stop in part.stops]
    return csv_text(FIELDS, rows)


def _at(stop: Stop, run: str) -> dict[str, Any]:
    total = stop.totals.get(run)
    return {
        "answers": stop.answers,
        "total_wh": total.value if total else None,
        "total_wh_low": total.low if total else None,
        "total_wh_high": total.high if total else None,
        "taken": stop.choice == run,
    }


def to_json(report: Report) -> str:
    """All of it, null where unknown."""
    content = {
        "title": title_of(report),
        "asked": report.asked,
        "advice": json.loads(report.advice.to_json()) if report.asked else None,
        "needs": report.needs.plain(),
        "groups": [_part(report, part) for part in report.parts],
        "runs": plain_rows(report.comparison),
        "notes": report.comparison.notes(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _part(report: Report, part: Part) -> dict[str, Any]:
    return {
        "group": part.decision.group,
        "metric": quality_columns([part.decision.metric])[0].plain,
        "told": told(part.stops, report.needs),
        "volumes": [
            {
                "answers": stop.answers,
                "taken": stop.choice,
                "total_wh": {
                    run: None if total is None else total.plain()
                    for run, total in stop.totals.items()
                },
            }
            for stop in part.stops
        ],
    }
