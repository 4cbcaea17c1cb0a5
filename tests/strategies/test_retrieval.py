"""RAG and tree RAG with a real index, a real (tiny) embedder and a real tree."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from wattune import RAG, TreeRAG
from wattune.answering.session import Session
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.prompt import fenced


@pytest.fixture
def rag(embedder: str) -> RAG:
    return RAG(k=2, chunk_tokens=40, overlap_tokens=4, embedder=embedder)


def job(ferry: Any, base: Any, *steps: Any) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base)


def test_the_nearest_chunks_stand_in_the_prompt_and_are_cited(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    system, (bill,) = runner.builder.prepare(job(ferry, base, rag))
    session = Session(system, runner.pool)
    (rendered,) = session.render([ferry.test[0]])
    least = rendered.passages[1]
    (answer,) = session.answer([least.text])
    assert len(answer.passages) == 2
    # Its own words are nearest to a chunk, even by random weights.
    assert answer.passages[0].model_copy(update={"score": least.score}) == least
    assert answer.passages[0].source == "index"
    assert answer.passages[0].score == pytest.approx(1, abs=1e-3)
    asked = rendered.messages[-1]["content"]
    assert asked.startswith(f"{fenced(rendered.passages, 'tags')}\n\nQuestion: ")
    assert asked.endswith(ferry.test[0].question)
    assert bill.details["chunks"] >= len(ferry.documents)
    assert bill.artefact_bytes > 0


def test_k_belongs_to_asking_and_chunks_to_building(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    _, (first,) = runner.builder.prepare(job(ferry, base, rag))
    system, (more,) = runner.builder.prepare(job(ferry, base, rag.model_copy(update={"k": 3})))
    _, (cut,) = runner.builder.prepare(
        job(ferry, base, rag.model_copy(update={"chunk_tokens": 30}))
    )
    assert (more.key, more.reused) == (first.key, True)
    assert (cut.key != first.key, cut.reused) == (True, False)
    assert len(Session(system, runner.pool).render([ferry.test[0]])[0].passages) == 3


def test_rag_and_tree_rag_share_one_index(runner: Any, ferry: Any, base: Any, rag: RAG) -> None:
    _, (index,) = runner.builder.prepare(job(ferry, base, rag))
    system, bills = runner.builder.prepare(job(ferry, base, TreeRAG(rag=rag)))
    assert [(bill.strategy, bill.reused) for bill in bills] == [("rag", True), ("tree_rag", False)]
    assert bills[0].key == index.key
    # Reused costs this run nothing; the comparison still charges what it cost when it was made.
    assert bills[0].spent.duration_s == 0
    assert bills[0].spent.energy_j == 0
    assert bills[0].attributed == index.spent
    assert index.spent.duration_s > 0
    assert bills[1].details["entities"] == 8
    manifests = list(runner.stages.root.glob("*/stage.json"))
    assert len(manifests) == 2
    assert [source.type for source in system.sources] == ["index", "tree"]


def test_the_tree_speaks_first_and_is_silent_where_nothing_is_named(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    system, _ = runner.builder.prepare(job(ferry, base, TreeRAG(rag=rag)))
    session = Session(system, runner.pool)
    named, silent = session.render(
        [example for example in ferry.test if example.id in ("test-mate", "test-moon")]
    )
    assert [passage.source for passage in named.passages] == ["tree", "index", "index"]
    assert "Night Crew" in named.passages[0].text
    assert "Per Holm" in named.passages[0].text
    assert [passage.source for passage in silent.passages] == ["index", "index"]


def test_the_tree_alone_needs_no_index(runner: Any, ferry: Any, base: Any) -> None:
    system, (bill,) = runner.builder.prepare(job(ferry, base, TreeRAG(rag=None, max_words=12)))
    assert bill.strategy == "tree_rag"
    (rendered,) = Session(system, runner.pool).render([ferry.test[8]])
    (passage,) = rendered.passages
    assert len(passage.text.split()) <= 12


def test_what_a_task_has_not_got_cannot_be_used(
    runner: Any, ferry: Any, base: Any, rag: RAG
) -> None:
    with pytest.raises(CannotRun, match="rag needs documents and the task has none"):
        runner.builder.prepare(job(replace(ferry, documents=()), base, rag))
    with pytest.raises(CannotRun, match="tree_rag needs a hierarchy and the task has none"):
        runner.builder.prepare(job(replace(ferry, hierarchy=None), base, TreeRAG(rag=None)))


def test_a_changed_page_makes_another_index(runner: Any, ferry: Any, base: Any, rag: RAG) -> None:
    _, (first,) = runner.builder.prepare(job(ferry, base, rag))
    pages = list(ferry.documents)
    pages[0] = pages[0].model_copy(update={"text": pages[0].text + " And one more sentence."})
    changed = replace(ferry, documents=tuple(pages))
    _, (second,) = runner.builder.prepare(job(changed, base, rag))
    assert second.key != first.key
    manifest = json.loads((runner.stages.root / first.key / "stage.json").read_text())
    assert manifest["inputs"]["documents"] == ferry.part_digest("documents")
    assert manifest["inputs"]["documents"] != changed.part_digest("documents")
