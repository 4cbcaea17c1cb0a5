"""What was made once and is kept on disk, each thing with its share of what its batch first cost.

A batch is what was made within one metered phase. A thing that is used again carries its share of
that phase, its first joules, in attributed figures, and never in what was spent. Replies are kept
so (`responses`), and vectors of texts (`vectors`).
"""

from __future__ import annotations

import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, TypeVar

from ..database import Database
from ..files import cache_folder
from ..measure.phases import add_phases, scaled
from ..measure.record import Phase
from ..measure.work import NO_WORK, Work

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, phase TEXT NOT NULL, work TEXT);
CREATE TABLE IF NOT EXISTS {table} (
    key {key} PRIMARY KEY, {column} NOT NULL, batch TEXT NOT NULL, share REAL);
"""
ASKED_TOGETHER = 500
"""Keys of one query; builds of SQLite before 3.32 take at most 999."""

Key = TypeVar("Key", str, bytes)
Made = TypeVar("Made")


class Kept(NamedTuple, Generic[Made]):
    """A thing that was kept, its batch, and its share of it: None while it is not settled."""

    made: Made
    batch: str
    share: float | None


class _Event(NamedTuple):
    """A thing of an earlier batch that was used, or (without a key) a batch that was made."""

    batch: str
    key: str | bytes = ""
    share: float = 0.0
    own: Work | None = None


class Recalled(NamedTuple):
    """Replies and vectors that were used again: how many, and what they first cost."""

    replies: int = 0
    phases: tuple[Phase, ...] = ()
    work: Work = NO_WORK
    vectors: int = 0

    def beside(self, other: Recalled) -> Recalled:
        """Both, where they have nothing in common."""
        return Recalled(
            self.replies + other.replies,
            self.phases + other.phases,
            self.work + other.work,
            self.vectors + other.vectors,
        )

    def added_to(self, phase: Phase) -> Phase:
        """`phase` as it would have been, had they been made in it."""
        if not self.phases:
            return phase
        same = {"parent": phase.parent, "repeats": phase.repeats}
        return add_phases([phase, *self.phases]).model_copy(update=same)


class FirstCosts(ABC, Generic[Key, Made]):
    """Things in one file, a `Database`, by their keys; and which of them were used again.

    Subclasses say what the file, its table and the column are called, and how a thing is written.
    """

    file: ClassVar[str]
    table: ClassVar[str]
    key: ClassVar[str]
    column: ClassVar[str]
    """The column of the thing itself, with its type."""

    def __init__(
        self, path: Path | None = None, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.path, self.say = path or cache_folder() / self.file, say
        schema = SCHEMA.format(table=self.table, key=self.key, column=self.column)
        self._database = Database(self.path, schema, say)
        self._events: list[_Event] = []
        self._batches: dict[str, tuple[Phase, Work]] = {}
        self._unworked: list[tuple[str, Callable[[], Work]]] = []

    @abstractmethod
    def _plain(self, made: Made) -> str | bytes:
        """A thing as it is written."""

    @abstractmethod
    def _read(self, plain: str | bytes) -> Made:
        """The same, read; a `ValueError` where it was written by another version."""

    def _own(self, made: Made) -> Work | None:
        """What of the work is a thing's own, whatever its share; operations are never."""
        return None

    def find(self, keys: Iterable[Key]) -> dict[Key, Kept[Made]]:
        """What is kept among `keys`."""
        asked = list(dict.fromkeys(keys))
        name = self.column.split()[0]

        def look(
            db: sqlite3.Connection,
        ) -> tuple[list[tuple[Key, str | bytes, str, float | None]], dict[str, list[str]]]:
            rows = []
            for start in range(0, len(asked), ASKED_TOGETHER):
                part = asked[start : start + ASKED_TOGETHER]
                marks = ", ".join("?" * len(part))
                query = f"SELECT key, {name}, batch, share FROM {self.table} WHERE key IN ({marks})"
                rows += db.execute(query, part).fetchall()
            unknown = {row[2] for row in rows} - self._batches.keys()
            query = "SELECT phase, work FROM batches WHERE id = ?"
            return rows, {of: db.execute(query, (of,)).fetchone() for of in unknown}

        rows, batches = self._database.do(look)
        settled = {of: found for of, found in batches.items() if found is not None}
        for of, (phase, work) in settled.items():
            try:
                done = Work.model_validate_json(work) if work else Work()
                self._batches[of] = (Phase.model_validate_json(phase), done)
            except ValueError:  # of another version: made again
                rows = [row for row in rows if row[2] != of]
        found = {}
        for key, plain, batch, share in rows:
            try:
                made = self._read(plain)
            except ValueError:  # as above
                continue
            found[key] = Kept(made, batch, share if batch in self._batches else None)
        return found

    def use(self, things: Mapping[Key, Kept[Made]]) -> None:
        """Note settled things as used again, for `recalled_since`."""
        self._events += [
            _Event(kept.batch, key, kept.share or 0.0, self._own(kept.made))
            for key, kept in things.items()
        ]

    def begin(self) -> str:
        """The name of a batch that is made from now on."""
        batch = secrets.token_hex(8)
        self._events.append(_Event(batch))
        return batch

    def _settle(
        self, batch: str, things: Mapping[Key, Made], parts: Sequence[float], phase: Phase
    ) -> None:
        """Write a batch and its phase, of which each thing has its part; the parts sum to 1."""
        plain = phase.model_copy(update={"error": None}).model_dump_json()
        rows = [
            (key, self._plain(made), batch, part)
            for (key, made), part in zip(things.items(), parts, strict=True)
        ]

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, NULL)", (batch, plain))
            db.executemany(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, ?, ?)", rows)

        self._database.do(write)

    def mark(self) -> int:
        """A moment, for `recalled_since`."""
        return len(self._events)

    def _recalled_since(self, mark: int) -> tuple[int, tuple[Phase, ...], Work]:
        """What was used since `mark` and made before it, each thing once, with what it cost.

        Not to be asked within a metered phase, as `Pool.work_since`.
        """
        while self._unworked:
            self._work_out(*self._unworked.pop())
        events = self._events[mark:]
        made = {event.batch for event in events if not event.key}
        used = {event.key: event for event in events if event.key and event.batch not in made}
        parts: dict[str, float] = {}
        done = NO_WORK
        for event in used.values():
            parts[event.batch] = parts.get(event.batch, 0.0) + event.share
            if event.own is not None:
                done += event.own
        done = sum((_part(self._batches[of][1], part) for of, part in parts.items()), done)
        phases = tuple(scaled(self._batches[of][0], part) for of, part in parts.items())
        return len(used), phases, done

    def _work_out(self, batch: str, work: Callable[[], Work]) -> None:
        """Write what a batch was worth, which could not be counted while it was metered."""
        done = work()
        row = (done.model_dump_json(), batch)
        self._database.do(lambda db: db.execute("UPDATE batches SET work = ? WHERE id = ?", row))
        if batch in self._batches:
            self._batches[batch] = (self._batches[batch][0], done)

    def count(self) -> int:
        """How many things are kept."""
        if not self.path.is_file():
            return 0
        query = f"SELECT COUNT(*) FROM {self.table}"
        return int(self._database.do(lambda db: db.execute(query).fetchone()[0]))

    def stored_bytes(self) -> int:
        """Bytes on disk."""
        return self._database.stored_bytes()

    def remove(self) -> int:
        """Delete all of them, and what they cost; how many bytes. Not while others use them."""
        return self._database.remove()

    def close(self) -> None:
        """Let the file go. May be called twice; it is opened again when it is used."""
        self._database.close()


def _part(work: Work, part: float) -> Work:
    """So much of the operations and the bytes of a batch; tokens are each thing's own."""
    return Work(
        flops=None if work.flops is None else work.flops * part,
        flops_method=work.flops_method,
        bytes_moved=None if work.bytes_moved is None else work.bytes_moved * part,
    )
