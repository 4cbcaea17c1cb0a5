"""What a model replied while it drafted, a batch a line, so that a kill loses one batch at most."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from ..files import read_text, storage, write_text
from ..measure.record import Bill
from ..values import Value


class _Batch(Value):
    """Replies by the digest of what was asked, and what all that was asked until then has cost."""

    replies: dict[str, str]
    spent: Bill


class Journal:
    """The replies in a file; a last line that was torn by a kill is dropped when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.replies: dict[str, str] = {}
        self.spent: Bill | None = None
        if not path.is_file():
            return
        whole: list[str] = []
        lines = read_text(path).split("\n")
        for line in lines[:-1]:
            try:
                batch = _Batch.model_validate_json(line)
            except ValidationError:
                break
            whole.append(f"{line}\n")
            self.replies |= batch.replies
            self.spent = batch.spent
        if len(whole) < len(lines) - 1 or lines[-1]:
            write_text(path, "".join(whole))

    def keep(self, replies: Mapping[str, str], spent: Bill) -> None:
        """Add a batch, on disk when this returns."""
        row = json.dumps(
            {"replies": dict(replies), "spent": spent.plain()}
        )  # ASCII: cut anywhere it is text
        with storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(f"{row}\n")
                stream.flush()
                os.fsync(stream.fileno())
        self.replies |= replies
        self.spent = spent
