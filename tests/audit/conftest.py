"""Folders of runs made by hand: ledger entries with round figures, and their runs' records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.files import write_text
from wattune.measure.accounts.footprint import Accounting, footprint_of
from wattune.measure.ledger import Entry
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, Score
from wattune.measure.store import write_record

FRANCE = Carbon(place="FRA", intensity_g_per_kwh=50.0, source="a table", year=2023)


def at(minute: int) -> str:
    return f"2026-11-01T{minute // 60:02}:{minute % 60:02}:00+00:00"


def _entry(number: int, **changes: Any) -> Entry:
    """An activity of the minute `number`, of 7,200 J."""
    given = {
        "id": f"entry-{number}", "activity": "run", "name": f"run-{number}", "status": "done",
        "key": f"{number:016x}", "started_at": at(number), "updated_at": at(number + 1),
        "bill": Bill(energy_j=7200.0, duration_s=60.0), "carbon": FRANCE,
    }  # fmt: skip
    return Entry.model_validate({**given, **changes})


def _record(of: Entry, accounting: dict[str, Any] | None = None, **changes: Any) -> Record:
    """The record that the run of an entry left: nine tenths of its energy stand in it."""
    spent = Bill(energy_j=(of.bill.energy_j or 0) * 0.9, duration_s=50.0)
    how: Any = changes.pop("provenance", "modelled_load")
    answer = Phase(
        duration_s=10.0,
        energy_j=360.0,
        components={"cpu": Energy(energy_j=360.0, provenance=how)},
    )
    given = {
        "name": of.name, "key": of.key, "started_at": of.started_at, "ended_at": of.updated_at,
        "created_at": of.started_at, "spent": spent, "carbon": of.carbon, "answers": 20,
        "phases": {"answer": answer}, "recipe": {"accounting": accounting or {}},
        "quality": {"token_f1": Score(value=0.5, low=0.4, high=0.6, n=20)},
        "task": {"name": "ferry", "metrics": ["token_f1"], "split": "test"},
        "fingerprints": {"task": "t1", "code": "c0de"},
        "environment": {"software": {"wattune": "0.1.0"}, "hardware": {"cpu": "Test 9000"}},
    }  # fmt: skip
    made = Record.model_validate({**given, **changes})
    footprint = footprint_of(made, Accounting.model_validate(accounting or {}), of.carbon)
    return made.model_copy(update={"footprint": footprint})


Put = Callable[..., Path]


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """Makes an activity of the minute of its number, of 7,200 J."""
    return _entry


@pytest.fixture
def record() -> Callable[..., Record]:
    """Makes the record that the run of an entry left."""
    return _record


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write an entry, and a record where one is given, into a folder of runs."""

    def write(made: Entry | None, left: Record | None = None, folder: str = "runs/ferry") -> Path:
        home = tmp_path / folder
        if made is not None:
            write_text(home / "ledger" / f"{made.id}.json", made.model_dump_json(indent=2) + "\n")
        if left is not None:
            write_record(home, left, [])
        return home

    return write
