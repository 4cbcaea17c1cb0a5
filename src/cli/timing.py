"""The verbs about time: when and where to run, and what a year of use will come to."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .options import refuse
from .running import Overrides, Quick, RunsFolder
from .usage_options import Boundary, CachedShare, IdleHours, Refresh, RefreshAt, ServedAs, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ..compare.layout import Table
    from ..compare.projection import Year
    from ..greenest import Outlook, When
    from ..recipe import Recipe


class WhenFormat(enum.StrEnum):
    """How a choice of start and place is printed."""

    table = "table"
    json = "json"


class YearFormat(enum.StrEnum):
    """How a projection is printed."""

    table = "table"
    csv = "csv"
    json = "json"


def when(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a shipped one: lora")],
    overrides: Overrides = None,
    within: Annotated[str, typer.Option(help="Start within so long from now.")] = "24h",
    duration: Annotated[
        str | None, typer.Option(help="How long it takes; default: as recorded, else as planned.")
    ] = None,
    energy_wh: Annotated[
        float | None, typer.Option(min=0, help="What it takes in Wh; default: likewise.")
    ] = None,
    places: Annotated[
        str | None, typer.Option(help="Places to choose from, of --grid: FRA,DEU,GBR")
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="YAML: the grid of each place, as in a recipe.")
    ] = None,
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    format: Annotated[WhenFormat, typer.Option("--format")] = WhenFormat.table,
) -> None:
    """Find the start, and the place, with the least carbon from a forecast of the grid.

    Examples: wattune when lora.yaml --within 24h --duration 40min ;
    wattune when lora.yaml --grid grids.yaml --places FRA,GBR --format json
    """
    import json
    from datetime import UTC, datetime, timedelta

    from ..durations import seconds_of
    from ..greenest import expected, greenest, places_of
    from ..measure.carbon import J_PER_WH
    from ..recipe_file import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    loaded = loaded.quicker() if quick else loaded
    work = expected(
        loaded,
        runs / loaded.name,
        None if duration is None else seconds_of(duration),
        None if energy_wh is None else energy_wh * J_PER_WH,
        None if duration is not None else by_plan(runs, allow_overlap=False),
    )
    names = [name.strip() for name in places.split(",")] if places else []
    now = datetime.now(UTC)
    found = greenest(
        places_of(loaded.settings, grid, names),
        work,
        now,
        now + timedelta(seconds=seconds_of(within)),
        loaded.settings.accounting.pue or 1.0,
    )
    if format is WhenFormat.json:
        typer.echo(json.dumps(found.plain(), indent=2))
        return
    from ..compare.render import show_tables

    typer.echo(_advice(found))
    show_tables([_starts(found)])
    for line in _grounds(found):
        typer.echo(line)


def by_plan(
    runs: Path, *, allow_overlap: bool, say: Callable[[str], None] = lambda line: None
) -> Callable[[Recipe], tuple[float | None, float | None]]:
    """What asks a plan for the likely seconds and joules of a recipe, None where it does not know;
    its first plan on a machine calibrates that."""

    def likely(recipe: Recipe) -> tuple[float | None, float | None]:
        from .planning import planned

        made = planned(recipe, runs, None, allow_overlap, say)
        seconds, joules = made.duration_s, made.energy_j
        return (
            None if seconds is None else seconds.likely,
            None if joules is None else joules.likely,
        )

    return likely


def _advice(found: When) -> str:
    """What to do, in words."""
    from ..greenest import clock

    several = len(found.outlooks) > 1
    where = f" in {found.chosen.place}" if several else ""
    if found.best.start <= found.asked_at and found.chosen is found.outlooks[0]:
        later = (
            f" until {clock(min(ends))}, where the forecast ends," if (ends := _ends(found)) else ""
        )
        unknown = any(each.reason for each in found.outlooks)
        place = f" and no other place{' that has a forecast' * unknown}" * several
        return f"Start now{where}: no later start{later}{place} emits less."
    start = f"Start at {clock(found.best.start)}{where}"
    if found.saved_percent is None:
        return f"{start}; what that saves is not known: no forecast for a start now."
    grams = "" if found.saved_g is None else f"{found.saved_g:.3g} g, "
    here = f" in {found.outlooks[0].place}" * several
    return f"{start}: saves {grams}{found.saved_percent:.0f} % against now{here}."


def _ends(found: When) -> list[datetime]:
    """The last starts that forecasts tell of, of those that do not reach as far as was asked."""
    return [each.until for each in found.outlooks if each.until is not None]


def _starts(found: When) -> Table:
    from ..compare.figures import STAR
    from ..compare.layout import Table

    rows: list[tuple[str, ...]] = []
    for each in found.outlooks:
        rows.append((each.place, "now", *_row(found, each, best=False)))
        star = STAR if each is found.chosen else ""
        rows.append((f"{star}{each.place}", "greenest", *_row(found, each, best=True)))
    headers = ("place", "start", "local time", "in", "g/kWh", "gCO₂e")
    return Table("Mean intensity over the run, by forecast", headers, tuple(rows))


def _row(found: When, outlook: Outlook, *, best: bool) -> tuple[str, ...]:
    from ..greenest import clock

    window = outlook.best if best else outlook.now
    if window is None:
        return ("–", "–", "–", "–")
    minutes = round((window.start - found.asked_at).total_seconds() / 60)
    grams = found.grams(window.g_per_kwh)
    return (
        clock(window.start),
        f"{minutes // 60} h {minutes % 60:02d} min",
        f"{window.g_per_kwh:.1f}",
        "–" if grams is None else f"{grams:#.3g}",
    )


def _grounds(found: When) -> list[str]:
    """What the choice rests on."""
    from ..greenest import clock
    from ..measure.carbon import J_PER_WH

    work = found.expected
    energy = "" if work.energy_j is None else f" and {work.energy_j / J_PER_WH:.3g} Wh"
    lines = [
        f"Expected: {work.duration_s / 60:.0f} min{energy}, {work.source}, spread evenly over the "
        f"time; a start until {clock(found.latest)}."
    ]
    if work.energy_j is None:
        lines.append("Grams need an energy: --energy-wh, or records of this recipe.")
    for each in found.outlooks:
        known = f"by {each.source}" if each.source else f"not known: {each.reason}"
        known += f", for starts until {clock(each.until)} only" if each.until else ""
        lines.append(f"{each.place}: {known}{', marginal' if each.kind == 'marginal' else ''}.")
    if len(found.outlooks) > 1:
        lines.append("The same energy is taken in all places; moving data there is not counted.")
    return lines


def forecast(
    context: typer.Context,
    runs: Annotated[list[Path], typer.Argument(help="Folders of records, or records.")],
    answers_per_day: Annotated[float, typer.Option(min=0, help="Answers a day, at first.")],
    growth: Annotated[str, typer.Option(help="Of the answers: 5%/month, 30%/year")] = "0%/month",
    refresh: Refresh = None,
    months: Annotated[int, typer.Option(min=1, max=120)] = 12,
    place: Annotated[
        str | None, typer.Option(help="Country or region; default: as the records say.")
    ] = None,
    boundary: Annotated[
        Boundary | None, typer.Option(help="Whose machine it is; default: as recorded.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only the run of this name.")] = None,
    refresh_costs: RefreshAt = None,
    serving: ServedAs = None,
    cached_share: CachedShare = None,
    idle_hours: IdleHours = None,
    format: Annotated[YearFormat, typer.Option("--format")] = YearFormat.table,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="By its ending: .csv, .json, .png or .svg."),
    ] = None,
) -> None:
    """Project training, refreshes and answers by month, with growth, in energy and by scope.

    Examples: wattune forecast runs/quickstart --answers-per-day 10000 --growth 5%/month ;
    wattune forecast runs/quickstart --answers-per-day 500 --refresh weekly -o year.png
    """
    from ..compare.plot import KINDS
    from ..compare.projection import growth_of, project
    from ..compare.projection_plot import draw_year
    from ..files import write_bytes, write_text
    from ..measure.store import load_records

    if output is not None:
        refuse(context, "with -o, whose ending says the format", "format")
    endings = {*(f".{kind}" for kind in ("csv", "json")), *KINDS}
    if output is not None and output.suffix not in endings:
        raise InputError(f"{output}: the ending says the format; {', '.join(sorted(endings))}")
    records = [record for path in runs for record in load_records(path)]
    if run is not None:
        names = sorted({record.name for record in records})
        records = [record for record in records if record.name == run]
        if not records:
            raise InputError(f'no record of a run "{run}"; there are: {", ".join(names) or "none"}')
    usage = usage_of(
        answers_per_day,
        refresh=refresh,
        refresh_costs=refresh_costs,
        serving=serving,
        cached_share=cached_share,
        idle_hours=idle_hours,
    )
    assert usage is not None  # the answers a day are given
    year = project(
        records,
        usage,
        months=months,
        growth_per_month=growth_of(growth),
        place=place,
        boundary=boundary.value if boundary else None,
    )
    if output is not None:
        if output.suffix in KINDS:
            write_bytes(output, draw_year(year, KINDS[output.suffix]))
        else:
            write_text(output, _text(year, YearFormat(output.suffix[1:])))
        typer.echo(f"wrote {output}")
    elif format is YearFormat.table:
        from ..compare.render import show_tables

        show_tables(year.tables())
        for note in year.notes():
            typer.echo(note)
    else:
        typer.echo(_text(year, format), nl=False)


def _text(year: Year, format: YearFormat) -> str:
    import json

    from ..files import csv_text

    rows = year.plain()
    if format is YearFormat.json:
        return json.dumps(rows, indent=2) + "\n"
    return csv_text(rows[0], rows)
