"""The verb that compares: runs of a recipe, or records that lie there."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .by_model import (
    By,
    Language,
    Licence,
    MaxParameters,
    OnPremises,
    Scores,
    chosen,
    compared_by_hardware,
    compared_by_model,
)
from .frugal import Finish, Frugal, compare_frugal
from .needs_options import MetricName
from .options import USAGE, refuse
from .planning import Budgeted
from .running import (
    AllowOverlap,
    Duration,
    NoCache,
    NoProgress,
    Quick,
    RunsFolder,
    Start,
    Within,
    made,
    speaks,
)
from .transfer_options import From, On, Parameters, projected
from .usage_options import (
    AnswersPerDay,
    CachedShare,
    Horizon,
    IdleHours,
    MinQuality,
    Refresh,
    RefreshAt,
    ServedAs,
    usage_of,
)

if TYPE_CHECKING:
    from ..compare.by_hardware import ByHardware
    from ..compare.by_model import ByModel
    from ..compare.table import Comparison
    from ..compare.usage import Usage
    from ..measure.record import Record

HINT = (
    "To see which one pays back: --answers-per-day 1000 adds costs over a year, break-evens, and "
    "what would change the cheapest."
)


BY_MODEL = ("licence", "max_parameters", "language", "on_premises", "scores")
TRANSFER = ("on", "parameters", "sources")


class Format(enum.StrEnum):
    """How a comparison is printed."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def compare(
    context: typer.Context,
    what: Annotated[list[str], typer.Argument(help="A recipe and overrides, or folders/records.")],
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    start: Start = None,
    within: Within = "24h",
    duration: Duration = None,
    budget: Budgeted = None,
    allow: Annotated[
        bool,
        typer.Option("--allow", help="Rank together what does not compare; marks the tables."),
    ] = False,
    format: Annotated[
        Format | None, typer.Option("--format", help="How to print; default: a table.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write to this file, by its ending: .csv, .json or .md."
        ),
    ] = None,
    answers_per_day: AnswersPerDay = None,
    horizon: Horizon = None,
    refresh: Refresh = None,
    refresh_costs: RefreshAt = None,
    serving: ServedAs = None,
    cached_share: CachedShare = None,
    idle_hours: IdleHours = None,
    min_quality: MinQuality = None,
    by: Annotated[By, typer.Option(help="Lay it out by run, base model or hardware.")] = By.run,
    licence: Licence = None,
    max_parameters: MaxParameters = None,
    language: Language = None,
    on_premises: OnPremises = False,
    scores: Scores = None,
    on: On = None,
    parameters: Parameters = None,
    sources: From = None,
    frugal: Frugal = False,
    metric: MetricName = None,
    finish: Finish = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="DATE", help="Savings since then: 2026-11-01, or rag@2026-11-01."
        ),
    ] = None,
) -> None:
    """Run what is missing of a recipe and compare all its runs; or compare finished records.

    Examples: wattune compare quickstart --quick ; wattune compare runs/quickstart --format csv ;
    wattune compare runs/quickstart --answers-per-day 1000 --refresh weekly --min-quality 0.3 ;
    wattune compare quickstart --frugal --min-quality 0.3 ;
    wattune compare runs/sizes --by model --licence open --max-parameters 1B ;
    wattune compare runs/quickstart --on server.json ; wattune compare here there --by hardware
    """
    as_format = _format_of(output, format)
    if frugal:
        refuse(
            context, "with --frugal", *USAGE, *BY_MODEL, *TRANSFER, "by", "baseline", "start",
            "within", "duration", "budget", "allow", "output",
        )  # fmt: skip
        if as_format not in (Format.table, Format.json):
            raise InputError(f"--frugal prints a table or JSON, and no {as_format.value}")
        first, *rest = what
        compare_frugal(
            first, rest, runs, quick, allow_overlap, no_progress, no_cache, min_quality, metric,
            finish, as_format is Format.json,
        )  # fmt: skip
        return
    refuse(context, "without --frugal", "metric", "finish")
    if start is None:
        refuse(context, "without --start greenest", "within", "duration")
    if by is not By.model:
        refuse(context, "without --by model", "scores")
    if baseline is not None:
        refuse(context, "with --baseline", *USAGE[1:], "min_quality", "by")
    elif by is not By.run:
        refuse(context, f"with --by {by.value}", *USAGE, "min_quality")
    if by is By.hardware:
        refuse(context, "with --by hardware, which pairs runs by what they are", "allow")
    usage = usage_of(
        answers_per_day,
        horizon=horizon,
        refresh=refresh,
        refresh_costs=refresh_costs,
        serving=serving,
        cached_share=cached_share,
        idle_hours=idle_hours,
    )
    if min_quality is not None and usage is None:
        raise InputError("--min-quality needs --answers-per-day: it says which run may be cheapest")
    first, *rest = what
    if any(Path(path).is_dir() for path in what) or Path(first).suffix in (".json", ".jsonl"):
        if len(what) > 1 and not all(Path(path).exists() for path in what):
            raise InputError(
                "give a recipe with overrides, or folders of records, not both: " + " ".join(what)
            )
        refuse(
            context, "with finished records; it is for a recipe", "runs", "quick", "allow_overlap",
            "no_cache", "start", "within", "duration", "budget",
        )  # fmt: skip
        from ..measure.store import load_records

        records = [record for path in what for record in load_records(path)]
        records.sort(key=lambda record: record.created_at)  # as the recipe ran them
        if not records:
            raise InputError(f"{', '.join(what)}: no records there; run a recipe first")
    else:
        records = made(
            first, rest, runs, quick, allow_overlap, no_progress, no_cache, start, within, duration,
            budget,
        )  # fmt: skip
    if not speaks():
        return
    records = chosen(records, licence, max_parameters, language, on_premises)
    measured, records = records, projected(records, on, parameters, sources)
    if baseline is not None:
        from .auditing import shown_savings

        shown_savings(records, baseline, answers_per_day, as_format, output, allow)
        return
    if by is By.model:
        printed(compared_by_model(records, allow, scores), as_format, output)
    elif by is By.hardware:
        printed(compared_by_hardware(records, measured), as_format, output)
    else:
        shown(records, as_format, output, allow, usage, min_quality)
    if not any(record.status == "done" for record in records):
        raise typer.Exit(1 if any(record.status == "failed" for record in records) else 2)


def shown(
    records: list[Record],
    format: Format = Format.table,
    output: Path | None = None,
    allow: bool = False,
    usage: Usage | None = None,
    min_quality: float | None = None,
) -> None:
    """Print a comparison, or write it to a file."""
    from ..compare import compare as compare_records

    comparison = compare_records(records, allow=allow, usage=usage, min_quality=min_quality)
    printed(comparison, format, output)
    if format is Format.table and output is None and usage is None and len(comparison.rows) > 1:
        typer.echo(HINT)


def printed(
    comparison: Comparison | ByModel | ByHardware, format: Format, output: Path | None
) -> None:
    """Print what was compared, by run, model or hardware, or write it to a file."""
    import json

    from ..compare.table import Comparison
    from ..compare.use_export import plain_comparison
    from ..files import write_text

    if format is Format.table and output is None:
        comparison.show()
        return
    if format is Format.csv:
        text = comparison.to_csv()
    elif format is Format.json:
        plain: dict[str, Any] | list[dict[str, Any]]
        if isinstance(comparison, Comparison):
            plain = plain_comparison(comparison)
        else:
            plain = comparison.plain()
        text = json.dumps(plain, indent=2) + "\n"
    else:  # a table in a file is Markdown
        text = comparison.to_markdown()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


def _format_of(output: Path | None, format: Format | None) -> Format:
    """What was asked for, or what the ending of the file says."""
    if format is not None or output is None:
        return format or Format.table
    formats = {".csv": Format.csv, ".json": Format.json, ".md": Format.markdown}
    if output.suffix not in formats:
        raise InputError(f"{output}: the ending says the format; .csv, .json or .md, or --format")
    return formats[output.suffix]
