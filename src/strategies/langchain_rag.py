"""LangChain RAG: retrieval by any LangChain vector store or retriever, on this machine or not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ..context_sources import LangChainSource
from ..errors import CannotRun, StorageError
from ..files import read_text, write_json, write_json_lines
from ..measure.quality.custom import DOTTED
from ..measure.record import Bill
from ..measure.refresh import How
from ..models.fetch import resolve
from ..models.langchain_factory import HERE, NAMED
from ..system import System
from ..tasks.task import Task
from .base import Context, Part, Previous, Stage, Strategy

FILLED = "filled.json"
"""What filling had cost when its last batch was in."""
CUTTING = ("chunk_tokens", "overlap_tokens", "chunks")


class LangChainRAG(Strategy):
    """Retrieve the top `k` from the store that a function makes, ``package.module:function``.

    With ``@this_machine`` behind the name the meter sees what the store draws. With `fill` the
    task's documents are cut as `rag` cuts them and put into it, as far as it does not hold them;
    tokens are estimated, at four bytes each. Without, it holds the documents already. What scores
    below `threshold` is left out; a plain retriever tells no scores.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"documents"})
    settings_that_build: ClassVar[frozenset[str] | None] = frozenset(
        {"factory", "revision", *CUTTING}
    )

    type: Literal["langchain_rag"] = "langchain_rag"
    factory: str
    k: int = Field(default=2, ge=1, le=100)
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    fill: bool = False
    chunk_tokens: int = Field(default=200, ge=16, le=8192)
    overlap_tokens: int = Field(default=20, ge=0)
    chunks: Literal["heading", "sentences"] = "heading"

    @field_validator("factory")
    @classmethod
    def _a_name(cls, factory: str) -> str:
        if not DOTTED.fullmatch(factory.removesuffix(HERE)):
            raise ValueError(
                f"factory is {factory}; the name of a function is expected, as "
                f"package.module:function, or package.module:function{HERE}"
            )
        return factory

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        for name in CUTTING:
            if not self.fill and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} says how documents are cut that are put into the store, and fill is "
                    "false; leave it out, or set fill: true"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """As every step's, with a digest of the file that the factory stands in."""
        revision = resolve(f"{NAMED}{self.factory}", kind="embedder").revision
        return {**super().identity(), "revision": revision}

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """There must be something to fill the store with."""
        if self.fill and not task.documents:
            raise CannotRun(
                "langchain_rag.fill puts the task's documents into the store, and the task has none"
                " (`documents:` of a task folder); without fill, the store has to hold them already"
            )

    def prepare(self, system: System, ctx: Context) -> System:
        """A store that is not filled here needs no stage."""
        if self.fill:
            return super().prepare(system, ctx)
        return system.with_source(self._source())

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        """The store keeps what did not change."""
        return "updated"

    def warm_up(self, system: System, ctx: Context) -> None:
        """The splitter, and the store, whose opening is charged to answering."""
        import langchain_text_splitters  # noqa: F401

        ctx.store(self.factory)

    def build(self, system: System, ctx: Context) -> None:
        """Chunk, keep the chunks, and fill the store."""
        from ..answering.langchain_store import fill
        from ..models.langchain_embedder import estimated_tokens
        from ..rag.chunking import chunk_documents
        from ..rag.index_files import CHUNKS_FILE

        chunks = chunk_documents(
            ctx.task.documents,
            size=self.chunk_tokens,
            overlap=self.overlap_tokens,
            count_tokens=estimated_tokens,
            by=self.chunks,
        )
        plain = [chunk.plain() for chunk in chunks]
        write_json_lines(ctx.workdir / CHUNKS_FILE, plain)
        # What a killed attempt put in is still in the store, and so is not to be had for nothing.
        note = ctx.effort.folder / FILLED
        with contextlib.suppress(StorageError, ValueError):
            ctx.effort.carry(Bill.model_validate_json(read_text(note)))
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            ctx.progress("filling the store", done, len(plain))
            write_json(note, ctx.effort.spent().plain())
            ctx.effort.note()

        put = fill(ctx.store(self.factory), plain, told)
        ctx.details.update(chunks=len(plain), put_into_the_store=put)

    def attach(self, system: System, stage: Stage) -> System:
        """Let the System retrieve the stage's chunks from the store."""
        return system.with_source(self._source().model_copy(update={"stage": stage.ref}))

    def _source(self) -> LangChainSource:
        return LangChainSource(factory=self.factory, k=self.k, threshold=self.threshold)
