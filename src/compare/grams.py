"""Grams: the columns of the footprint, and the sentences on the grid that they are by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

from ..measure.grid import Grid
from ..measure.record import Carbon, Footprint, Record
from .figures import Column

PROVIDERS = tuple(get_args(Grid.model_fields["provider"].annotation))


def _of(field: Callable[[Footprint], Any]) -> Callable[[Record], Any]:
    return lambda record: field(record.footprint) if record.footprint else None


FOOTPRINT = (
    Column("boundary", "boundary", _of(lambda f: f.boundary)),
    Column("operational\ng", "operational_g", _of(lambda f: f.operational_g), 4),
    Column("embodied\ng", "embodied_g", _of(lambda f: f.embodied_g), 4),
    Column("scope 2 g\nlocation", "scope2_location_g", _of(lambda f: f.scope2_location_g), 4),
    Column("scope 2 g\nmarket", "scope2_market_g", _of(lambda f: f.scope2_market_g), 4),
    Column("scope 3\ng", "scope3_g", _of(lambda f: f.scope3_g), 4),
)
"""What a run itself spent, in grams of CO2e, and whose scope that is. None of it ranks."""


def carbon_notes(records: Sequence[Record]) -> list[str]:
    """Which grid the grams are by, where it stands in for another, or why there is none."""
    grids: dict[str, dict[str, None]] = {}
    for record in records:
        grids.setdefault(_grid(record), {})[record.name] = None
    sides = "; ".join(f"{grid}: {', '.join(names)}" for grid, names in grids.items())
    if not any(record.carbon for record in records):
        notes = [
            f"gCO₂e is not known: {sides}."
            if any(map(_refusal, records))
            else "gCO₂e needs a place: set `place: FRA` (or `intensity_g_per_kwh:`) in the recipe."
        ]
    elif len(grids) > 1:
        notes = [f"WARNING: gCO₂e of different places or intensities do not compare: {sides}."]
    else:
        notes = [
            f"gCO₂e: prepare + load + 1,000 answers at {next(iter(grids))}. It is derived from "
            "energy and ranks nothing."
        ]
    instead: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        if record.carbon and record.carbon.fallback:
            key = (record.carbon.fallback, record.carbon.place)
            instead.setdefault(key, {})[record.name] = None
    for (reason, place), names in instead.items():
        notes.append(
            f"gCO₂e of {', '.join(names)}: the grid asked for gave no figure ({reason}), so the "
            f"yearly average of {place} stands in."
        )
    return notes


def footprint_notes(records: Sequence[Record]) -> list[str]:
    """What the footprints of declared boundaries say of themselves, each sentence once."""
    said = [
        note
        for record in records
        if record.footprint and record.footprint.boundary
        for note in record.footprint.notes
        if not _by_provider(note)  # said of the grid
    ]
    return [f"Footprint: {note}." for note in dict.fromkeys(said)]


def _grid(record: Record) -> str:
    if record.carbon is None:
        reason = _refusal(record)
        return f"the grid asked for gave no figure ({reason})" if reason else "no place given"
    carbon: Carbon = record.carbon
    year = f", {carbon.year}" if carbon.year else ""
    pue = f", PUE {carbon.pue:g}" if carbon.pue != 1 else ""
    return (
        f"{carbon.intensity_g_per_kwh:g} g/kWh ({carbon.place}, {carbon.kind}, "
        f"{carbon.source}{year}{pue})"
    )


def _refusal(record: Record) -> str:
    """Why the provider that was asked gave no figure; empty where none was asked."""
    notes = record.footprint.notes if record.footprint else ()
    return next((note for note in notes if _by_provider(note)), "")


def _by_provider(note: str) -> bool:
    return note.partition(": ")[0] in PROVIDERS
