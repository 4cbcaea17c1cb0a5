"""The verbs about what lies on disk: models, prepared stages and kept answers."""

from __future__ import annotations

from pathlib import Path
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
