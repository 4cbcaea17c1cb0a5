"""The verbs that pack a recipe for another machine, or records that come from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..measure.record import Record
    from .comparing import Format


def pack(
    what: Annotated[str, typer.Argument(help="A recipe, or a folder of records: runs/quickstart")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings that win over the recipe: lora.r=8")
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write: there.zip")],
) -> None:
    """Pack a recipe with its task for another machine, or records that were made on one.

    Weights do not travel: a model is named with what pins it.

    Examples: wattune pack quickstart -o there.zip ; wattune pack runs/quickstart -o back.zip
    """
    from ..audit.packing import pack as pack_what

    made = pack_what(what, overrides or [], output)
    size = output.stat().st_size / 1e6
    typer.echo(
        f"packed {output}: {made.kind} of {made.name}, {len(made.files)} files, {size:.1f} MB"
    )
    for key in made.left_out:
        typer.echo(f"left out, for it is of this machine: {key}")
    for model in made.models:
        pinned = model.revision or "not pinned"
        typer.echo(f"named, not packed: {model.name} ({model.origin}, {pinned})")


def unpack(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `wattune pack` wrote.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder; of records below runs.")],
) -> None:
    """Unpack a bundle and compare its digests; nothing in it is run.

    Examples: wattune unpack there.zip there ; wattune unpack back.zip runs/there
    """
    from ..audit.packing import RECIPE, measured_at, named_code, other_revision
    from ..audit.packing import unpack as unpack_bundle

    made = unpack_bundle(bundle, folder)
    typer.echo(f"unpacked {folder}: {made.kind} of {made.name}, {len(made.files)} files, all whole")
    if made.kind == "records":
        for sentence in measured_at(folder):
            typer.echo(sentence)
        typer.echo(f"next: wattune compare {folder}")
        return
    for name in named_code(folder):
        typer.echo(f"a run of it imports and calls {name}; look at it before you run it")
    for model in made.models:
        typer.echo(f"needs: {model.name} ({model.origin}, {model.revision or 'not pinned'})")
        other = other_revision(model)
        if other is not None:
            typer.echo(f"here {model.name} is another one: {other}")
    typer.echo(f"next: wattune compare {folder / RECIPE} place=... (such as FRA: where you are)")


def shown_savings(
    records: list[Record],
    since: str,
    answers_per_day: float | None,
    format: Format,
    output: Path | None,
    allow: bool,
) -> None:
    """Print what records save since a baseline, or write it to a file."""
    import json

    from ..compare.baseline import baseline
    from ..compare.baseline_table import (
        baseline_csv,
        baseline_notes,
        baseline_rows,
        baseline_tables,
    )
    from ..compare.render import markdown_tables, show_tables
    from ..files import write_text

    found = baseline(records, since, answers_per_day=answers_per_day, allow=allow)
    if format == "table" and output is None:
        show_tables(baseline_tables(found))
        for note in baseline_notes(found):
            typer.echo(note)
        return
    if format == "csv":
        text = baseline_csv(found)
    elif format == "json":
        text = json.dumps(baseline_rows(found), indent=2) + "\n"
    else:  # a table in a file is Markdown
        text = markdown_tables(baseline_tables(found), baseline_notes(found))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
