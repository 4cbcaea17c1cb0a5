"""The verbs about what lies in the cache: models, prepared stages and kept answers."""

from __future__ import annotations

from typing import Annotated

import typer

cache_app = typer.Typer(help="Models, prepared stages and kept answers.", no_args_is_help=True)


@cache_app.command("info")
def cache_info() -> None:
    """Where the cache lies and how large it is."""
    from ..answering.responses import ResponseCache
    from ..answering.vectors import VectorCache
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
    for name, costs in (("answers", ResponseCache(say=_tell)), ("vectors", VectorCache(say=_tell))):
        count, size = costs.count(), costs.stored_bytes()
        typer.echo(f"{name:<8}{size / 1e6:>10,.1f} MB  {costs.path} ({count:,} {name})")
        costs.close()


@cache_app.command("prune")
def cache_prune(
    responses: Annotated[
        bool, typer.Option("--responses", help="The kept answers instead, with their first joules.")
    ] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="The kept vectors of texts instead, with theirs.")
    ] = False,
) -> None:
    """Remove prepared stages (adapters, weights, indexes); their bills are kept.

    And what killed trainings could go on from: what those spent stands in the ledger.
    """
    if responses:
        from ..answering.responses import ResponseCache

        freed = ResponseCache().remove()
        typer.echo(f"removed the kept answers, {freed / 1e6:,.1f} MB")
    if vectors:
        from ..answering.vectors import VectorCache

        freed = VectorCache().remove()
        typer.echo(f"removed the kept vectors, {freed / 1e6:,.1f} MB")
    if responses or vectors:
        return
    from ..stages import StageStore

    store = StageStore()
    count, freed = store.prune()
    typer.echo(f"removed {count} stage(s), {freed / 1e6:,.1f} MB; their bills are kept")
    count, freed = store.prune_unfinished()
    if count:
        typer.echo(f"removed {count} unfinished stage(s), {freed / 1e6:,.1f} MB")


def _tell(line: str) -> None:
    """What is said about a file that is damaged."""
    typer.echo(line, err=True)
