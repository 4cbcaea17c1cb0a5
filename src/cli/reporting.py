"""The verb that reports: one page of what was measured and what follows from it."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .advising import Licence, Privacy, Serving, Weigh, needs_of

START_ANSWERS = 10_000.0
"""Answers in all where the page's slider begins if nobody said how many: nothing rests on it."""


class Boundary(enum.StrEnum):
    """Whose machine it was, which decides the scope of its emissions."""

    owned = "owned"
    leased = "leased"
    cloud = "cloud"
    managed = "managed"


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of records, or records.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="By its ending: .html, .md, .csv or .json."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Write each chart to this folder, as PNG and SVG.")
    ] = None,
    answers_per_day: Annotated[
        float | None, typer.Option(min=0, help="How many answers people get in a day.")
    ] = None,
    horizon: Annotated[str, typer.Option(help="How long it is used: 1y, 90d.")] = "1y",
    refresh: Annotated[
        str, typer.Option(help="How often knowledge changes: weekly, monthly, 12 (a year).")
    ] = "never",
    serving: Annotated[
        Serving, typer.Option(help="Answers all at once, or one at a time.")
    ] = Serving.batch,
    cached_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of answers that a cache gives.")
    ] = 0.0,
    idle_hours: Annotated[
        float, typer.Option(min=0, max=24, help="Hours a day the machine is kept waiting.")
    ] = 0.0,
    min_quality: Annotated[
        float | None, typer.Option(help="The quality asked for, by --metric.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Which quality: token_f1; default: the task's first.")
    ] = None,
    max_latency_p95: Annotated[
        str | None, typer.Option(help="95 % of answers within: 2s, 500ms.")
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="While answering: 8GB.")] = None,
    max_energy_per_1000: Annotated[
        str | None, typer.Option(help="Of 1,000 answers: 0.5Wh.")
    ] = None,
    max_cost: Annotated[str | None, typer.Option(help="Over the horizon: 20EUR.")] = None,
    privacy: Annotated[
        Privacy, typer.Option(help="on-premises: nothing is sent to a server elsewhere.")
    ] = Privacy.any,
    licence: Annotated[
        Licence, typer.Option(help="open: weights that are free to use and to change.")
    ] = Licence.any,
    place: Annotated[
        str | None, typer.Option(help="Whose grid grams are by; default: that of the records.")
    ] = None,
    weigh: Annotated[
        Weigh, typer.Option(help="What the cheapest has least of, over the horizon.")
    ] = Weigh.energy,
    allow: Annotated[
        bool, typer.Option("--allow", help="Weigh together what was measured differently.")
    ] = False,
    inventory: Annotated[
        bool, typer.Option("--inventory", help="An auditor's sheet of all that was spent instead.")
    ] = False,
    boundary: Annotated[
        Boundary | None, typer.Option(help="Of --inventory: whose machine it was.")
    ] = None,
) -> None:
    """Write what was measured, and what follows from it, on one page that opens from disk.

    With --answers-per-day it begins with the advice for what you need (as `wattune advise`), else
    with what to take at which volume. --inventory writes CSV or Markdown for an auditor.

    Examples: wattune report runs/quickstart -o report.html ; wattune report runs/quickstart -o
    report.html --answers-per-day 100 --min-quality 0.3 --figures charts
    """
    if inventory:
        _inventory(runs, output, boundary)
        return
    if output is None and figures is None:
        raise InputError("say where to: -o report.html, or --figures FOLDER for the charts alone")
    if boundary is not None:
        raise InputError("--boundary goes with --inventory")
    from ..files import write_bytes
    from ..report import report_of, write_report
    from ..report.writing import check_ending

    if output is not None:
        check_ending(output)  # before the work, not after it

    needs = needs_of(
        answers_per_day or 0.0, horizon, refresh,
        serving.value, cached_share, idle_hours, min_quality, metric, max_latency_p95, max_memory,
        max_energy_per_1000, max_cost, privacy.value, licence.value, place, weigh.value,
    )  # fmt: skip
    if answers_per_day is None:
        start = {"answers_per_day": START_ANSWERS / needs.usage.horizon_days}
        needs = needs.model_copy(update={"usage": needs.usage.model_copy(update=start)})
    made = report_of(runs, needs, asked=answers_per_day is not None, allow=allow)
    if output is not None:
        write_report(made, output)
        typer.echo(f"wrote {output}")
    if figures is not None:
        from ..report.pictures import pictures

        for name, content in pictures(made):
            write_bytes(figures / name, content)
            typer.echo(f"wrote {figures / name}")


def _inventory(runs: list[Path], output: Path | None, boundary: Boundary | None) -> None:
    """Print the inventory of a folder as Markdown, or write it by the file's ending."""
    from ..audit.inventory import inventory
    from ..audit.sheet import csv_sheet, markdown_sheet
    from ..files import write_text

    if len(runs) != 1:
        raise InputError(f"an inventory is of one folder of runs and {len(runs)} were given")
    if output is not None and output.suffix.lower() not in (".csv", ".md"):
        raise InputError(f"{output}: an inventory is .csv or .md")
    found = inventory(runs[0], boundary.value if boundary else None)
    if output is None:
        typer.echo(markdown_sheet(found), nl=False)
        return
    csv = output.suffix.lower() == ".csv"
    write_text(output, csv_sheet(found) if csv else markdown_sheet(found))
    typer.echo(f"wrote {output}")
