"""Inventory: what everything ever metered in a folder emitted, line by line, for an auditor.

A line is an entry of the ledger: a run, also one that failed, was stopped or killed, a question
asked, the idle machine. The record that a run left tells whose machine it was and how its energy is
known; it adds no energy of its own, so nothing counts twice. Scopes are those of
`measure/accounts/footprint.py`, of the entry's energy, which holds what the record leaves out
(imports, attempts that failed).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, StorageError
from ..measure.accounts.money import Boundary
from ..measure.environment import version_of
from ..measure.ledger import FOLDER, Entry, entry_files, entry_of, load_ledger, read_entry, totals
from ..measure.record import Record
from ..measure.store import record_files
from ..values import Value
from .lines import Behind, Line, Told, line_of

TOLERANCE = 1e-9
"""Relative: sums of the same floats in another order differ by less."""
FIGURES = (
    "duration_s",
    "energy_j",
    "operational_g",
    "scope2_location_g",
    "scope2_market_g",
    "scope3_g",
    "embodied_g",
)
"""The columns that add up."""


class Sum(Value):
    """`total` of all lines, None where one of them is not known; the `known` ones added up, and
    how many are `lacking`."""

    total: float | None
    known: float
    lacking: int


class Inventory(Value):
    """All lines of a folder, the sums of `FIGURES` by name, and whether those are the ledger's.

    `agrees` says whether energy and grams are the ledger's totals, `check` how that was seen, or
    what differs. `began` and `ended` (ISO 8601) are the period that the lines cover, `software`
    what metered them, `written_by` what wrote this.
    """

    folder: str
    began: str
    ended: str
    lines: tuple[Line, ...]
    sums: dict[str, Sum]
    agrees: bool
    check: tuple[str, ...]
    notes: tuple[str, ...]
    software: tuple[str, ...]
    written_by: str

    def to_csv(self) -> str:
        """One row a line and a last one with the totals; empty where a figure is not known."""
        from .sheet import csv_sheet

        return csv_sheet(self)

    def to_markdown(self) -> str:
        """The sheet for a person: totals and check, lines, factors, files and hashes, notes."""
        from .sheet import markdown_sheet

        return markdown_sheet(self)


def inventory(folder: Path | str, boundary: Boundary | None = None) -> Inventory:
    """The inventory of all that was ever metered under a folder of runs.

    `boundary` says whose machine it was where the recipes that ran did not. What lies there twice
    (a copied folder) counts once. Raises `InputError` where nothing was metered there,
    `StorageError` for a damaged entry or record: an inventory leaves nothing out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of runs, such as runs")
    records = record_files(folder)
    found = _entries(folder, records)
    if not found:
        raise InputError(f"{folder}: nothing was metered there yet; run a recipe first")
    once = _once(found)
    lines = tuple(line_of(behind, folder) for behind in _behind(once, records, boundary))
    sums = {name: _sum([getattr(line, name) for line in lines]) for name in FIGURES}
    ledger = totals(load_ledger(folder, [record for _, record in records]))[-1]
    differing = [
        *_differing("joules", sums["energy_j"].total, ledger.bill.energy_j),
        *_differing("grams", sums["operational_g"].total, ledger.emissions_g),
    ]
    counted = {path for path, _ in once}
    copies = [p.relative_to(folder).as_posix() for p, _ in found if p not in counted]
    check = differing or ["the lines add up to the total of `wattune ledger`, in joules and grams"]
    if copies:
        check.append(
            f"left out here, and counted again by `wattune ledger`: copies of what is counted "
            f"({', '.join(copies)})"
        )
    return Inventory(
        folder=folder.name,
        began=min(line.began for line in lines),
        ended=max(line.ended for line in lines),
        lines=lines,
        sums=sums,
        agrees=not differing,
        check=tuple(check),
        notes=tuple(dict.fromkeys(note for line in lines for note in line.notes)),
        software=tuple(dict.fromkeys(line.software for line in lines if line.software)),
        written_by=f"wattune {version_of('wattune')}",
    )


def _entries(folder: Path, records: Sequence[tuple[Path, Record]]) -> list[tuple[Path, Entry]]:
    """All entries with their files; of records without one what they tell, with the record's."""
    entries = [(path, read_entry(path)) for path in entry_files(folder)]
    known = {entry.key for _, entry in entries}
    entries += [(path, entry_of(record)) for path, record in records if record.key not in known]
    for path, entry in entries:
        if not math.isfinite((entry.bill.energy_j or 0.0) + entry.bill.duration_s):
            raise StorageError(f"{path}: it is damaged, its figures are no finite numbers")
    return sorted(entries, key=lambda one: one[1].started_at)


def _once(found: Sequence[tuple[Path, Entry]]) -> list[tuple[Path, Entry]]:
    """Each activity once: of copies the one that was written last, which holds the most."""
    last: dict[tuple[str, str], tuple[Path, Entry]] = {}
    for path, entry in found:
        before = last.get((entry.id, entry.started_at))
        if before is None or entry.updated_at > before[1].updated_at:
            last[entry.id, entry.started_at] = (path, entry)
    return list(last.values())


def _behind(
    entries: Sequence[tuple[Path, Entry]],
    records: Sequence[tuple[Path, Record]],
    boundary: Boundary | None,
) -> list[Behind]:
    """Each entry with the record of its run, of several copies the one in its own folder."""
    by_key: dict[str, dict[Path, tuple[Path, Record]]] = {}
    by_folder: dict[Path, list[Record]] = {}
    for path, record in records:
        by_key.setdefault(record.key, {})[path.parent] = (path, record)
        by_folder.setdefault(path.parent, []).append(record)
    told = {home: Told(tuple(within)) for home, within in by_folder.items()}
    found = []
    for path, entry in entries:
        home = path.parent.parent if path.parent.name == FOLDER else path.parent
        made = by_key.get(entry.key, {})
        record_path, own = made.get(home) or next(iter(made.values()), (None, None))
        known = Told((own,)) if own else told.get(home, Told())
        found.append(Behind(path, entry, known, record_path, own, boundary))
    return found


def _sum(values: Sequence[float | None]) -> Sum:
    numbers = [value for value in values if value is not None]
    lacking = len(values) - len(numbers)
    known = sum(numbers)  # left to right, as the ledger adds
    return Sum(total=None if lacking else known, known=known, lacking=lacking)


def _differing(what: str, ours: float | None, ledgers: float | None) -> list[str]:
    """A sentence where the two sums are not the same."""
    if ours is None or ledgers is None:
        same = ours is ledgers
    else:
        same = math.isclose(ours, ledgers, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    if same:
        return []
    sides = ["not known" if value is None else f"{value:.9g}" for value in (ours, ledgers)]
    return [f"in {what} the lines add up to {sides[0]} and `wattune ledger` to {sides[1]}"]
