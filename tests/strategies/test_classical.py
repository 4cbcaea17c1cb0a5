"""Classical: a row of the table without a language model, and what it does not go with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune.answering.pool import Pool
from wattune.answering.responses import ResponseCache
from wattune.answering.session import Session
from wattune.context_sources import ShotsSource
from wattune.errors import CannotRun
from wattune.files import folder_bytes
from wattune.job import Job, fingerprints
from wattune.prompt_check import prompt_of
from wattune.runner import Runner
from wattune.strategies import RAG, LoRA, Prompt, SelfConsistency, Strategy
from wattune.strategies.classical import Classical
from wattune.system import BARE, ClassicalSystem, parse_system, with_weights


def job(task: Any, system: Any, *steps: Strategy, **changes: Any) -> Job:
    given: dict[str, Any] = {"realtime_questions": 2, **changes}
    return Job(name="classical", strategies=steps, task=task, system=system, **given)


def test_it_stands_in_the_table_without_a_language_model(
    runner: Runner, ferry: Any, base: Any
) -> None:
    record, _ = runner.run(job(ferry, base, Classical()))
    assert record.status == "done", record.reason
    (stage,) = record.stages
    assert stage.details["labels"] == 8
    assert stage.details["examples"] == 24
    system = parse_system(record.system)
    assert isinstance(system, ClassicalSystem)
    assert record.artefact_bytes == folder_bytes(runner.stages.folder(system.stage)) - (
        (runner.stages.folder(system.stage) / "stage.json").stat().st_size
    )
    assert record.work["answer"].flops_method == "counted"
    assert record.work["answer"].tokens_out is None
    assert record.work["prepare"].flops is None  # how often the solver looked is not told
    assert record.phases["load"].duration_s > 0
    assert record.fingerprints["model"] == system.stage.key
    assert record.realtime is not None
    assert prompt_of(record).template == BARE


def test_its_answers_are_labels_of_like_questions(runner: Runner, ferry: Any, base: Any) -> None:
    system, _ = runner.builder.prepare(job(ferry, base, Classical()))
    session = Session(system, runner.pool)
    answers = session.answer(ferry.train)
    right = [answer.text in one.answers for answer, one in zip(answers, ferry.train, strict=True)]
    assert all(right)
    rendered = session.render(ferry.train[:1])[0]
    assert [dict(message) for message in rendered.messages] == [
        {"role": "user", "content": ferry.train[0].question}
    ]
    told = [answer.tokens_in for answer in answers]
    assert told == [None] * len(ferry.train)


def test_replies_are_recalled_with_their_joules(
    runner: Runner, ferry: Any, base: Any, tmp_path: Path
) -> None:
    system, _ = runner.builder.prepare(job(ferry, base, Classical()))
    pool = Pool(runner.stages, runner.meter, responses=ResponseCache(tmp_path / "replies.sqlite"))
    session = Session(system, pool)
    first = session.answer(ferry.test)
    mark = pool.mark()
    assert session.answer(ferry.test) == first
    recalled = pool.recalled_since(mark)
    assert recalled.replies == len(ferry.test)
    assert recalled.work.flops is not None
    assert recalled.work.flops > 0
    pool.close()


def test_it_is_fitted_once_whatever_the_seed(runner: Runner, ferry: Any, base: Any) -> None:
    one, _ = runner.builder.prepare(job(ferry, base, Classical()))
    other, bills = runner.builder.prepare(job(ferry, base, Classical(), seed=7))
    assert one == other
    assert bills[0].reused
    changed, _ = runner.builder.prepare(job(ferry, base, Classical(C=1.0)))
    assert changed != one


def test_answers_that_are_no_labels_are_refused_with_both_numbers(
    runner: Runner, ferry: Any, base: Any
) -> None:
    rows = ferry.train
    for train, numbers in [
        (rows[:8], "8 training questions have 8 different"),
        ((rows[0], rows[8]), "2 training questions have 1 different"),
        ((), "0 training questions have 0 different"),
    ]:
        task = replace(ferry, train=tuple(train))
        with pytest.raises(CannotRun, match=numbers):
            runner.builder.prepare(job(task, base, Classical()))


@pytest.mark.parametrize("step", [Prompt(shots=2), SelfConsistency(samples=3)])
def test_steps_after_it_that_only_a_language_model_could_use_are_refused(
    runner: Runner, ferry: Any, base: Any, step: Strategy
) -> None:
    record, _ = runner.run(job(ferry, base, Classical(), step))
    assert record.status == "skipped"
    assert "let it be the only step" in record.reason


def test_it_combines_with_no_step_that_answers(
    runner: Runner, ferry: Any, base: Any, embedder: str
) -> None:
    rag = RAG(k=1, embedder=embedder, chunk_tokens=32)
    with pytest.raises(CannotRun, match="steps before it did would not be used"):
        runner.builder.prepare(job(ferry, base, rag, Classical()))
    with pytest.raises(CannotRun, match="lora needs a language model, and classical"):
        runner.builder.prepare(job(ferry, base, Classical(), LoRA()))
    with pytest.raises(CannotRun, match="looks at the question alone"):
        runner.builder.prepare(job(ferry, base, Classical(), rag))
    alone, _ = runner.builder.prepare(job(ferry, base, Classical()))
    with pytest.raises(CannotRun, match="looks at the question alone"):
        Session(alone.with_source(ShotsSource(shots=())), runner.pool)


def test_what_walks_systems_knows_it(runner: Runner, ferry: Any, base: Any) -> None:
    prepared = job(ferry, base, Classical())
    system, _ = runner.builder.prepare(prepared)
    assert parse_system(system.plain()) == system
    assert "weights" not in fingerprints(prepared, system)
    session = Session(system, runner.pool)
    with pytest.raises(CannotRun, match="tokenising needs a language model"):
        session.count_tokens(["word"])
    with pytest.raises(CannotRun, match="context window needs a language model"):
        _ = session.context_window
    with pytest.raises(CannotRun, match="quantize needs a language model"):
        with_weights(system, "quantize")
