"""The verbs about what was measured before: the ledger, and records for other tools."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, StorageError

if TYPE_CHECKING:
    from ..measure.ledger import Entry


class LedgerFormat(enum.StrEnum):
    """How a ledger is printed."""

    table = "table"
    json = "json"


def ledger(
    folder: Annotated[Path, typer.Argument(help="A folder of runs.")] = Path("runs"),
    entries: Annotated[bool, typer.Option("--entries", help="Every entry, not totals.")] = False,
    format: Annotated[LedgerFormat, typer.Option("--format")] = LedgerFormat.table,
) -> None:
    """Total everything ever metered in a folder: finished, failed, stopped and killed.

    Examples: wattune ledger ; wattune ledger runs/quickstart --entries
    """
    import json

    from ..measure.ledger import load_ledger, totals
    from ..measure.store import load_records

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of runs, such as runs")
    try:
        records = load_records(folder)
    except StorageError as error:  # what was spent stands in the entries
        typer.echo(f"left out, where no entry tells of it: {error}", err=True)
        records = []
    found = load_ledger(folder, records)
    if not found:
        raise InputError(f"{folder}: nothing was metered there yet; run a recipe first")
    if format is LedgerFormat.json:
        rows = found if entries else totals(found)
        typer.echo(json.dumps([row.plain() for row in rows], indent=2))
        return
    _show(found, entries)


def _show(found: list[Entry], entries: bool) -> None:
    from ..measure.ledger import parts_of, totals
    from ..measure.record import Bill

    if entries:
        rows: list[tuple[str, ...]] = [
            (entry.started_at, entry.activity, entry.name, entry.status,
             _number(entry.bill.duration_s, 1), _wh(entry.bill.energy_j), _number(entry.grams, 3))
            for entry in found
        ]  # fmt: skip
        _print(("began", "activity", "name", "status", "s", "Wh", "gCO₂e"), rows, numbers=3)
        return
    rows = [
        (row.activity, row.status, str(row.count), _number(row.bill.duration_s, 1),
         _wh(row.bill.energy_j), _number(row.emissions_g, 3))
        for row in totals(found)
    ]  # fmt: skip
    _print(("activity", "status", "times", "s", "Wh", "gCO₂e"), rows, numbers=4)
    bills = parts_of(found)
    parts = [
        (name, _number(bill.duration_s, 1), _wh(bill.energy_j)) for name, bill in bills.items()
    ]
    if parts:
        inside = sum(bills.values(), Bill())
        whole = sum((entry.bill for entry in found), Bill())
        known = whole.energy_j is not None and inside.energy_j is not None
        rest = (whole.energy_j or 0) - (inside.energy_j or 0) if known else None
        seconds = _number(whole.duration_s - inside.duration_s, 1)
        parts.append(("the rest: imports, warming up, idle", seconds, _wh(rest)))
        _print(("of which", "s", "Wh"), parts, numbers=2)
    if any(entry.status == "killed" for entry in found):
        typer.echo("killed: what had been spent by the last heartbeat (every 5 s) is counted.")


def _print(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for place, header in enumerate(headers):
        right = place >= len(headers) - numbers
        table.add_column(header, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(*[escape(cell) for cell in row])
    console = Console()
    (console if console.is_terminal else Console(width=max(110, console.width))).print(table)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _wh(joules: float | None) -> str:
    from ..measure.carbon import J_PER_WH

    return _number(None if joules is None else joules / J_PER_WH, 3)


def export(
    runs: Annotated[list[Path], typer.Argument(help="Folders of records, or records.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="By its ending: .csv, .parquet, .json, .md, .png or .svg."
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI", help="Send to MLflow's tracking server."),
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", help="With --mlflow: the name of its experiment.")
    ] = "wattune",
) -> None:
    """Write records for other tools: one row a record; .md adds one record's results and emissions
    to a model card, which may be there already; .png and .svg are the training curves, loss over
    steps and over energy. With --mlflow each record becomes a run, once.

    Examples: wattune export runs -o runs.parquet ; wattune export runs/lora -o curves.png ;
    wattune export runs --mlflow http://localhost:5000
    """
    from ..artefact.card_merge import merged_card
    from ..compare.curves import draw_curves
    from ..compare.plot import KINDS
    from ..files import read_text, write_bytes, write_json, write_text
    from ..measure import export as exports
    from ..measure.store import record_files

    found = [one for path in runs for one in record_files(path)]
    records = [record for _, record in found]
    if not records:
        raise InputError(f"{', '.join(map(str, runs))}: no records there; run a recipe first")
    if (output is None) == (mlflow is None):
        raise InputError("say where to: either -o FILE or --mlflow URI")
    if mlflow is not None:
        from ..audit.mlflow_runs import send, tracking

        with tracking(mlflow) as server:
            sent = send(found, server, experiment)
        typer.echo(
            f"MLflow: {sent.written} record(s) written to experiment {experiment}, {sent.before} "
            "were there"
        )
        return
    assert output is not None
    kind = output.suffix.lower()
    if kind == ".csv":
        exports.to_csv(records, output)
    elif kind == ".parquet":
        exports.to_parquet(records, output)
    elif kind == ".json":
        write_json(output, [record.plain() for record in records])
    elif kind == ".md":
        if len(records) != 1:
            raise InputError(
                f"a model card is of one record and {len(records)} were given; name its file"
            )
        there = read_text(output) if output.is_file() else None
        text, notes = merged_card(there, records[0], title=output.resolve().parent.name)
        write_text(output, text)
        for note in notes:
            typer.echo(note)
    elif kind in KINDS:
        write_bytes(output, draw_curves(records, KINDS[kind]))
    else:
        raise InputError(
            f"{output}: the ending says the format; .csv, .parquet, .json, .md, .png or .svg"
        )
    typer.echo(f"wrote {output} ({len(records)} record(s))")
