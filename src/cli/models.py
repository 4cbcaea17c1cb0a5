"""The verbs about models: the catalogue, fetching, making a static embedder, and model cards."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .by_model import Scores

if TYPE_CHECKING:
    from ..compare.layout import Table

models_app = typer.Typer(
    help="The models wattune knows by name, and what is known of a model.", no_args_is_help=True
)


class CardFormat(enum.StrEnum):
    """How a card is printed."""

    table = "table"
    json = "json"
    markdown = "markdown"


@models_app.command("ls")
def models_ls() -> None:
    """List the catalogue: name, kind, size, licence, and whether it is here already."""
    from ..models.catalogue import CATALOGUE
    from ..models.fetch import fetched

    for name, entry in CATALOGUE.items():
        here = "here" if fetched(name) else f"{entry.download_bytes / 1e6:.0f} MB to fetch"
        typer.echo(f"{name:<18}{entry.kind:<11}{here:<18}{entry.licence:<12}{entry.description}")


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="A catalogue name or a hub id (org/name).")],
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No bars.")] = False,
) -> None:
    """Fetch a model into the cache. Example: wattune models fetch smollm2-135m-q4"""
    from ..models.fetch import resolve
    from .progress import TerminalProgress

    with TerminalProgress(quiet=no_progress) as progress:
        found = resolve(name, progress=progress.step)
    typer.echo(f"{found.name} ({found.revision}): {found.folder}")


@models_app.command("distil")
def models_distil(
    embedder: Annotated[str, typer.Argument(help="An embedder: catalogue name, folder or hub id.")],
    folder: Annotated[Path, typer.Argument(help="Where the static embedder is written.")],
    dimensions: Annotated[int, typer.Option(help="The length of its vectors.")] = 256,
) -> None:
    """Make a static embedder, hundreds of times faster on a CPU and less exact, from one you have.

    Minutes on a CPU, no network. Example: wattune models distil minilm models/minilm-static
    """
    from ..models.distillation import distilled
    from ..models.fetch import resolve_folder
    from ..models.sentence_embedder import SentenceEmbedder

    with SentenceEmbedder.open(resolve_folder(embedder, kind="embedder")) as opened:
        distilled(opened, folder, dimensions)
    typer.echo(f"{folder}: {dimensions} dimensions; name it as `embedder: {folder}`")


@models_app.command("card")
def models_card(
    name: Annotated[str, typer.Argument(help="A catalogue name, a folder or a hub id (org/name).")],
    format: Annotated[
        CardFormat, typer.Option("--format", help="How to print.")
    ] = CardFormat.table,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Records that measured it: runs/quickstart")
    ] = None,
    scores: Scores = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the hub for its card and configuration.")
    ] = False,
) -> None:
    """What is known of a model: size, licence, context, languages, dates, training emissions.

    Each with its source: files that lie here, the catalogue, with --online the hub. With --runs
    also what was measured, with --scores what others published. What nobody states is unknown.

    Examples: wattune models card smollm2-135m-q4 ; wattune models card minilm --format json
    """
    import json

    from ..compare.model_card import card_notes, card_tables, plain_card
    from ..compare.render import markdown_tables
    from ..measure.published import read_published
    from ..measure.store import load_records
    from ..models.facts import facts_here
    from ..models.hub_card import facts_online

    facts = facts_online(name) if online else facts_here(name)
    records = [record for path in runs or () for record in load_records(path)]
    published = tuple(score for path in scores or () for score in read_published(path))
    if format is CardFormat.json:
        typer.echo(json.dumps(plain_card(facts, records, published), indent=2))
        return
    tables, notes = card_tables(facts, records, published), card_notes(facts, records, published)
    if format is CardFormat.markdown:
        typer.echo(markdown_tables(tables, notes), nl=False)
    else:
        _print(tables, notes)


def _print(tables: list[Table], notes: list[str]) -> None:
    from rich.markup import escape

    from ..compare.render import show_tables

    console = show_tables(tables)
    for note in notes:
        console.print(escape(note), style="dim", highlight=False)
