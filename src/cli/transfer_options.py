"""The options that carry records over to another machine or size of model, and doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..measure.calibration import Calibration
    from ..measure.record import Record

On = Annotated[
    Path | None,
    typer.Option("--on", help="Project onto this machine: a file of `wattune calibrate -o`."),
]
Parameters = Annotated[
    str | None, typer.Option(help="Project onto a model of so many parameters: 1.7B, 7B.")
]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from", help="Calibrations of machines that measured; this one's is found by itself."
    ),
]


def projected(
    records: list[Record], on: Path | None, parameters: str | None, sources: list[Path] | None
) -> list[Record]:
    """The records as they would be there, or as they are where nothing was asked; says what was
    left out."""
    if on is None and parameters is None:
        if sources:
            raise InputError("--from goes with --on: it says which machine the records are from")
        return records
    if not records:
        raise InputError("there are no records to project; run a recipe first (`wattune compare`)")
    from ..compare.filters import parameter_count
    from ..compare.transfer import project
    from ..measure.calibration import load_calibration
    from ..models.facts import known_facts

    made, sentences = project(
        records,
        onto=None if on is None else load_calibration(on),
        parameters=None if parameters is None else parameter_count(parameters),
        sources=[*_kept_here(), *map(load_calibration, sources or ())],
        known=known_facts(records),
    )
    for sentence in sentences:
        typer.echo(sentence, err=True)
    return made


def _kept_here() -> list[Calibration]:
    """The calibrations that this cache keeps, the newest last; damaged ones are passed over."""
    from ..errors import StorageError
    from ..files import cache_folder
    from ..measure.calibration import load_calibration

    found = []
    for path in sorted((cache_folder() / "machine").glob("calibration-*.json")):
        try:
            found.append(load_calibration(path))
        except (InputError, StorageError):
            continue
    return sorted(found, key=lambda one: one.created_at)
