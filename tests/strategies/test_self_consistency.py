"""Self-consistency changes how a System writes and nothing else; a Session then votes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import Prompt, SelfConsistency
from wattune.answering.session import Session
from wattune.errors import RecipeError
from wattune.job import Job, jobs_of
from wattune.models.generation import Reply
from wattune.recipe_file import load_recipe
from wattune.system import Decoding


def job(ferry: Any, base: Any, *steps: Any) -> Job:
    return Job(name="it", strategies=steps, task=ferry, system=base, realtime_questions=1)


def test_only_the_decoding_changes_and_nothing_is_built(runner: Any, ferry: Any, base: Any) -> None:
    before = base.model_copy(update={"decoding": Decoding(max_tokens=9, top_k=7, stop=("!",))})
    system, bills = runner.builder.prepare(job(ferry, before, SelfConsistency(top_p=0.9)))
    assert bills == []
    assert system.decoding == Decoding(
        max_tokens=9, top_k=7, stop=("!",), samples=5, temperature=0.7, top_p=0.9
    )
    assert system.model_copy(update={"decoding": before.decoding}) == before
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        SelfConsistency(samples=1)
    with pytest.raises(ValidationError, match="greater than 0"):
        SelfConsistency(temperature=0)


def test_every_question_is_asked_so_often_and_progress_counts_questions(
    runner: Any, ferry: Any, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = runner.builder.prepare(job(ferry, base, SelfConsistency(samples=3)))
    session = Session(system, runner.pool)
    said = ["four", "Five.", "five", "", "six", "six", "x", "y", "z"]
    asked: list[Any] = []

    def generate(messages: Sequence[Any], told: Any) -> list[Reply]:
        asked.extend(messages)
        replies = [Reply(text=text, tokens_in=5, tokens_out=1) for text in said]
        for number in (8, 0, 3, 6, 1, 7, 2, 4, 5):  # in any order, as they come
            told(number, replies[number])
        return replies

    monkeypatch.setattr(session, "generate", generate)
    seen: list[tuple[int, int]] = []
    answers = session.answer(ferry.test[:3], lambda done, of: seen.append((done, of)))
    assert [(a.text, a.votes, a.tokens_in, a.tokens_out) for a in answers] == [
        ("Five.", 2, 15, 3), ("six", 2, 15, 3), ("x", 1, 15, 3)
    ]  # fmt: skip
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert list(Counter(chat[-1]["content"] for chat in asked).values()) == [3, 3, 3]
    assert asked[0] == asked[1] == asked[2] != asked[3]


def test_a_run_draws_votes_and_keeps_them(
    runner: Any, ferry: Any, base: Any, tmp_path: Path
) -> None:
    runner.records = tmp_path / "runs"
    steps = (Prompt(instruction="Be brief."), SelfConsistency(samples=4, temperature=1.5))
    record, _ = runner.run(job(ferry, base, *steps))
    assert record.status == "done", record.reason
    (file,) = (tmp_path / "runs").glob("**/*.answers.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == record.answers == len(ferry.test)
    assert all(1 <= row["votes"] <= 4 for row in rows)
    assert min(row["votes"] for row in rows) < 4  # the samples of a question differ
    (one,) = Session(base, runner.pool).answer(ferry.test[:1])
    voting = base.model_copy(update={"decoding": Decoding(**record.system["decoding"])})
    (drawn,) = Session(voting, runner.pool).answer(ferry.test[:1])
    assert one.votes is None
    assert one.tokens_in is not None
    assert drawn.tokens_in == 4 * one.tokens_in
    work = record.work["answer"]
    assert work.tokens_in == sum(row["tokens_in"] for row in rows)
    assert work.tokens_out == sum(row["tokens_out"] for row in rows)


def test_chance_decides_so_each_seed_is_a_run(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text + "  voting: [self_consistency]\nseeds: [1, 2, 3]\n", encoding="utf-8")
    seeds = Counter(made.name for made in jobs_of(load_recipe(str(recipe))))
    assert seeds == {"zero-shot": 1, "few-shot": 3, "voting": 3}


def test_faults_are_told_with_their_lines(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(
        text + "self_consistency:\n  samples: 1\n  temperature: 0\n  votes: 5\n", encoding="utf-8"
    )
    with pytest.raises(RecipeError) as told:
        load_recipe(str(recipe))
    first = text.count("\n") + 2
    for line, key in [(first, "samples"), (first + 1, "temperature"), (first + 2, "votes")]:
        assert f"duo.yaml:{line}: " in str(told.value)
        assert key in str(told.value).split(f"duo.yaml:{line}: ")[1].split("\n")[0]
