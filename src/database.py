"""One SQLite file that several processes may use at once, and that any of them may die over."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from .errors import StorageError

BUSY_S = 30.0
"""How long a write waits for another process's."""

DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's codes of a file that is none of ours: other tables, broken pages, no database."""

Result = TypeVar("Result")


class Database:
    """A file with the tables of `schema`, made where it is not there.

    What is in it can be made again: a damaged file is moved aside, which `say` is told, and an
    empty one takes its place. It is opened when it is first used, and again after `close`. All
    methods raise `StorageError` where it cannot be used, for a full disk above all.
    """

    def __init__(self, path: Path, schema: str, say: Callable[[str], None]) -> None:
        self.path = path
        self._schema, self._say = schema, say
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def do(self, what: Callable[[sqlite3.Connection], Result]) -> Result:
        """`what`, in a transaction, from any thread; twice where the file was damaged."""
        with self._lock, self._sentences():
            try:
                with self._opened() as connection:
                    return what(connection)
            except sqlite3.DatabaseError as error:
                if _code(error) not in DAMAGED:
                    raise
                self._set_aside()
            with self._opened() as connection:
                return what(connection)

    def stored_bytes(self) -> int:
        """Bytes of the file, of what SQLite keeps beside it, and of a damaged one."""
        return sum(path.stat().st_size for path in self._files())

    def remove(self) -> int:
        """Delete all of it, also on a full disk; how many bytes. Not while others use it."""
        self.close()
        freed = self.stored_bytes()
        with self._sentences():
            for path in self._files():
                path.unlink(missing_ok=True)
        return freed

    def close(self) -> None:
        """Let the file go. May be called twice."""
        with self._lock:
            self._let_go()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            made = sqlite3.connect(self.path, timeout=BUSY_S, check_same_thread=False)
            self._connection = made
            with contextlib.suppress(sqlite3.OperationalError):  # file systems that have no WAL
                made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA synchronous = NORMAL")  # safe for a killed process, and quick
            made.executescript(self._schema)
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _set_aside(self) -> None:
        self._let_go()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with contextlib.suppress(FileNotFoundError):  # another process was first
            self.path.replace(aside)
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self._say(f"{self.path} is damaged: it is {aside.name} now, and a new one is begun")

    def _files(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}*"))

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            # What stands in it stays; a connection that failed half-way may not serve again.
            self._let_go()
            if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_FULL:
                raise StorageError(
                    f"the disk is full: {self.path} was not written; free some space and run "
                    "again (what it holds is kept), or run with --no-cache"
                ) from error
            raise StorageError(
                f"{self.path} cannot be used ({error}); choose another cache, or run with "
                "--no-cache"
            ) from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error, without what refines it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
