"""RAFT: which passages training questions see, and asking a tuned System with other passages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, FromScratch, LoRA, Prompt, SwapPassages, TreeRAG, load_system
from wattune.answering.session import Session
from wattune.answering.training_passages import Chosen, PassageSettings, choose, training_prompts
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.measure.quality.text import contained
from wattune.rehearsal import rehearse
from wattune.strategies.tuning import QuestionTuning
from wattune.tasks.task import Example, Task

QUICK: dict[str, Any] = {"r": 2, "max_steps": 1, "eval_strategy": "no"}
MIX = PassageSettings(golden=0.75, distractors=2)
SILENT = Example(id="silent", question="Who sails to the moon?", answers=("Nobody knows.",))


@pytest.fixture
def rag(embedder: str) -> RAG:
    return RAG(k=2, chunk_tokens=30, overlap_tokens=4, embedder=embedder)


@pytest.fixture
def small(ferry: Task) -> Task:
    """Eight training questions with evidence, and one without."""
    return replace(ferry, train=(*ferry.train[:8], SILENT))


def job(task: Task, base: Any, *steps: Any, seed: int = 0) -> Job:
    return Job(name="it", strategies=steps, task=task, system=base, seed=seed)


def opened(runner: Any, task: Task, base: Any, *steps: Any) -> Session:
    return Session(runner.builder.prepare(job(task, base, *steps))[0], runner.pool)


def tuning(**passages: Any) -> LoRA:
    return LoRA.model_validate({**QUICK, "passages": passages})


def mixed(session: Session, task: Task, settings: PassageSettings, seed: int = 0) -> list[Chosen]:
    assert settings.distractors is not None
    return choose(session.retriever, task.train, settings.golden, settings.distractors, seed=seed)


def test_a_share_sees_its_golden_passage_and_the_others_one_distractor_more(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = opened(runner, small, base, rag)
    made = mixed(session, small, MIX)
    assert [len(each.passages) for each in made] == [3] * 9
    assert sum(each.golden is not None for each in made) == 6  # 0.75 of the eight with evidence
    assert made[-1].golden is None
    for example, each in zip(small.train, made, strict=True):
        others = [passage for passage in each.passages if passage != each.golden]
        assert len(others) == (2 if each.golden else 3)
        assert all(passage.document not in example.evidence for passage in others)
        assert not any(contained(passage.text, example.answers) for passage in others)
        assert len({passage.id for passage in each.passages}) == 3
        if each.golden is not None:
            assert each.golden.document == "jetties"
            assert contained(each.golden.text, example.answers)


def test_the_hard_negatives_are_what_the_retriever_takes_for_right(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = opened(runner, small, base, rag)
    found = session.retriever.retrieve([SILENT.question], 3)[0]
    assert sorted(p.id for p in mixed(session, small, MIX)[-1].passages) == sorted(
        p.id for p in found
    )


def test_an_answer_that_stands_nowhere_has_the_best_of_the_evidence_as_golden(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = opened(runner, small, base, rag)
    asked = small.train[0].model_copy(update={"answers": ("by the lighthouse",)})
    (one,) = choose(session.retriever, [asked], 1, 0, seed=0)
    assert one.passages == session.retriever.retrieve([asked.question], 1, [asked.evidence])[0]


def test_seed_and_id_decide_who_sees_it_and_in_which_order(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = opened(runner, small, base, rag)
    all_golden = PassageSettings(golden=1, distractors=2)
    first = mixed(session, small, all_golden)
    assert mixed(session, small, all_golden) == first
    other = mixed(session, small, all_golden, seed=1)
    assert [sorted(p.id for p in each.passages) for each in other] == [
        sorted(p.id for p in each.passages) for each in first
    ]
    assert other != first
    places = {each.passages.index(each.golden) for each in first if each.golden}
    assert len(places) > 1
    seen = [
        {at for at, each in enumerate(mixed(session, small, MIX, seed)) if each.golden}
        for seed in range(4)
    ]
    assert len(set(map(frozenset, seen))) > 1
    # A larger share adds, so that shares can be compared.
    half = {
        at
        for at, each in enumerate(mixed(session, small, PassageSettings(golden=0.5, distractors=2)))
        if each.golden
    }
    assert half < seen[0]


def test_with_whole_documents_no_text_stands_twice(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = opened(runner, small, base, RAG(**(rag.plain() | {"expand": "document"})))
    for each in mixed(session, small, PassageSettings(golden=1, distractors=3)):
        assert len({passage.text for passage in each.passages}) == len(each.passages) == 4


def test_it_is_trained_so_told_and_asked_as_ever(
    runner: Any, small: Task, base: Any, rag: RAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    material = QuestionTuning._material

    def kept(self: QuestionTuning, session: Session, ctx: Any) -> Any:
        read.append(material(self, session, ctx))
        return read[-1]

    monkeypatch.setattr(QuestionTuning, "_material", kept)
    step = LoRA.model_validate({**QUICK, "eval_strategy": "epoch", "passages": MIX})
    system, (index, bill) = runner.builder.prepare(job(small, base, rag, step))
    assert bill.details["data"]["passages"] == {
        "golden": 6,
        "golden_with_answer": 6,
        "mean_distractors": pytest.approx(21 / 9, abs=1e-3),
    }
    assert system.prompt == base.prompt
    assert system.decoding == base.decoding
    session = Session(runner.builder.prepare(job(small, base, rag))[0], runner.pool)
    (made,) = read
    texts = [session.tokenizer.decode(example.prompt) for example in made.examples]
    assert all("<passage 3>" in text and "<passage 4>" not in text for text in texts)
    asked = session.render(small.validation)
    judged = [session.tokenizer.decode(example.prompt) for example in made.validation]
    for text, real in zip(judged, asked, strict=True):
        assert real.messages[-1]["content"] in text
        assert "<passage 2>" in text
        assert "<passage 3>" not in text
    # Another mix is another adapter.
    _, (_, other) = runner.builder.prepare(job(small, base, rag, tuning(golden=1, distractors=2)))
    _, (again, plain) = runner.builder.prepare(job(small, base, rag, LoRA.model_validate(QUICK)))
    assert len({bill.key, other.key, plain.key}) == 3
    assert again.key == index.key
    assert "passages" not in plain.details["data"]


def test_what_the_tree_says_stays(runner: Any, ferry: Task, base: Any, rag: RAG) -> None:
    crew = Example(
        id="crew",
        question="When does the Night Crew sail?",
        answers=("after ten",),
        evidence=("crews",),
    )
    task = replace(ferry, train=(crew,))
    session = opened(runner, task, base, TreeRAG(rag=rag))
    (each,) = mixed(session, task, MIX)
    (asked,) = session.render(task.train, chosen=[each.passages])
    (real,) = session.render(task.train)
    tree = [passage for passage in real.passages if passage.source == "tree"]
    assert tree
    assert list(asked.passages) == [*tree, *each.passages]


def test_a_model_from_scratch_reads_them_too(runner: Any, small: Task, base: Any, rag: RAG) -> None:
    step = FromScratch.model_validate(
        {"passages": MIX, "max_steps": 1, "eval_strategy": "no", "vocab_size": 300,
         "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32, "max_length": 512}
    )  # fmt: skip
    _, (_, bill) = runner.builder.prepare(job(small, base, rag, step))
    assert bill.details["data"]["passages"]["golden"] == 6


def test_unless_told_they_are_as_many_as_the_system_retrieves(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    for k in (1, 3):
        session = opened(runner, small, base, rag.model_copy(update={"k": k}))
        rendered, report = training_prompts(session, small.train, PassageSettings(), seed=0)
        assert {len(asked.passages) for asked in rendered} == {k}
        assert report["golden"] == 6


@pytest.mark.parametrize(
    ("steps", "changes", "message"),
    [
        (0, {}, "one index of documents, and the System has 0 when lora begins; put one rag"),
        (2, {}, "and the System has 2 when lora begins"),
        (1, {"train": (SILENT,)}, "and no training question names any; give them `evidence`"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(
    small: Task, base: Any, rag: RAG, steps: int, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CannotRun, match=message):
        rehearse(job(replace(small, **changes), base, *[rag] * steps, tuning()))


def test_other_passages_share_the_training(
    runner: Any, small: Task, base: Any, rag: RAG, chat_model: Path
) -> None:
    steps = (rag, tuning(distractors=2))
    tuned, bills = runner.builder.prepare(job(small, base, *steps))
    keys = [bill.key for bill in bills]
    for retriever in ("index", "oracle", "none"):
        swapped, same = runner.builder.prepare(
            job(small, base, *steps, SwapPassages(retriever=retriever))
        )
        assert [bill.key for bill in same] == keys
        assert all(bill.reused for bill in same)
        assert swapped.adapters == tuned.adapters
        (asked,) = Session(swapped, runner.pool).render(small.test[:1])
        documents = {passage.document for passage in asked.passages}
        if retriever == "index":
            assert swapped == tuned
        elif retriever == "oracle":
            assert documents == {"jetties"}
        else:
            assert not documents
            assert runner.pool.loads_of(swapped) != runner.pool.loads_of(tuned)


def test_without_passages_shots_stay_and_trees_go(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    steps = (Prompt(shots=1), TreeRAG(rag=rag))
    closed = opened(runner, small, base, *steps, SwapPassages()).system
    assert [source.type for source in closed.sources] == ["shots"]
    oracle = opened(runner, small, base, *steps, SwapPassages(retriever="oracle")).system
    assert [source.type for source in oracle.sources] == ["shots", "index", "tree"]
    assert oracle.plain()["sources"][1]["retriever"] == "oracle"


@pytest.mark.parametrize(
    ("retriever", "message"),
    [("none", "has no passages that could be taken away"), ("oracle", "no index of documents")],
)
def test_nothing_to_change_is_refused(small: Task, base: Any, retriever: Any, message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        rehearse(job(small, base, Prompt(shots=1), SwapPassages(retriever=retriever)))


def test_the_saved_closed_book_system_needs_no_index(
    runner: Any, small: Task, base: Any, rag: RAG, tmp_path: Path
) -> None:
    steps = (rag, tuning(distractors=1), SwapPassages())
    session = opened(runner, small, base, *steps)
    folder = session.system.save(tmp_path / "closed")
    assert not list(folder.rglob("*.faiss"))
    again = load_system(str(folder))
    assert again.sources == ()
    (one,), (two,) = (
        session.answer(small.test[:1]),
        Session(again, runner.pool).answer(small.test[:1]),
    )
    assert one.text == two.text
