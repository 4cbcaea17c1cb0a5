"""The verb that compares: runs of a recipe, or records that lie there."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .running import AllowOverlap, NoCache, NoProgress, Quick, RunsFolder, made, speaks

if TYPE_CHECKING:
    from ..measure.record import Record


class Format(enum.StrEnum):
    """How a comparison is printed."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"


def compare(
    what: Annotated[list[str], typer.Argument(help="A recipe and overrides, or folders/records.")],
    runs: RunsFolder = Path("runs"),
    quick: Quick = False,
    allow_overlap: AllowOverlap = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
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
) -> None:
    """Run what is missing of a recipe and compare all its runs; or compare finished records.

    Examples: wattune compare quickstart --quick ; wattune compare runs/quickstart --format csv
    """
    first, *rest = what
    if any(Path(path).is_dir() for path in what) or Path(first).suffix in (".json", ".jsonl"):
        if len(what) > 1 and not all(Path(path).exists() for path in what):
            raise InputError(
                "give a recipe with overrides, or folders of records, not both: " + " ".join(what)
            )
        from ..measure.store import load_records

        records = [record for path in what for record in load_records(path)]
        records.sort(key=lambda record: record.created_at)  # as the recipe ran them
        if not records:
            raise InputError(f"{', '.join(what)}: no records there; run a recipe first")
    else:
        records = made(first, rest, runs, quick, allow_overlap, no_progress, no_cache)
    if not speaks():
        return
    shown(records, _format_of(output, format), output, allow)
    if not any(record.status == "done" for record in records):
        raise typer.Exit(1 if any(record.status == "failed" for record in records) else 2)


def shown(
    records: list[Record],
    format: Format = Format.table,
    output: Path | None = None,
    allow: bool = False,
) -> None:
    """Print a comparison, or write it to a file."""
    import json

    from ..compare import compare as compare_records
    from ..compare.table import plain_rows
    from ..files import write_text

    comparison = compare_records(records, allow=allow)
    if format is Format.table and output is None:
        comparison.show()
        return
    if format is Format.csv:
        text = comparison.to_csv()
    elif format is Format.json:
        text = json.dumps(plain_rows(comparison), indent=2) + "\n"
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
