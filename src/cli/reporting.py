"""The verb that reports: one page of what was measured and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .needs_options import (
    FreeToUse,
    KeptIn,
    Licence,
    MaxCost,
    MaxEnergy,
    MaxLatency,
    MaxMemory,
    MetricName,
    Place,
    Privacy,
    Together,
    Weigh,
    WeighBy,
    needs_of,
)
from .options import NEEDS, USAGE, refuse
from .usage_options import (
    YEAR,
    AnswersPerDay,
    Boundary,
    CachedShare,
    Horizon,
    IdleHours,
    MinQuality,
    Refresh,
    RefreshAt,
    ServedAs,
    usage_of,
)

START_ANSWERS = 10_000.0
"""Answers in all where the page's slider begins if nobody said how many: nothing rests on it."""


def report(
    context: typer.Context,
    runs: Annotated[list[Path], typer.Argument(help="Folders of records, or records.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="By its ending: .html, .md, .csv or .json."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Write each chart to this folder, as PNG and SVG.")
    ] = None,
    answers_per_day: AnswersPerDay = None,
    horizon: Horizon = None,
    refresh: Refresh = None,
    refresh_costs: RefreshAt = None,
    serving: ServedAs = None,
    cached_share: CachedShare = None,
    idle_hours: IdleHours = None,
    min_quality: MinQuality = None,
    metric: MetricName = None,
    max_latency_p95: MaxLatency = None,
    max_memory: MaxMemory = None,
    max_energy_per_1000: MaxEnergy = None,
    max_cost: MaxCost = None,
    privacy: KeptIn = Privacy.any,
    licence: FreeToUse = Licence.any,
    place: Place = None,
    weigh: WeighBy = Weigh.energy,
    allow: Together = False,
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
        refuse(context, "with --inventory", *USAGE, *NEEDS, "figures", "allow")
        _inventory(runs, output, boundary)
        return
    if output is None and figures is None:
        raise InputError("say where to: -o report.html, or --figures FOLDER for the charts alone")
    refuse(context, "without --inventory", "boundary")
    from ..files import write_bytes
    from ..report import report_of, write_report
    from ..report.writing import check_ending

    if output is not None:
        check_ending(output)  # before the work, not after it

    usage = usage_of(
        _volume(answers_per_day, horizon),
        horizon=horizon,
        refresh=refresh,
        refresh_costs=refresh_costs,
        serving=serving,
        cached_share=cached_share,
        idle_hours=idle_hours,
    )
    assert usage is not None
    needs = needs_of(
        usage,
        min_quality=min_quality,
        metric=metric,
        max_latency_p95=max_latency_p95,
        max_memory=max_memory,
        max_energy_per_1000=max_energy_per_1000,
        max_cost=max_cost,
        privacy=privacy,
        licence=licence,
        place=place,
        weigh=weigh,
    )
    made = report_of(runs, needs, asked=answers_per_day is not None, allow=allow)
    if output is not None:
        write_report(made, output)
        typer.echo(f"wrote {output}")
    if figures is not None:
        from ..report.pictures import pictures

        for name, content in pictures(made):
            write_bytes(figures / name, content)
            typer.echo(f"wrote {figures / name}")


def _volume(answers_per_day: float | None, horizon: str | None) -> float:
    """Answers a day; where nobody said how many, those at which the slider begins."""
    from ..durations import DAY_S, seconds_of

    if answers_per_day is not None:
        return answers_per_day
    return START_ANSWERS * DAY_S / seconds_of(horizon or YEAR)


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
