"""Task: what must be answered well. Values only; readers stand beside, in their own files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import FiniteFloat, field_validator

from ..values import Value, digest
from .hierarchy import Entity

Split = Literal["train", "validation", "test"]
REFUSAL = "I do not know."
"""The answer expected to an unanswerable question where a task names none."""
Metadata = dict[str, str | int | FiniteFloat | bool]
"""What is told about a document beside its text, such as its author; for filters and citations."""
PAGES = "pages"
"""Metadata of a document whose text is in that many pages, with a `PAGE_BREAK` between two."""
PAGE_BREAK = "\f"


class Turn(Value):
    """What one side said in a chat."""

    role: Literal["user", "assistant"]
    text: str


class Example(Value):
    """One question with its accepted answers, the first being canonical.

    `evidence` names the documents an answer follows from; `group` is shared by rewordings of one
    question, and by the turns of one chat; `kind` and `tags` divide the report; `format` is a
    regular expression that the whole answer must match. `history` are the turns of a chat before
    the question, user and assistant by turns.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    kind: str = "question"
    tags: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    group: str | None = None
    format: str | None = None
    history: tuple[Turn, ...] = ()

    @field_validator("history")
    @classmethod
    def _by_turns(cls, history: tuple[Turn, ...]) -> tuple[Turn, ...]:
        if [turn.role for turn in history] != ["user", "assistant"] * (len(history) // 2):
            raise ValueError("history: user and assistant by turns, the user first")
        return history

    def plain(self) -> dict[str, Any]:
        """As JSON types; `format` and `history` only where there is one, so that digests stay as
        they were."""
        content = super().plain()
        return {
            key: value
            for key, value in content.items()
            if value or key not in ("format", "history")
        }


class Document(Value):
    """One page of text; its id is stable over versions of the task."""

    id: str
    text: str
    title: str = ""
    metadata: Metadata = {}

    def plain(self) -> dict[str, Any]:
        """As JSON types; `metadata` only where there is some, so that digests stay as they were."""
        content = super().plain()
        if not self.metadata:
            del content["metadata"]
        return content


@dataclass(frozen=True)
class Task:
    """Examples, documents, an optional hierarchy of entities, and the metrics, as one value.

    `notes` are sentences for a person about what its files hold: what was left out or empty.
    """

    name: str
    version: str = "1"
    description: str = ""
    train: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    documents: tuple[Document, ...] = ()
    hierarchy: Entity | None = None
    metrics: tuple[str, ...] = ("token_f1", "exact_match", "contained")
    refusal: str = REFUSAL
    folder: Path | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def split(self, name: Split) -> tuple[Example, ...]:
        """The examples of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def part_digest(self, part: str) -> str:
        """Content digest of one part: a split, ``documents``, ``hierarchy`` or ``refusal``."""
        content = getattr(self, part)
        if isinstance(content, tuple):
            return digest([item.plain() for item in content])
        return digest(content.plain() if isinstance(content, Value) else content)

    @property
    def fingerprint(self) -> str:
        """Content digest of the whole task; where its files lie does not matter."""
        parts = ("train", "validation", "test", "documents", "hierarchy", "refusal")
        return digest([self.name, self.version, list(self.metrics), *map(self.part_digest, parts)])

    def without_test(self) -> Task:
        """The view a strategy may see."""
        return replace(self, test=())
