"""Passages: what a finished System is given to read, changed; nothing is built.

A tuned System is asked as it is, with the passages of the evidence alone (oracle) and closed-book,
and all three share what was trained before: is it retrieval that fails, or reading, or neither?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..context_sources import IndexSource
from ..errors import CannotRun
from ..system import System
from ..tasks.task import Task
from .base import Context, Strategy

UNREAD = ("shots", "nearest_shots")
"""Sources of context that are no passages."""


class SwapPassages(Strategy):
    """Look into the whole index, or into the question's own evidence alone (`oracle`), or give no
    passages at all (`none`): neither of an index, nor of a tree, nor whole documents."""

    type: Literal["swap_passages"] = "swap_passages"
    retriever: Literal["index", "oracle", "none"] = "none"

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """There must be something to change."""
        if self.retriever == "none":
            if all(source.type in UNREAD for source in system.sources):
                raise CannotRun(
                    "swap_passages.retriever is none, and the System has no passages that could be "
                    "taken away; put rag or another step that gives some before it"
                )
        elif not any(isinstance(source, IndexSource) for source in system.sources):
            raise CannotRun(
                f"swap_passages.retriever is {self.retriever}, and the System has no index of "
                "documents to look into; put rag before it"
            )

    def prepare(self, system: System, ctx: Context) -> System:
        """The System with other passages; there is no stage."""
        if self.retriever == "none":
            kept = tuple(source for source in system.sources if source.type in UNREAD)
        else:
            kept = tuple(
                source.model_copy(update={"retriever": self.retriever})
                if isinstance(source, IndexSource)
                else source
                for source in system.sources
            )
        return system.model_copy(update={"sources": kept})
