"""Replies kept on disk: what a model wrote once is not asked for, nor paid for, again.

Each reply is written as it comes, so a killed process loses none. Replies of one asking are a
batch: when it ends, they are settled with its metered phase, and each has its share of it. Those
are the first joules of a reply. Used again, it carries them in attributed figures, never in what
was spent.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ..database import Database
from ..files import cache_folder
from ..measure.phases import add_phases, scaled
from ..measure.record import Phase
from ..measure.work import NO_WORK, Work
from ..models.generation import Reply

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, phase TEXT NOT NULL, work TEXT);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, reply TEXT NOT NULL, batch TEXT NOT NULL, share REAL);
"""


class Kept(NamedTuple):
    """A reply that was kept, its batch, and its share of it: None while it is not settled."""

    reply: Reply
    batch: str
    share: float | None


class _Event(NamedTuple):
    """A reply of an earlier batch that was used, or (without one) a batch that was made."""

    batch: str
    key: str = ""
    kept: Kept | None = None


class Recalled(NamedTuple):
    """Replies that were used again: how many, and what they first cost."""

    replies: int = 0
    phases: tuple[Phase, ...] = ()
    work: Work = NO_WORK

    def added_to(self, phase: Phase) -> Phase:
        """`phase` as it would have been, had they been asked for in it."""
        if not self.phases:
            return phase
        same = {"parent": phase.parent, "repeats": phase.repeats}
        return add_phases([phase, *self.phases]).model_copy(update=same)


class ResponseCache:
    """The replies in one file, a `Database`, by their keys; and which of them were used again."""

    def __init__(
        self, path: Path | None = None, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.path = path or cache_folder() / "responses.sqlite"
        self._database = Database(self.path, SCHEMA, say)
        self._events: list[_Event] = []
        self._batches: dict[str, tuple[Phase, Work]] = {}
        self._unworked: list[tuple[str, Callable[[], Work]]] = []

    def find(self, keys: Sequence[str]) -> dict[str, Kept]:
        """The kept replies among `keys`."""

        def look(db: sqlite3.Connection) -> list[tuple[str, str, str, float | None, str, str]]:
            query = (
                "SELECT key, reply, batch, share, phase, work FROM replies "
                "LEFT JOIN batches ON id = batch WHERE key = ?"
            )
            return [row for key in dict.fromkeys(keys) for row in db.execute(query, (key,))]

        found = {}
        for key, reply, batch, share, phase, work in self._database.do(look):
            with contextlib.suppress(ValidationError):  # of another version: asked for again
                if phase is not None and batch not in self._batches:
                    self._batches[batch] = (
                        Phase.model_validate_json(phase),
                        Work.model_validate_json(work) if work else Work(),
                    )
                made = Reply.model_validate_json(reply)
                found[key] = Kept(made, batch, share if phase is not None else None)
        return found

    def use(self, replies: Mapping[str, Kept]) -> None:
        """Note settled replies as used again, for `recalled_since`."""
        self._events += [_Event(kept.batch, key, kept) for key, kept in replies.items()]

    def begin(self) -> str:
        """The name of a batch that is made from now on."""
        batch = secrets.token_hex(8)
        self._events.append(_Event(batch))
        return batch

    def keep(self, key: str, reply: Reply, batch: str) -> None:
        """Write one reply as it comes, unless there is one of this key; see `settle`."""
        row = (key, _plain(reply), batch, None)
        self._database.do(
            lambda db: db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", row)
        )

    def settle(
        self, batch: str, replies: Mapping[str, Reply], phase: Phase, work: Callable[[], Work]
    ) -> None:
        """Give the replies of a batch their shares of its phase, which sum to 1.

        `work` is called later, outside of any phase: to count operations takes seconds.
        """
        if not replies:
            return
        plain = phase.model_copy(update={"error": None}).model_dump_json()
        parts = shares(list(replies.values()))
        rows = [
            (key, _plain(reply), batch, part)
            for (key, reply), part in zip(replies.items(), parts, strict=True)
        ]

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, NULL)", (batch, plain))
            db.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", rows)

        self._database.do(write)
        self._unworked.append((batch, work))

    def mark(self) -> int:
        """A moment, for `recalled_since`."""
        return len(self._events)

    def recalled_since(self, mark: int) -> Recalled:
        """The replies used since `mark` that were made before it, each once, with what they cost.

        Not to be asked within a metered phase, as `Pool.work_since`.
        """
        while self._unworked:
            self._work_out(*self._unworked.pop())
        events = self._events[mark:]
        made = {event.batch for event in events if event.kept is None}
        used = {e.key: e.kept for e in events if e.kept is not None and e.batch not in made}
        parts: dict[str, float] = {}
        done = NO_WORK
        for kept in used.values():
            parts[kept.batch] = parts.get(kept.batch, 0.0) + (kept.share or 0.0)
            done += _share_of(self._batches[kept.batch][1], kept)
        phases = tuple(scaled(self._batches[batch][0], part) for batch, part in parts.items())
        return Recalled(len(used), phases, done)

    def _work_out(self, batch: str, work: Callable[[], Work]) -> None:
        done = work()
        row = (done.model_dump_json(), batch)
        self._database.do(lambda db: db.execute("UPDATE batches SET work = ? WHERE id = ?", row))
        if batch in self._batches:
            self._batches[batch] = (self._batches[batch][0], done)

    def count(self) -> int:
        """How many replies are kept."""
        if not self.path.is_file():
            return 0
        query = "SELECT COUNT(*) FROM replies"
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


def shares(replies: Sequence[Reply]) -> list[float]:
    """Each reply's share of what all cost together, by the tokens read anew and written.

    Equal shares where tokens are not known.
    """
    tokens = [
        None
        if one.tokens_in is None or one.tokens_out is None
        else one.tokens_in - one.tokens_reused + one.tokens_out
        for one in replies
    ]
    known = [count for count in tokens if count is not None]
    whole = sum(known)
    if len(known) < len(tokens) or whole <= 0:
        return [1 / len(replies)] * len(replies)
    return [count / whole for count in known]


def _share_of(work: Work, kept: Kept) -> Work:
    """What one reply of a batch took: its own tokens, its share of the operations."""
    made, share = kept.reply, kept.share or 0.0
    return Work(
        tokens_in=made.tokens_in,
        tokens_out=made.tokens_out,
        tokens_reused=made.tokens_reused,
        flops=None if work.flops is None else work.flops * share,
        flops_method=work.flops_method,
        bytes_moved=None if work.bytes_moved is None else work.bytes_moved * share,
    )


def _plain(reply: Reply) -> str:
    """A reply as JSON, without how long it was waited for: that is not so again."""
    fields = {name: getattr(reply, name) for name in Reply.model_fields if name != "first_token_s"}
    return json.dumps(fields, ensure_ascii=False)
