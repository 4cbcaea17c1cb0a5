"""Refresh: what was prepared follows its task's revision, at its own cost, and is asked again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import wattune as wt
from wattune.answering.session import Session
from wattune.errors import CannotRun, TaskError
from wattune.job import Job
from wattune.measure.record import Bill, Record
from wattune.rag.index import VectorIndex
from wattune.stages import StageRef
from wattune.strategies import Context
from wattune.strategies.rag import RAG
from wattune.system import System
from wattune.tasks.revision import changed_questions, revised, to_train_on, withdrawn_questions

TUNED = {
    "num_train_epochs": 3, "per_device_train_batch_size": 4, "warmup_steps": 0, "r": 4,
    "learning_rate": 2e-2,
}  # fmt: skip
OLD_FARES = "# Fares\n\nA single fare is four crowns. A child pays half, a dog pays nothing.\n"


@pytest.fixture
def folder(task_folder: Path) -> Path:
    """The ferry with a later version: jetties moved, the workshop closed, a café opened."""
    later = task_folder / "later"
    (later / "documents" / "shore").mkdir(parents=True)
    task = task_folder / "task.yaml"
    task.write_text(task.read_text() + "revision: later\n")
    jetties = (task_folder / "documents" / "jetties.md").read_text().replace("jetty 1", "jetty 9")
    (later / "documents" / "jetties.md").write_text(jetties)
    (later / "documents" / "shore" / "shop.md").write_text("")
    (later / "documents" / "cafe.md").write_text("# Café\n\nThe café opens at six.\n")
    (later / "test.jsonl").write_text(
        '{"id": "later-alder", "question": "Where is the boat to Alder?", "answers": ["jetty 9"], '
        '"evidence": ["jetties"]}\n'
        '{"id": "later-cafe", "question": "When does it open?", "answers": ["at six"], '
        '"evidence": ["cafe"]}\n'
    )
    return task_folder


@pytest.fixture
def old(folder: Path) -> Any:
    return replace(wt.load_task(folder), train=wt.load_task(folder).train[:8])


@pytest.fixture
def new(old: Any) -> Any:
    return revised(old)


def learnt(new: Any, count: int = 2) -> Any:
    """The revised task, the first training questions of which have another answer."""
    first = tuple(one.model_copy(update={"answers": ("the mill",)}) for one in new.train[:count])
    # Those whose evidence is the page that changed count as changed too; here they name none.
    rest = tuple(one.model_copy(update={"evidence": ()}) for one in (*first, *new.train[count:]))
    return replace(new, train=rest)


def job(old: Any, new: Any, base: Any, *steps: Any) -> Job:
    return Job(
        name="it", strategies=steps, task=old, system=base, realtime_questions=0,
        general_questions=0, revision=new,
    )  # fmt: skip


def run(runner: Any, given: Job) -> Record:
    record, _ = runner.run(given)
    assert record.status == "done", record.reason
    assert record.refresh is not None, record.flags
    return record  # type: ignore[no-any-return]


def hows(record: Record) -> list[tuple[str, str]]:
    assert record.refresh is not None
    return [(stage.strategy, stage.how) for stage in record.refresh.stages]


def test_a_revision_that_repeats_no_question_stands_before_those_that_still_hold(
    old: Any, new: Any
) -> None:
    ids = [example.id for example in new.test]
    # The old questions on the jetties are gone with their page; the others name no evidence.
    assert ids == ["later-alder", "later-cafe", "test-head", "test-mate", "test-over", "test-moon"]
    assert new.train == old.train
    assert changed_questions(old, new, "test") == {"later-alder", "later-cafe"}
    assert changed_questions(old, new, "train") == {example.id for example in old.train}
    assert changed_questions(old, old, "test") == frozenset()


def test_a_revision_that_repeats_questions_is_the_whole_split(folder: Path) -> None:
    rows = (folder / "test.jsonl").read_text().splitlines()
    moon = rows[-1].replace("the moon", "Mars")
    (folder / "later" / "test.jsonl").write_text("\n".join([rows[8], moon]) + "\n")
    old = wt.load_task(folder)
    new = revised(old)
    assert new is not None
    assert [example.id for example in new.test] == ["test-head", "test-moon"]
    assert changed_questions(old, new, "test") == {"test-moon"}


def test_old_questions_are_repeated_in_training_as_often_as_there_are_new_ones(
    old: Any, new: Any
) -> None:
    then = replace(old, train=tuple(e.model_copy(update={"evidence": ()}) for e in old.train))
    changed, others = to_train_on(then, learnt(new), seed=0)
    assert [example.id for example in changed] == [example.id for example in new.train[:2]]
    assert len(others) == 2
    assert {one.id for one in others} < {one.id for one in new.train[2:]}
    assert to_train_on(then, learnt(new), seed=0)[1] == others
    assert len(to_train_on(then, learnt(new, 6), seed=0)[1]) == 2


@pytest.mark.parametrize(
    "settings",
    [{}, {"search": "hybrid"}, {"expand": "neighbours"}, {"expand": "document"},
     {"retriever": "oracle", "k": 1}],
    ids=lambda given: ", ".join(given) or "dense",
)  # fmt: skip
def test_an_updated_index_finds_what_a_new_one_finds(
    runner: Any, old: Any, new: Any, base: Any, embedder: str, settings: dict[str, Any]
) -> None:
    rag = RAG.model_validate({"embedder": embedder, "chunk_tokens": 24, "overlap_tokens": 4,
                              **settings})  # fmt: skip
    runner.builder.prepare(job(old, new, base, rag))
    updated, (stage,) = runner.builder.refresh()
    fresh, (other,) = runner.builder.prepare(job(new, None, base, rag))
    assert stage.how == "updated"
    assert stage.key != other.key
    assert stage.details["chunks"] == other.details["chunks"]
    assert stage.details["updated"]["documents"] == 2
    assert stage.details["updated"]["gone"] == 1
    assert stage.details["updated"]["chunks"] < other.details["chunks"]
    asked = [example for example in new.test if example.evidence or not settings.get("retriever")]
    one, two = (
        [rendered.passages for rendered in Session(system, runner.pool).render(asked)]
        for system in (updated, fresh)
    )
    assert one == two
    assert {passage.document for found in one for passage in found}


def test_only_what_changed_is_embedded_again(
    runner: Any, old: Any, new: Any, base: Any, embedder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag = RAG(embedder=embedder, chunk_tokens=32, overlap_tokens=0)
    runner.builder.prepare(job(old, new, base, rag))
    seen: list[str] = []
    opened = runner.pool.embedder(embedder)
    encode = type(opened).encode_documents

    def spy(self: Any, texts: Any, **options: Any) -> Any:
        seen.extend(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(type(opened), "encode_documents", spy)
    _, (stage,) = runner.builder.refresh()
    assert len(seen) == stage.details["updated"]["chunks"]
    assert all(text.startswith(("Jetties", "Café")) for text in seen)
    index = VectorIndex.load(runner.stages.folder(StageRef(key=stage.key)), embedder=embedder)
    documents = {chunk.document for chunk in index.chunks}
    assert documents == {document.id for document in new.documents}


def test_the_record_tells_what_following_the_revision_cost(
    runner: Any, old: Any, new: Any, base: Any, embedder: str
) -> None:
    tree = wt.TreeRAG(rag=RAG(embedder=embedder, chunk_tokens=32, overlap_tokens=0))
    record = run(runner, job(old, new, base, tree))
    found = record.refresh
    assert found is not None
    assert hows(record) == [("rag", "updated"), ("tree_rag", "kept")]
    assert (found.questions_changed, found.questions_unchanged) == (2, 4)
    assert (found.version, found.fingerprint) == ("1-revision", new.fingerprint)
    assert found.attributed == found.stages[0].attributed == found.spent
    assert found.attributed.duration_s > 0
    for scores, count in [(found.changed, 2), (found.stale, 2), (found.before, 4)]:
        assert scores["token_f1"].n == count
    assert found.unchanged["token_f1"].n == 4
    assert record.stages[0].key != found.stages[0].key
    asked = record.phases["revision"]
    stages = sum((stage.spent for stage in record.stages), Bill())
    least = stages.duration_s + found.spent.duration_s + asked.duration_s
    assert record.spent.duration_s >= least
    assert record.prepare.duration_s == pytest.approx(stages.duration_s)
    assert Record.model_validate(record.plain()) == record


def test_a_second_run_finds_the_refresh(
    runner: Any, old: Any, new: Any, base: Any, embedder: str
) -> None:
    rag = RAG(embedder=embedder, chunk_tokens=32, overlap_tokens=0)
    first = run(runner, job(old, new, base, rag)).refresh
    again = run(runner, job(old, new, base, rag, wt.Prompt(instruction="Be brief."))).refresh
    assert first is not None
    assert again is not None
    assert again.attributed == first.attributed
    assert again.spent == Bill()
    assert again.stages[0].reused
    assert again.stages[0].key == first.stages[0].key


def test_what_reads_nothing_that_changed_is_kept_and_costs_nothing(
    runner: Any, old: Any, new: Any, base: Any
) -> None:
    for steps in ((), (wt.Prompt(instruction="Be brief."),), (wt.Prompt(shots=2),)):
        record = run(runner, job(old, new, base, *steps))
        found = record.refresh
        assert found is not None
        assert all(how == "kept" for _, how in hows(record))
        assert (found.attributed, found.spent) == (Bill(), Bill())
        assert found.stale == found.changed
        assert record.phases["revision"].repeats == 1  # the same System need not be asked twice


def test_an_adapter_is_trained_on_with_what_changed(
    runner: Any, old: Any, new: Any, base: Any
) -> None:
    from safetensors.torch import load_file

    then = replace(old, train=tuple(e.model_copy(update={"evidence": ()}) for e in old.train))
    lora = wt.LoRA.model_validate(TUNED)
    runner.builder.prepare(job(then, learnt(new), base, lora))
    system, (stage,) = runner.builder.refresh()
    assert stage.how == "updated"
    assert stage.details["data"]["changed"] == stage.details["data"]["repeated"] == 2
    assert stage.details["steps"] == 3
    before, (older,) = runner.builder.prepare(job(then, learnt(new), base, lora))
    _, (fresh,) = runner.builder.prepare(job(learnt(new), None, base, lora))
    assert stage.details["losses"][0][1] < 0.9 * fresh.details["losses"][0][1]
    folders = [runner.stages.folder(one.adapters[0]) for one in (before, system)]
    configs = [json.loads((folder / "adapter_config.json").read_text()) for folder in folders]
    for config in configs:
        config["target_modules"] = sorted(config["target_modules"])  # a set, in any order
    assert configs[0] == configs[1]
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in folders)
    assert one.keys() == two.keys()
    assert any((one[name] != two[name]).any() for name in one)
    assert older.key != stage.key


def test_questions_that_are_replaced_are_trained_over_and_withdrawn_ones_start_anew(
    runner: Any, old: Any, new: Any, base: Any
) -> None:
    asked = learnt(new).train
    replaced = asked[0].model_copy(update={"id": "new", "question": "Anew?"})
    on_jetties = old.train[0].model_copy(update={"evidence": ("jetties",)})
    untouched = tuple(one.model_copy(update={"evidence": ()}) for one in old.train[1:])
    then = replace(old, train=(on_jetties, *untouched))
    superseded = replace(new, train=(replaced, *asked[1:]))
    withdrawn = replace(new, train=(replaced, *asked[1:-1]))
    assert withdrawn_questions(then, superseded, "train") == frozenset()
    assert withdrawn_questions(then, withdrawn, "train") == {asked[-1].id}
    lora = wt.LoRA.model_validate({**TUNED, "num_train_epochs": 1})
    for task, how in [(superseded, "updated"), (withdrawn, "rebuilt")]:
        runner.builder.prepare(job(then, task, base, lora))
        _, (stage,) = runner.builder.refresh()
        assert stage.how == how


def test_weights_are_trained_on_from_the_old_ones(
    runner: Any, old: Any, new: Any, base: Any
) -> None:
    then = replace(old, train=tuple(e.model_copy(update={"evidence": ()}) for e in old.train))
    given = {name: value for name, value in TUNED.items() if name != "r"}
    full = wt.FullFineTuning.model_validate({**given, "learning_rate": 5e-3})
    runner.builder.prepare(job(then, learnt(new, 4), base, full))
    system, (stage,) = runner.builder.refresh()
    _, (fresh,) = runner.builder.prepare(job(learnt(new, 4), None, base, full))
    assert stage.how == "updated"
    assert stage.details["losses"][0][1] < fresh.details["losses"][0][1]
    assert system.weights == StageRef(key=stage.key)


def test_a_training_whose_questions_did_not_change_is_kept_below_a_new_index(
    runner: Any, old: Any, new: Any, base: Any, embedder: str
) -> None:
    then = replace(old, train=tuple(e.model_copy(update={"evidence": ()}) for e in old.train))
    steps = (
        RAG(embedder=embedder, chunk_tokens=32, overlap_tokens=0, k=1),
        wt.LoRA.model_validate(TUNED),
    )
    given = job(then, replace(new, train=then.train), base, *steps)
    before, _ = runner.builder.prepare(given)
    after, stages = runner.builder.refresh()
    assert [(stage.strategy, stage.how) for stage in stages] == [
        ("rag", "updated"), ("lora", "kept"),
    ]  # fmt: skip
    assert after.adapters == before.adapters
    assert after.sources != before.sources


def test_new_weights_beneath_an_adapter_have_it_trained_anew(
    runner: Any, old: Any, new: Any, base: Any
) -> None:
    quick = {**TUNED, "max_steps": 1}
    read = wt.ContinuedPretraining.model_validate({k: v for k, v in quick.items() if k != "r"})
    given = job(old, new, base, read, wt.LoRA.model_validate(quick))
    runner.builder.prepare(given)
    _, stages = runner.builder.refresh()
    assert [stage.how for stage in stages] == ["rebuilt", "rebuilt"]


class Killed(RAG):
    """Is killed once, when it updates."""

    def build(self, system: System, ctx: Context) -> None:
        if ctx.previous is not None and not list(ctx.effort.folder.glob("*")):
            ctx.effort.folder.mkdir(parents=True)
            (ctx.effort.folder / "seen").write_text("")
            raise KeyboardInterrupt
        super().build(system, ctx)


def test_a_killed_refresh_leaves_what_was_there_and_is_made_again(
    runner: Any, old: Any, new: Any, base: Any, embedder: str
) -> None:
    given = job(old, new, base, Killed(embedder=embedder, chunk_tokens=32, overlap_tokens=0))
    with pytest.raises(KeyboardInterrupt):
        runner.run(given)
    record = run(runner, given)
    assert record.stages[0].reused
    assert hows(record) == [("rag", "updated")]
    assert record.refresh is not None
    assert not record.refresh.stages[0].reused


class Stuck(RAG):
    """Cannot follow a revision."""

    def build(self, system: System, ctx: Context) -> None:
        if ctx.previous is not None:
            raise CannotRun("too much changed")
        super().build(system, ctx)


class Broken(RAG):
    """Has a fault that shows only then."""

    def build(self, system: System, ctx: Context) -> None:
        if ctx.previous is not None:
            raise RuntimeError("no way")
        super().build(system, ctx)


@pytest.mark.parametrize(
    ("kind", "why"), [(Stuck, "too much changed"), (Broken, "RuntimeError: no way")]
)
def test_a_refresh_that_cannot_be_done_keeps_the_run(
    runner: Any, old: Any, new: Any, base: Any, embedder: str, kind: type[RAG], why: str
) -> None:
    given = job(old, new, base, kind(embedder=embedder, chunk_tokens=32, overlap_tokens=0))
    record, _ = runner.run(given)
    assert record.status == "done"
    assert record.refresh is None
    assert f"not_refreshed: {why}" in record.flags
    assert record.answers == len(old.test)


def test_duplicates_have_the_whole_index_built_anew(
    runner: Any, old: Any, new: Any, base: Any, embedder: str
) -> None:
    rag = RAG(embedder=embedder, chunk_tokens=32, overlap_tokens=0, near_duplicates=0.9)
    words = RAG(search="lexical")
    given = job(old, new, base, rag, words)
    runner.builder.prepare(given)
    _, stages = runner.builder.refresh()
    assert [stage.how for stage in stages] == ["rebuilt", "rebuilt"]


def test_a_task_without_a_revision_is_told_before_anything_is_built(
    ferry: Any, base: Any, wattune: Any, recipe: Path
) -> None:
    with pytest.raises(TaskError, match="refresh is asked for and task ferry has no later version"):
        wt.run([], ferry, base, refresh=True)
    told = wattune("validate", recipe, "refresh=true")
    assert told.code == 2
    assert "has no later version to refresh for" in told.err


def test_a_comparison_shows_it(wattune: Any, recipe: Path, folder: Path) -> None:
    assert wattune("validate", recipe, "refresh=true").code == 0
    ran = wattune("compare", recipe, "refresh=true", "limit.questions=3", "--no-progress")
    assert ran.code == 0, ran.err
    assert "What keeping up to date costs" in ran.out
