"""The verb that makes a folder of a finished run's system, for another machine or the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError


def save(
    record: Annotated[Path, typer.Argument(help="The file of a finished run's record.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge adapters: one model that any server loads.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="ORG/NAME", help="Upload it, as a private one."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push-to-hub: for everybody to see.")
    ] = False,
) -> None:
    """Save the system of a run: adapter or weights, index, prompt, checksums, model card.

    Example: wattune save runs/quickstart/lora-0123abcd.json my-system --merge
    """
    from ..artefact.hub import check_upload
    from ..artefact.hub import push_to_hub as push
    from ..artefact.saving import save_system
    from ..files import folder_bytes
    from ..measure.store import load_records
    from ..system import parse_system

    if public and push_to_hub is None:
        raise InputError("--public says who sees what is uploaded; it needs --push-to-hub org/name")
    if push_to_hub is not None:
        check_upload(push_to_hub)  # before anything is written
    found = [one for one in load_records(record) if one.status == "done"]
    if len(found) != 1:
        raise InputError(
            f"{record} holds {len(found)} finished records; name the file of the one to save"
        )
    save_system(parse_system(found[0].system), folder, record=found[0], merge=merge)
    typer.echo(f"saved {folder} ({folder_bytes(folder) / 1e6:,.1f} MB)")
    if push_to_hub is not None:
        typer.echo(f"uploaded to {push(folder, push_to_hub, public=public)}")
