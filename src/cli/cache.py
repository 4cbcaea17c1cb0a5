"""The verbs about what lies on disk: models, prepared stages and kept answers."""

from __future__ import annotations

from typing import Annotated

import typer

models_app = typer.Typer(help="The models wattune knows by name.", no_args_is_help=True)
cache_app = typer.Typer(help="Models, prepared stages and kept answers.", no_args_is_help=True)


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


@cache_app.command("info")
def cache_info() -> None:
    """Where the cache lies and how large it is."""
    from ..answering.responses import ResponseCache
    from ..files import cache_folder, folder_bytes
    from ..stages import StageStore

    folder = cache_folder()
    for part in ("models", "stages"):
        size = folder_bytes(folder / part) if (folder / part).is_dir() else 0
        typer.echo(f"{part:<8}{size / 1e6:>10,.1f} MB  {folder / part}")
    if begun := StageStore().unfinished():
        size = sum(map(folder_bytes, begun))
        kept = f"{len(begun)} unfinished stage(s) among them, to go on from"
        typer.echo(f"{'':<8}{size / 1e6:>10,.1f} MB  {kept}")
    answers = ResponseCache(say=lambda line: typer.echo(line, err=True))
    count, size = answers.count(), answers.stored_bytes()
    typer.echo(f"{'answers':<8}{size / 1e6:>10,.1f} MB  {answers.path} ({count:,} answers)")
    answers.close()


@cache_app.command("prune")
def cache_prune(
    responses: Annotated[
        bool, typer.Option("--responses", help="The kept answers instead, with their first joules.")
    ] = False,
) -> None:
    """Remove prepared stages (adapters, weights, indexes); their bills are kept.

    And what killed trainings could go on from: what those spent stands in the ledger.
    """
    if responses:
        from ..answering.responses import ResponseCache

        freed = ResponseCache().remove()
        typer.echo(f"removed the kept answers, {freed / 1e6:,.1f} MB")
        return
    from ..stages import StageStore

    store = StageStore()
    count, freed = store.prune()
    typer.echo(f"removed {count} stage(s), {freed / 1e6:,.1f} MB; their bills are kept")
    count, freed = store.prune_unfinished()
    if count:
        typer.echo(f"removed {count} unfinished stage(s), {freed / 1e6:,.1f} MB")
