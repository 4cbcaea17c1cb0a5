"""What a System retrieves as LangChain's `BaseRetriever`, alone and in a chain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import wattune as wt
from wattune.answering.pool import Pool
from wattune.answering.session import Session
from wattune.artefact.saving import save_system
from wattune.context_sources import IndexSource
from wattune.errors import CannotRun, InputError
from wattune.job import Job
from wattune.system import System
from wattune.tasks.task import Example

ASKED = ["Who sells tickets?", "When does no boat sail?", "Who mends engines?"]


@pytest.fixture
def system(runner: Any, ferry: Any, base: Any, embedder: str) -> System:
    """A tree and an index over pages that have metadata."""
    pages = tuple(
        page.model_copy(update={"metadata": {"year": 2024, "source": "desk"}})
        for page in ferry.documents
    )
    rag = wt.RAG(k=2, chunk_tokens=40, overlap_tokens=4, embedder=embedder)
    step = wt.TreeRAG(rag=rag)
    task = replace(ferry, documents=pages)
    made: System = runner.builder.prepare(
        Job(name="it", strategies=(step,), task=task, system=base)
    )[0]
    return made


@pytest.fixture
def retriever(system: System) -> Iterator[Any]:
    with wt.as_retriever(system) as made:
        yield made


def test_oracle_passages_are_refused_to_a_free_question(system: System) -> None:
    sources = tuple(
        source.model_copy(update={"retriever": "oracle"})
        if isinstance(source, IndexSource)
        else source
        for source in system.sources
    )
    with pytest.raises(CannotRun, match="a free question has none; take a system with retriever"):
        wt.as_retriever(system.model_copy(update={"sources": sources}))


def test_it_gives_what_a_prompt_would_have(retriever: Any, system: System, runner: Any) -> None:
    assert isinstance(retriever, BaseRetriever)
    question = "Who heads the Deck Division?"
    (rendered,) = Session(system, runner.pool).render(
        [Example(id="", question=question, answers=())]
    )
    told, *found = retriever.invoke(question)
    assert [one.page_content for one in (told, *found)] == [p.text for p in rendered.passages]
    assert (told.id, told.metadata["source"], told.metadata["score"]) == (None, "tree", None)
    for document, passage in zip(found, rendered.passages[1:], strict=True):
        assert isinstance(document, Document)
        assert document.id == passage.id
        # Of a document's metadata what wattune says itself under the same name goes before.
        assert document.metadata == {
            "document": passage.document,
            "title": passage.title,
            "score": passage.score,
            "source": "index",
            "year": 2024,
        }
    assert len(found) == 2


def test_it_stands_in_a_chain_by_all_ways_of_asking(retriever: Any) -> None:
    def shown(found: list[Document]) -> str:
        return " ".join(str(one.metadata["document"]) for one in found)

    def prompt(given: dict[str, str]) -> str:
        return f"{given['question']} {given['context']}"

    context = retriever | RunnableLambda(shown)
    chain = {"context": context, "question": RunnablePassthrough()} | RunnableLambda(prompt)
    one_by_one = [chain.invoke(question) for question in ASKED]
    assert chain.batch(ASKED) == one_by_one
    assert len(set(one_by_one)) == 3
    assert retriever.batch(ASKED) == [retriever.invoke(question) for question in ASKED]
    assert retriever.batch([]) == []

    async def both() -> Any:
        return await asyncio.gather(chain.ainvoke(ASKED[0]), retriever.abatch(ASKED))

    alone, together = asyncio.run(both())
    assert alone == one_by_one[0]
    assert together == retriever.batch(ASKED)


def test_a_batch_is_embedded_together_and_told_to_callbacks(retriever: Any) -> None:
    heard: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            heard.append("start")

        def on_chain_end(self, *_: Any, **__: Any) -> None:
            heard.append("end")

    retriever.invoke(ASKED[0])
    account = next(a for a in retriever._pool.accounts if a.tally.heads)
    before = account.tally.passes
    retriever.batch(ASKED, {"callbacks": [Listener()]})
    assert account.tally.passes == before + 1
    assert heard == ["start"] * 3 + ["end"] * 3


def test_it_is_made_of_a_folder_a_record_and_another_k(
    retriever: Any, system: System, runner: Any, tmp_path: Path
) -> None:
    expected = retriever.invoke(ASKED[0])
    folder = save_system(system, tmp_path / "saved", stages=runner.stages)
    with wt.as_retriever(folder) as saved, wt.as_retriever(str(folder), k=1) as one:
        assert saved.invoke(ASKED[0]) == expected
        assert one.invoke(ASKED[0]) == [
            *(found for found in expected if found.metadata["source"] == "tree"),
            next(found for found in expected if found.metadata["source"] == "index"),
        ]
    record = wt.Record.model_construct(name="it", key="k", system=system.plain())
    with wt.as_retriever(record) as of_record:
        assert of_record.invoke(ASKED[0]) == expected


def test_nothing_is_opened_before_it_is_asked_and_nothing_after_it_was_closed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    embedder = Pool.embedder

    def noted(self: Pool, name: str) -> Any:
        opened.append(name)
        return embedder(self, name)

    monkeypatch.setattr(Pool, "embedder", noted)
    retriever = wt.as_retriever(system)
    assert opened == []
    first = retriever.invoke(ASKED[0])
    assert len(opened) == 1
    retriever.close()
    retriever.close()
    assert retriever._pool is None
    assert retriever.invoke(ASKED[0]) == first
    assert len(opened) == 2
    retriever.close()


def test_what_retrieves_nothing_is_refused(base: Any, runner: Any, ferry: Any) -> None:
    with pytest.raises(InputError, match="retrieves nothing"):
        wt.as_retriever(base)
    tree, _ = runner.builder.prepare(
        Job(name="it", strategies=(wt.TreeRAG(rag=None),), task=ferry, system=base)
    )
    with pytest.raises(InputError, match="this system has neither"):
        wt.as_retriever(tree, k=3)
    with pytest.raises(InputError, match="k is 0"):
        wt.as_retriever(tree, k=0)
