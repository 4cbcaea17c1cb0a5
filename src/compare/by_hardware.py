"""A comparison by hardware: the same System on the same questions, on several machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from string import ascii_uppercase
from typing import Any

from ..files import csv_text
from ..measure.paired import Difference, paired_differences
from ..measure.record import Record
from .comparability import device, hardware
from .figures import energy_provenance
from .layout import Table
from .order import Order, order
from .seeds import Row, same_system
from .table import Comparison
from .transfer_table import projected_onto
from .uncertainty import answer_j

NOT_THE_SYSTEM = {"grid", "accounting", "pause_above_g_per_kwh", "baseline_s", "task", "quick"}
"""Keys of a recipe that say where and how a run is booked; its questions are told by a digest."""


@dataclass(frozen=True)
class Machine:
    """Where records were made: a letter, its name for a person, and the rows of the runs there."""

    letter: str
    name: str
    rows: dict[str, Row]


@dataclass(frozen=True)
class Beside:
    """Two machines side by side: the runs that both have (by identity), the order of these by
    joules and by quality, and what the pairs that turn are called."""

    one: Machine
    other: Machine
    runs: tuple[str, ...]
    energy: Order | None
    quality: Order | None


@dataclass(frozen=True)
class ByHardware:
    """The finished records of a comparison by machine. Where a run was measured twice with one seed
    on one machine, the newest counts; of several seeds, those that all its machines have."""

    comparison: Comparison

    @cached_property
    def machines(self) -> list[Machine]:
        """The machines in the order of their first records, with the runs that stand on several."""
        found: dict[str, dict[str, dict[int, Record]]] = {}
        for record in sorted(self.comparison.done, key=lambda record: record.created_at):
            if record.recipe:  # without it nobody knows what else would be the same
                runs = found.setdefault(_place(record), {})
                runs.setdefault(_identity(record), {})[record.seed] = record
        shared = {
            run: set.intersection(*(set(runs[run]) for runs in found.values() if run in runs))
            for run in {run for runs in found.values() for run in runs}
            if sum(run in runs for runs in found.values()) > 1
        }
        return [
            Machine(
                ascii_uppercase[n % 26] * (n // 26 + 1),
                place,
                {
                    run: Row(next(iter(records.values())).name, tuple(
                        records[seed] for seed in sorted(shared[run])
                    ))
                    for run, records in runs.items() if shared.get(run)
                },
            )
            for n, (place, runs) in enumerate(found.items())
        ]  # fmt: skip

    @cached_property
    def metric(self) -> str | None:
        """The metric that quality is told by: the first of the task."""
        return next(iter(self.comparison.judged), None)

    @cached_property
    def runs(self) -> list[str]:
        """The runs that stand on several machines, by identity, in the order given."""
        return list(dict.fromkeys(run for machine in self.machines for run in machine.rows))

    @cached_property
    def pairs(self) -> list[Beside]:
        """Each two machines that have runs in common."""
        found = []
        for one, other in combinations(self.machines, 2):
            runs = tuple(run for run in one.rows if run in other.rows)
            if runs:
                quality = _order(one, other, runs, lambda row: row.mean(self.metric or ""))
                found.append(Beside(one, other, runs, _order(one, other, runs, joules), quality))
        return found

    def difference(self, one: Row, other: Row) -> Difference | None:
        """Quality there less quality here, question by question; None where that is not told."""
        mine, theirs = (row.scores(self.metric or "") for row in (one, other))
        if mine is None or theirs is None or len(mine) != len(theirs):
            return None
        if not any(a is not None and b is not None for a, b in zip(mine, theirs, strict=True)):
            return None
        return paired_differences([(theirs, mine)])[0]

    def label(self, run: str) -> str:
        """What a run is called: as on the first machine that has it."""
        return next(machine.rows[run].label for machine in self.machines if run in machine.rows)

    def tables(self) -> list[Table]:
        """The machines; quality, and energy and time, each with a column a machine."""
        from .hardware_tables import tables

        return tables(self)

    def notes(self) -> list[str]:
        """The verdict first; how to read the tables; what is not in them, and why."""
        from .hardware_tables import notes

        return notes(self)

    def show(self) -> None:
        """Print the tables and their notes to the terminal."""
        from rich.markup import escape

        from .render import show_tables

        console = show_tables(self.tables())
        for note in self.notes():
            console.print(escape(note), style="dim", highlight=False)

    def to_markdown(self) -> str:
        """The tables and their notes as Markdown."""
        from .render import markdown_tables

        return markdown_tables(self.tables(), self.notes())

    def to_csv(self) -> str:
        """One line a run and machine; empty where it is unknown."""
        rows = self.plain()["runs"]
        return csv_text(rows[0] if rows else ["run"], rows)

    def plain(self) -> dict[str, Any]:
        """As JSON: each run on each machine, how each two machines order them, and the notes."""
        rows = [
            {
                "run": self.label(run),
                "machine": machine.letter,
                "hardware": machine.name,
                "energy_provenance": provenance(machine),
                "projected": any(r.projected is not None for r in machine.rows[run].records),
                "seeds": " ".join(str(r.seed) for r in machine.rows[run].records),
                "metric": self.metric,
                "quality": machine.rows[run].mean(self.metric or ""),
                "answer_j": joules(machine.rows[run]),
                "answer_s": seconds(machine.rows[run]),
            }
            for run in self.runs
            for machine in self.machines
            if run in machine.rows
        ]
        orders = [
            {
                "machines": [pair.one.letter, pair.other.letter],
                "by": name,
                "tau": found.tau,
                "pairs": found.pairs,
                "turned": [[self.label(pair.runs[at]) for at in two] for two in found.turned],
            }
            for pair in self.pairs
            for name, found in (("answer_j", pair.energy), (self.metric, pair.quality))
            if found is not None
        ]
        return {"runs": rows, "orders": orders, "notes": self.notes()}


def joules(row: Row) -> float | None:
    """Joules of an answer when all are given at once, the mean over the seeds."""
    found = row.figure(lambda record: answer_j(record, "batch"))
    return found if isinstance(found, float) else None


def seconds(row: Row) -> float | None:
    """Seconds of an answer when all are given at once, the mean over the seeds."""

    def of(record: Record) -> float | None:
        phase = record.phases.get("answer")
        return phase.duration_s / record.answers if phase and record.answers else None

    found = row.figure(of)
    return found if isinstance(found, float) else None


def provenance(machine: Machine) -> str:
    """How joules are known on a machine: its components with their ways."""
    found: dict[str, set[str]] = {}
    for row in machine.rows.values():
        for record in row.records:
            for name, way in energy_provenance(record).items():
                found.setdefault(name, set()).add(way)
    return ", ".join(f"{name} {' / '.join(sorted(ways))}" for name, ways in sorted(found.items()))


def _order(
    one: Machine, other: Machine, runs: Sequence[str], of: Callable[[Row], float | None]
) -> Order | None:
    """The order of runs on two machines; None where a figure of one is not known."""
    figures = [[of(machine.rows[run]) for run in runs] for machine in (one, other)]
    known = [[value for value in each if value is not None] for each in figures]
    return order(*known) if all(len(each) == len(runs) for each in known) else None


def _place(record: Record) -> str:
    """Where a record was made, or projected to, with device and precision."""
    where = projected_onto(record)
    told = f"{hardware(record)}, {device(record)}"
    return f"{where}, projected" if where else told


def _identity(record: Record) -> str:
    return same_system(record, NOT_THE_SYSTEM)
