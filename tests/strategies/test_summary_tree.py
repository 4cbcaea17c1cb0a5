"""The summary tree as a step of a run: built, asked, resumed, saved, and refused where it must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import SummaryTree, load_system
from wattune.answering.session import Session
from wattune.context_sources import SummarySource
from wattune.errors import CannotRun, StorageError
from wattune.job import Job
from wattune.models.generation import Reply
from wattune.rag.extractive import Extractive
from wattune.rag.summaries import SEVERAL, known_summaries
from wattune.rag.summary_index import NODES_FILE
from wattune.system import parse_system


@pytest.fixture
def tree(embedder: str) -> SummaryTree:
    return SummaryTree(
        chunk_tokens=24, overlap_tokens=2, summary_tokens=30, budget_tokens=60, fan=3,
        embedder=embedder,
    )  # fmt: skip


def changed(tree: SummaryTree, **settings: Any) -> SummaryTree:
    return SummaryTree(**(tree.plain() | settings))


def prepared(runner: Any, ferry: Any, base: Any, *steps: Any, seed: int = 0) -> tuple[Any, Any]:
    job = Job(name="it", strategies=steps, task=ferry, system=base, seed=seed)
    system, (bill,) = runner.builder.prepare(job)
    return Session(system, runner.pool), bill


@pytest.mark.parametrize("shape", ["windows", "headings", "clusters"])
def test_chunks_and_summaries_come_within_the_budget(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree, shape: str
) -> None:
    session, bill = prepared(runner, ferry, base, changed(tree, shape=shape))
    count = runner.pool.embedder(tree.embedder).count_tokens
    for asked in session.render(ferry.test):
        assert asked.passages
        assert sum(count(passage.text) for passage in asked.passages) <= 60
        known = {document.id for document in ferry.documents} | {SEVERAL}
        assert {passage.document for passage in asked.passages} <= known
    assert bill.details["nodes"] > 0
    assert bill.details["levels"] >= 2
    assert runner.pool.loads_of(session.system) == [tree.embedder]


def test_how_it_is_asked_costs_no_new_tree_and_the_seed_only_clusters(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree
) -> None:
    _, one = prepared(runner, ferry, base, tree)
    session, two = prepared(
        runner, ferry, base, changed(tree, retrieve="top_down", beam=2, budget_tokens=90), seed=5
    )
    assert (two.key, two.reused) == (one.key, True)
    (found,) = session.render([ferry.test[0]])
    assert all("#" in passage.id for passage in found.passages)
    clusters = changed(tree, shape="clusters")
    assert prepared(runner, ferry, base, clusters)[1].key != one.key
    assert (
        prepared(runner, ferry, base, clusters, seed=1)[1].key
        != prepared(runner, ferry, base, clusters, seed=2)[1].key
    )


def test_a_killed_build_does_not_summarise_again(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattune.strategies.summary_tree.EXTRACTED_TOGETHER", 2)
    asked: list[int] = []
    real = Extractive.__call__

    def dying(self: Extractive, nodes: Sequence[Any]) -> list[str]:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(nodes))
        return real(self, nodes)

    monkeypatch.setattr(Extractive, "__call__", dying)
    with pytest.raises(KeyboardInterrupt):
        prepared(runner, ferry, base, tree)
    before = sum(asked)

    def counting(self: Extractive, nodes: Sequence[Any]) -> list[str]:
        asked.append(len(nodes))
        return real(self, nodes)

    monkeypatch.setattr(Extractive, "__call__", counting)
    _, bill = prepared(runner, ferry, base, tree)
    assert before == 4
    assert sum(asked) == bill.details["nodes"]
    assert len(known_summaries(runner.stages.root / bill.key)) == bill.details["nodes"]


@pytest.mark.parametrize("shape", ["windows", "headings"])
def test_a_refresh_summarises_and_embeds_what_changed_and_makes_the_same_tree(
    runner: Any,
    ferry: Any,
    base: Any,
    tree: SummaryTree,
    monkeypatch: pytest.MonkeyPatch,
    shape: str,
) -> None:
    tree = changed(tree, shape=shape)
    pages = list(ferry.documents)
    pages[1] = pages[1].model_copy(update={"text": pages[1].text + "\n\nA cat sails free."})
    revised = replace(ferry, documents=tuple(pages))
    job = Job(name="it", strategies=(tree,), task=ferry, system=base, revision=revised)
    runner.builder.prepare(job)
    asked: list[int] = []
    real = Extractive.__call__

    def counting(self: Extractive, nodes: Sequence[Any]) -> list[str]:
        asked.append(len(nodes))
        return real(self, nodes)

    monkeypatch.setattr(Extractive, "__call__", counting)
    _, (stage,) = runner.builder.refresh()
    assert stage.how == "updated"
    assert 0 < sum(asked) < stage.details["nodes"]
    _, built = prepared(runner, revised, base, tree)
    one, two = (runner.stages.root / key for key in (stage.key, built.key))
    assert one != two
    for name in ("chunks.jsonl", NODES_FILE):
        assert (one / name).read_bytes() == (two / name).read_bytes()


class Writer:
    """Stands in for the model: writes, fails, or writes nothing, by turns."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.chats = replies, 0

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def generate(session: Session, messages: Sequence[Any], told: Any = None) -> list[Reply]:
            start, self.chats = self.chats, self.chats + len(messages)
            assert session.system.decoding.stop == ()
            return [self.replies[n % len(self.replies)] for n in range(start, self.chats)]

        monkeypatch.setattr(Session, "generate", generate)


def test_what_the_model_does_not_write_is_told_and_never_an_error_text(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(Reply(text="Boats and jetties."), Reply(text=" "), Reply(text="", failed="503"))
    writer.put(monkeypatch)
    _, bill = prepared(runner, ferry, base, changed(tree, summaries="model"))
    told, nodes = bill.details["summaries"], bill.details["nodes"]
    assert told["written"] + told["stood_in"] == nodes == writer.chats
    assert told["written"] == -(-nodes // 3)
    assert told["first_failure"] == "the reply was empty"
    folder = runner.stages.root / bill.key
    assert "503" not in (folder / "chunks.jsonl").read_text(encoding="utf-8")
    assert set(known_summaries(folder).values()) == {"Boats and jetties."}


def test_a_model_that_writes_nothing_at_all_is_refused(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(Reply(text="", failed="no route")).put(monkeypatch)
    with pytest.raises(CannotRun, match=r"wrote none of \d+ summaries \(no route\)"):
        prepared(runner, ferry, base, changed(tree, summaries="model"))


def test_the_systems_own_model_writes(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree
) -> None:
    _, bill = prepared(runner, ferry, base, changed(tree, summaries="model", summary_tokens=16))
    told = bill.details["summaries"]
    assert told["written"] + told["stood_in"] == bill.details["nodes"]
    assert bill.work.tokens_out > 0


def test_a_saved_system_answers_the_same(
    runner: Any, ferry: Any, base: Any, tree: SummaryTree, tmp_path: Path
) -> None:
    session, _ = prepared(runner, ferry, base, tree)
    before = session.render(ferry.test)
    folder = session.system.save(tmp_path / "saved")
    assert (folder / "summary" / NODES_FILE).is_file()
    assert "a tree of summaries" in (folder / "README.md").read_text(encoding="utf-8")
    runner.stages.prune()
    loaded: Any = load_system(str(folder))
    assert Session(loaded, runner.pool).render(ferry.test) == before
    (runner.stages.root / loaded.sources[0].stage.key / NODES_FILE).write_bytes(b"")
    with pytest.raises(StorageError, match="the tree cannot be read"):
        Session(loaded, runner.pool).render(ferry.test)


def test_a_source_survives_being_written(base: Any) -> None:
    source = SummarySource.model_validate(
        {"stage": {"key": "s"}, "embedder": "e", "retrieve": "top_down", "budget_tokens": 9,
         "beam": 2}
    )  # fmt: skip
    system = base.with_source(source)
    assert parse_system(system.plain()) == system


def test_what_cannot_be_is_refused(runner: Any, ferry: Any, base: Any, tree: SummaryTree) -> None:
    with pytest.raises(ValidationError, match="budget_tokens is 100 and one passage can have 200"):
        SummaryTree(budget_tokens=100)
    with pytest.raises(CannotRun, match="the task has none"):
        prepared(runner, replace(ferry, documents=()), base, tree)
    with pytest.raises(CannotRun, match="set summary_tokens to 64 or less"):
        prepared(runner, ferry, base, changed(tree, summary_tokens=200, budget_tokens=300))
