"""Ledger: everything that was ever metered in a folder, finished, failed or killed.

A Record is the result of a run; what was spent on runs that never got that far, and on scoring,
judging, searching and trying, is in no Record. So each activity has a small file of its own,
`<folder>/ledger/<id>.json`, written when it begins, again every 5 s, and when it ends. A file that
says "running" and has not been written for three beats is of a process that was killed: what it
had spent by then stands in it.
"""

from __future__ import annotations

import contextlib
import datetime
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..errors import StorageError, WattuneError
from ..files import read_text, write_text
from ..values import Value
from .carbon import emissions_g
from .meter import Meter
from .record import Bill, Carbon, Phase, Record

FOLDER = "ledger"
BEAT_S = 5.0
"""Between two heartbeats: what a kill can lose."""

Status = Literal["running", "done", "skipped", "failed", "stopped", "killed"]


class Entry(Value):
    """One activity and what it spent, inclusive of all within.

    `activity` is what kind of work: run, ask, scoring, judging, sweep, trial, drafting. `parts` are
    the exclusive bills of the phases within; they and the activity's own share add up to `bill`.
    """

    id: str
    activity: str
    name: str
    key: str = ""
    status: Status = "running"
    reason: str = ""
    started_at: str
    updated_at: str
    bill: Bill = Bill()
    parts: dict[str, Bill] = {}
    carbon: Carbon | None = None

    @property
    def grams(self) -> float | None:
        """Grams of CO2e of the energy, by the intensity known then; None where it was not."""
        return emissions_g(self.bill.energy_j, self.carbon)


class OpenEntry:
    """An activity that is going on; `status` and `reason` are written when it ends."""

    def __init__(self, meter: Meter, activity: str) -> None:
        self.phase = meter.phase(activity)
        self.status: Status = "done"
        self.reason = ""
        self.carbon: Carbon | None = None
        self._meter, self._before = meter, meter.phases
        # It is opened within these, so what they spend for themselves is none of its own.
        self._around = {
            activity, *(n for n, p in meter.so_far().items() if p is not self._before.get(n))
        }  # fmt: skip

    def parts(self) -> dict[str, Bill]:
        """The exclusive bills of the phases within until now, also of those that are open."""
        return {
            name: _exclusive(phase, self._before.get(name))
            for name, phase in self._meter.so_far().items()
            if phase is not self._before.get(name) and name not in self._around
        }


class Ledger:
    """Writes the entries of one folder; with no folder it only meters."""

    def __init__(self, folder: Path | None, meter: Meter) -> None:
        self.folder, self.meter = folder, meter

    @contextlib.contextmanager
    def entry(self, activity: str, name: str, key: str = "") -> Iterator[OpenEntry]:
        """Meter an activity as a phase of its name and keep what it spends, also if it is killed.

        An exception inside ends it as failed (stopped, for an interrupt) and goes on its way.
        Raises `StorageError` where the folder cannot be written.
        """
        entry = Entry(
            id=f"{_now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
            activity=activity,
            name=name,
            key=key,
            started_at=_now().isoformat(timespec="seconds"),
            updated_at=_now().isoformat(timespec="seconds"),
            carbon=self.meter.carbon,
        )
        opened = OpenEntry(self.meter, activity)
        self._write(entry)
        try:
            with opened.phase, self._beating(entry, opened):
                try:
                    yield opened
                except BaseException as error:
                    opened.status = "failed" if isinstance(error, Exception) else "stopped"
                    opened.reason = str(error) if isinstance(error, WattuneError) else repr(error)
                    raise
            self._end(entry, opened)
        except BaseException:
            # An interrupt may also come while the end is written: what is done stays done.
            with contextlib.suppress(StorageError):
                self._end(entry, opened)
            raise

    @contextlib.contextmanager
    def _beating(self, entry: Entry, opened: OpenEntry) -> Iterator[None]:
        """Write the entry every few seconds meanwhile."""
        stop = threading.Event()
        beat = threading.Thread(
            target=self._beat, args=(entry, opened, stop), name="wattune-ledger", daemon=True
        )
        if self.folder is not None:
            beat.start()
        try:
            yield
        finally:
            stop.set()
            if beat.ident is not None:
                beat.join()

    def _beat(self, entry: Entry, opened: OpenEntry, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            # A heartbeat that cannot be written must not end the run; its end will tell.
            with contextlib.suppress(StorageError, OSError):
                self._write(_as_of_now(entry, opened))

    def _end(self, entry: Entry, opened: OpenEntry) -> None:
        said = {
            "status": opened.status,
            "reason": opened.reason,
            "carbon": opened.carbon or entry.carbon,
        }
        self._write(_as_of_now(entry, opened).model_copy(update=said))

    def _write(self, entry: Entry) -> None:
        if self.folder is not None:
            text = entry.model_dump_json(indent=2) + "\n"
            write_text(self.folder / FOLDER / f"{entry.id}.json", text)


def load_ledger(folder: Path, records: Iterable[Record] = ()) -> list[Entry]:
    """All entries under a folder, oldest first.

    Those that a killed process left as "running" come as "killed". `records` are added where no
    entry tells of them: they were made before there was a ledger. Raises `StorageError` for a
    damaged entry.
    """
    entries = [read_entry(path) for path in entry_files(folder)]
    known = {entry.key for entry in entries}
    entries += [entry_of(record) for record in records if record.key not in known]
    return sorted(entries, key=lambda entry: entry.started_at)


class Total(Value):
    """Entries of one activity and status added up; energy None where one of them is unknown."""

    activity: str
    status: str
    count: int
    bill: Bill
    emissions_g: float | None


def totals(entries: Sequence[Entry]) -> list[Total]:
    """One total an activity and status, in the order they first appear; an overall one comes last.

    Parts of runs that are work of their own (scoring, judging) are not shown apart here: they are
    in their run, and would count twice.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.activity, entry.status), []).append(entry)
    rows = [_total(activity, status, group) for (activity, status), group in groups.items()]
    return [*rows, _total("all", "", entries)]


def parts_of(entries: Iterable[Entry]) -> dict[str, Bill]:
    """The exclusive bills of the phases within the entries, by name: prepare, answer, scoring."""
    parts: dict[str, Bill] = {}
    for entry in entries:
        for name, bill in entry.parts.items():
            parts[name] = parts.get(name, Bill()) + bill
    return parts


def _total(activity: str, status: str, entries: Sequence[Entry]) -> Total:
    grams = [entry.grams for entry in entries]
    known = [gram for gram in grams if gram is not None]
    return Total(
        activity=activity,
        status=status,
        count=len(entries),
        bill=sum((entry.bill for entry in entries), Bill()),
        emissions_g=sum(known) if len(known) == len(grams) else None,
    )


def entry_files(folder: Path) -> list[Path]:
    """The files of all entries under a folder, in the order of their paths."""
    return sorted(folder.rglob(f"{FOLDER}/*.json"))


def read_entry(path: Path) -> Entry:
    """The entry in a file; "killed" where its process ended without a word. Raises `StorageError`
    where it is damaged."""
    try:
        entry = Entry.model_validate_json(read_text(path))
        silent = _now() - datetime.datetime.fromisoformat(entry.updated_at)
    except (ValidationError, ValueError, TypeError) as error:  # the last: a time without its zone
        raise StorageError(
            f"{path}: no entry of a ledger; delete the file to leave it out"
        ) from error
    if entry.status == "running" and silent.total_seconds() > 3 * BEAT_S:
        return entry.model_copy(update={"status": "killed"})
    return entry


def entry_of(record: Record) -> Entry:
    """What a record of before there was a ledger tells of its run's spending."""
    return Entry(
        id=record.key,
        activity="run",
        name=record.name,
        key=record.key,
        status=record.status,
        reason=record.reason,
        started_at=record.started_at or record.created_at,
        updated_at=record.ended_at or record.created_at,
        bill=record.spent,
        carbon=record.carbon,
    )


def _as_of_now(entry: Entry, opened: OpenEntry) -> Entry:
    parts, phase = opened.parts(), opened.phase.so_far()  # in this order: parts are never more
    return entry.model_copy(
        update={
            "updated_at": _now().isoformat(timespec="seconds"),
            "bill": Bill(
                energy_j=phase.energy_j,
                duration_s=phase.duration_s,
                net_energy_j=phase.net_energy_j,
            ),
            "parts": parts,
        }
    )


def _exclusive(after: Phase, before: Phase | None) -> Bill:
    """What a phase of this name took for itself since `before`."""

    def less(now: float | None, then: float | None) -> float | None:
        return None if now is None or (before is not None and then is None) else now - (then or 0.0)

    return Bill(
        energy_j=less(after.exclusive_energy_j, before.exclusive_energy_j if before else None),
        duration_s=less(after.exclusive_duration_s, before.exclusive_duration_s if before else None)
        or 0.0,
        net_energy_j=None,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
