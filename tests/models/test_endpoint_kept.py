"""An endpoint's replies are kept as they come: what was paid for is not asked for again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.answering.responses import ResponseCache
from wattune.errors import ModelError
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe
from wattune.runner import Runner

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, task_folder: Path, chat_server: Any) -> Write:
    """Writes a recipe of 12 questions that asks the server one after another."""

    def make(more: str = "", decoding: str = "{}") -> Path:
        path = tmp_path / "served.yaml"
        path.write_text(
            f"task: {task_folder.name}\nrealtime_questions: 0\nbaseline_s: 0\n"
            f"model: {{endpoint: {chat_server.url}, model: m, concurrency: 1{more}}}\n"
            f"decoding: {decoding}\nruns: {{plain: []}}\n",
            encoding="utf-8",
        )
        return path

    return make


def run(recipe: Path, folder: Path) -> Any:
    (record,) = run_recipe(load_recipe(str(recipe)), folder, responses=ResponseCache())
    return record


def test_a_run_that_was_stopped_goes_on_without_asking_again(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    chat_server.replies = [chat_server.usual] * 7 + [chat_server.send("", 401)]
    stopped = run(write(), tmp_path / "runs")
    assert stopped.status == "skipped"
    assert len(chat_server.asked) == 8
    done = run(write(", timeout_s: 9"), tmp_path / "runs")
    assert done.status == "done"
    assert len(chat_server.asked) == 8 + 5
    assert done.environment["cached_replies"] == 7
    assert done.environment["endpoint"]["questions"] == 5
    assert done.work["answer"].tokens_in == 120  # the tokens of all, paid for in two runs


def test_so_does_one_that_was_killed_and_it_is_charged(
    tmp_path: Path, write: Write, chat_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ", where: managed, energy: gpt-4o"
    chat_server.replies = [chat_server.usual] * 7 + [chat_server.send("", 401)]
    with monkeypatch.context() as patch:  # killed: nobody settled
        patch.setattr(ResponseCache, "settle", lambda *_: None)
        run(write(more), tmp_path / "runs")
    done = run(write(more), tmp_path / "runs")
    assert len(chat_server.asked) == 8 + 5
    # 12 questions of 10 tokens in and 2 out, at 0.18 and 0.50 Wh per 1,000
    joules = 12 * (10 * 0.18 + 2 * 0.50) * 3.6
    assert done.phases["answer"].components["endpoint"].energy_j == pytest.approx(joules)
    assert done.spent.energy_j >= joules
    assert done.environment["cached_replies"] == 0


def test_empty_and_failed_replies_are_asked_for_again(
    tmp_path: Path, write: Write, chat_server: Any
) -> None:
    empty, refused = chat_server.say(""), chat_server.send("", 400)
    chat_server.replies = [empty, empty, refused]
    first = run(write(), tmp_path / "a")
    assert first.environment["endpoint"]["empty"] == 2
    before = len(chat_server.asked)
    again = run(write(), tmp_path / "b")
    assert len(chat_server.asked) == before + 2
    assert again.environment["cached_replies"] == 10


def test_samples_are_kept_apart(tmp_path: Path, write: Write, chat_server: Any) -> None:
    warm = "{temperature: 0.7, samples: 3}"
    run(write(decoding=warm), tmp_path / "a")
    assert len(chat_server.asked) == 36
    again = run(write(decoding=warm), tmp_path / "b")
    assert len(chat_server.asked) == 36
    assert again.environment["cached_replies"] == 36


def test_what_concerns_every_question_is_still_told(
    write: Write, chat_server: Any, runner: Runner
) -> None:
    from wattune.answering.session import Session
    from wattune.job import jobs_of

    chat_server.usual = chat_server.send("", 404)
    (job,) = jobs_of(load_recipe(str(write())))
    runner.pool.responses = ResponseCache()
    with pytest.raises(ModelError, match="HTTP 404"):
        Session(job.system, runner.pool).answer(job.task.test)
    assert runner.pool.responses.count() == 0
