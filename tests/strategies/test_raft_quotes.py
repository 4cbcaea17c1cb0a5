"""RAFT's quotes: a sentence of the golden passage before the answer, and how it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattune import RAG, LoRA, Prompt, load_system
from wattune.answering.answer import Rendered
from wattune.answering.quotes import MARKER, QUOTE_TOKENS, quotes_of, targets
from wattune.answering.session import Session
from wattune.answering.training_passages import PassageSettings, training_prompts
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.measure.quality.text import contained
from wattune.models.generation import Reply
from wattune.prompt import Passage
from wattune.rehearsal import rehearse
from wattune.system import Decoding
from wattune.tasks.task import Example, Task

QUOTING = LoRA.model_validate(
    {"r": 2, "max_steps": 1, "passages": {"golden": 0.5, "distractors": 1, "quote": True}}
)


@pytest.fixture
def rag(embedder: str) -> RAG:
    return RAG(k=2, chunk_tokens=30, overlap_tokens=4, embedder=embedder)


@pytest.fixture
def small(ferry: Task) -> Task:
    return replace(ferry, train=ferry.train[:8])


def job(task: Task, base: Any, *steps: Any) -> Job:
    return Job(name="it", strategies=steps, task=task, system=base)


def quote(base: Any, runner: Any, question: str, answer: str, *texts: str, **changes: Any) -> str:
    """The quote for a question whose evidence are the passages of these texts."""
    passages = [Passage(text=text, document="page", **changes) for text in texts]
    example = Example(id="q", question=question, answers=(answer,), evidence=("page",))
    (found,) = quotes_of(Session(base, runner.pool), [example], [Rendered((), tuple(passages))])
    return found


def test_the_sentence_that_holds_the_answer_is_quoted(base: Any, runner: Any) -> None:
    text = "# Desk\n\nThe desk opens at six.\nIt is red. At six the cook\nrises. All is well."
    assert quote(base, runner, "When does the cook rise?", "six", text) == (
        "At six the cook rises."
    )
    assert quote(base, runner, "When does the desk open?", "six", text) == (
        "The desk opens at six."
    )
    table = "| Crew | Hour |\n| --- | --- |\n| Night | ten |\n| Day | six |"
    assert quote(base, runner, "When does the day crew sail?", "six", table) == "| Day | six |"
    assert quote(base, runner, "Who is it?", "Ada Lund", text) == ""
    assert quote(base, runner, "When?", "six", text, source="tree") == ""
    long = f"At six {'or later ' * QUOTE_TOKENS}."
    assert quote(base, runner, "When?", "six", long) == ""


def test_only_what_stands_in_the_prompt_is_quoted(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    session = Session(runner.builder.prepare(job(small, base, rag))[0], runner.pool)
    settings = PassageSettings(golden=0.5, distractors=1, quote=True)
    rendered, report = training_prompts(session, small.train, settings, seed=0)
    written = targets(session, small.train, rendered)
    quotes = 0
    for example, asked, text in zip(small.train, rendered, written, strict=True):
        before, marker, answer = text.partition(MARKER)
        assert (marker, answer.strip()) == (MARKER, example.answers[0])
        golden = [p for p in asked.passages if p.document in example.evidence]
        assert bool(before) == bool(golden)
        if golden:
            quotes += 1
            assert before.strip() in " ".join(golden[0].text.split())
            assert contained(before, example.answers)
            assert "\n" not in text
    assert quotes == 4
    assert report == {
        "golden": 4,
        "golden_with_answer": 4,
        "mean_distractors": 1.5,
        "quotes": 4,
    }


def test_the_tuned_system_answers_with_what_follows_the_marker(
    runner: Any, small: Task, base: Any, rag: RAG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, (_, bill) = runner.builder.prepare(job(small, base, rag, QUOTING))
    assert bill.details["data"]["passages"]["quotes"] == 4
    assert bill.details["validation_losses"]
    assert system.prompt.answer_after == MARKER
    assert system.decoding.max_tokens == base.decoding.max_tokens + QUOTE_TOKENS
    assert system.decoding.stop == ("\n",)
    saved = load_system(str(system.save(tmp_path / "quoting")))
    assert saved.prompt == system.prompt
    assert saved.decoding == system.decoding

    def written(self: Session, messages: Any, told: Any = None) -> list[Reply]:
        return [Reply(text="It leaves from jetty 1. Answer: jetty 1", tokens_in=9, tokens_out=9)]

    monkeypatch.setattr(Session, "generate", written)
    (answer,) = Session(saved, runner.pool).answer([small.test[0]])
    assert answer.text == "jetty 1"


def test_a_marker_of_the_prompt_is_kept_and_stops_that_could_cut_are_not(
    runner: Any, small: Task, base: Any, rag: RAG
) -> None:
    prompt = Prompt(answer_after="So:", decoding=Decoding(stop=("\n\n", "."), max_tokens=4090))
    system, _ = runner.builder.prepare(job(small, base, prompt, rag, QUOTING))
    assert system.prompt.answer_after == "So:"
    assert system.decoding.stop == ("\n\n",)
    assert system.decoding.max_tokens == 4096


def test_fixed_choices_leave_no_room_for_a_quote(small: Task, base: Any, rag: RAG) -> None:
    with pytest.raises(CannotRun, match=r"lora\.passages\.quote .* leave out one of the two"):
        rehearse(job(small, base, Prompt(choices=("yes", "no")), rag, QUOTING))
