"""Prompt: shots spread over the kinds, none in its own prompt, nothing built without shots."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from wattune import Prompt
from wattune.answering.session import Session
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.strategies.shots import choose_shots


def job(ferry: Any, base: Any, *steps: Any, seed: int = 0) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base, seed=seed)


def test_shots_are_spread_over_kinds_and_drawn_by_the_seed(ferry: Any) -> None:
    kinds = {example.id: example.kind for example in ferry.train}
    assert Counter(kinds.values()) == {"fact": 16, "form": 8}
    chosen = choose_shots(ferry.train, 4, seed=0)
    assert [kinds[shot.id] for shot in chosen] == ["fact", "form", "fact", "form"]
    assert chosen == choose_shots(ferry.train, 4, seed=0)
    assert chosen != choose_shots(ferry.train, 4, seed=1)
    assert len({shot.id for shot in choose_shots(ferry.train, 24, seed=0)}) == 24


def test_shots_stand_in_every_prompt_but_their_own(runner: Any, ferry: Any, base: Any) -> None:
    system, (bill,) = runner.builder.prepare(job(ferry, base, Prompt(shots=3)))
    assert bill.strategy == "prompt"
    assert len(system.shots) == 3
    own = next(e for e in ferry.train if e.id == system.shots[1].id)
    other, asked = Session(system, runner.pool).render([ferry.test[0], own])
    assert len(other.messages) == 1 + 2 * 3 + 1
    assert len(asked.messages) == 1 + 2 * 2 + 1
    assert [m["content"] for m in asked.messages].count(own.question) == 1


def test_without_shots_only_the_prompt_changes(runner: Any, ferry: Any, base: Any) -> None:
    steps = (Prompt(instruction="Be brief."), Prompt(question="Q: {question}"))
    system, bills = runner.builder.prepare(job(ferry, base, *steps))
    assert bills == []
    assert system.prompt.instruction == "Be brief."  # kept by the second
    assert system.prompt.question == "Q: {question}"
    assert system.model_copy(update={"prompt": base.prompt}) == base


def test_changing_the_instruction_reuses_the_shots(runner: Any, ferry: Any, base: Any) -> None:
    _, (first,) = runner.builder.prepare(job(ferry, base, Prompt(shots=2)))
    _, (second,) = runner.builder.prepare(
        job(ferry, base, Prompt(shots=2, instruction="Be brief."))
    )
    _, (third,) = runner.builder.prepare(job(ferry, base, Prompt(shots=2), seed=1))
    assert second.key == first.key != third.key
    assert (first.reused, second.reused, third.reused) == (False, True, False)


def test_more_shots_than_examples_cannot_run(runner: Any, ferry: Any, base: Any) -> None:
    with pytest.raises(CannotRun, match=r"prompt\.shots is 3 and the task has 2 training"):
        runner.builder.prepare(job(replace(ferry, train=ferry.train[:2]), base, Prompt(shots=3)))
