"""Retrieval alone: what a System would be given to read, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .context_sources import NearestShots, ShotsSource
from .errors import InputError
from .loading import system_of
from .measure.record import Record
from .stages import StageStore
from .system import System, check_free_questions

if TYPE_CHECKING:
    from .answering.langchain_retriever import SystemRetriever


def as_retriever(
    system: System | Record | Path | str, k: int | None = None, *, stages: StageStore | None = None
) -> SystemRetriever:
    """What a System retrieves as LangChain's `BaseRetriever`; `system` may also be the folder that
    it was saved in, or the Record of its run, or that record's file.

    Documents have the chunk's id, and in their metadata `document`, `title`, `score`, `source`, and
    what else is known of the document. `k` is the most chunks of an index or a store, in the place
    of the System's own. Nothing is opened before it is asked; `close` frees what is. Raises
    `InputError` for a System without passages, or where `k` has nothing to set, `CannotRun` for
    oracle passages, which a free question has not.
    """
    from .answering.langchain_retriever import SystemRetriever

    system = system_of(system)
    if all(isinstance(source, ShotsSource | NearestShots) for source in system.sources):
        raise InputError(
            "this system retrieves nothing: its prompts have no passages; take one that was made "
            "with rag, tree_rag or another step that gives some"
        )
    check_free_questions(system)
    if k is not None:
        system = _with_k(system, k)
    return SystemRetriever(system=system, stages=stages or StageStore())


def _with_k(system: System, k: int) -> System:
    if k < 1:
        raise InputError(f"k is {k}; at least 1 passage must be asked for")
    searched = [source.type for source in system.sources if source.type in ("index", "langchain")]
    if not searched:
        raise InputError(
            "k is the number of chunks of an index or a LangChain store, and this system has "
            "neither; leave it out"
        )
    return system.model_copy(
        update={
            "sources": tuple(
                source.model_copy(update={"k": k}) if source.type in searched else source
                for source in system.sources
            )
        }
    )
