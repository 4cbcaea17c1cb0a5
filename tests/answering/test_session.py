"""A Session answers with the weights its System names, or says that they are others now."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from wattune.answering.session import Session
from wattune.endpoint_ref import EndpointRef
from wattune.errors import InputError, ModelError
from wattune.loading import load_system
from wattune.measure.work import Mark, Tally
from wattune.models.fetch import ResolvedModel
from wattune.models.generation import Reply
from wattune.prompt import Message
from wattune.runner import Runner
from wattune.system import EndpointSystem
from wattune.tasks.task import Example


def test_generate_takes_messages(tiny: Path, runner: Runner) -> None:
    chats: list[list[Message]] = [[{"role": "user", "content": "Who keeps the gate?"}]]
    (made,) = Session(load_system(str(tiny)), runner.pool).generate(chats)
    assert made.tokens_in
    assert made.tokens_out


def test_work_is_of_all_that_ran_since_a_mark(tiny: Path, embedder: str, runner: Runner) -> None:
    pool = runner.pool
    system = load_system(str(tiny))
    chats: list[list[Message]] = [[{"role": "user", "content": "Who keeps the gate?"}]]
    (made,) = Session(system, pool).generate(chats)
    first = pool.work_since(Mark((), None))
    assert (first.tokens_in, first.tokens_out) == (made.tokens_in, made.tokens_out)
    mark = pool.mark()
    assert pool.work_since(mark).flops == 0
    pool.embedder(embedder).encode_queries(["Who keeps the gate?"])
    embedding = pool.work_since(mark)
    assert embedding.tokens_in == 0
    assert embedding.flops is not None
    assert first.flops is not None
    pool.drop_model()  # what it did stays known
    Session(system, pool).generate(chats)
    assert pool.work_since(mark).flops == embedding.flops + first.flops
    model, _ = Session(system, pool).training_model(trains_base=True)
    mark = pool.mark()
    Session(system, pool).book(model, "training", Tally.of_pass(1, 10, heads=2))
    training = pool.work_since(mark)
    assert training.flops_method == "counted"


def test_the_wait_for_the_first_token_begins_with_the_question(
    monkeypatch: pytest.MonkeyPatch, runner: Runner
) -> None:
    """What is looked up before the model is asked delays its first token."""
    replies = [Reply(text="jetty 1", first_token_s=0.5), Reply(text="jetty 2")]
    system = EndpointSystem(
        endpoint=EndpointRef(endpoint="http://localhost:1/v1", model="m"), refusal="?"
    )
    session = Session(system, runner.pool)
    monkeypatch.setattr(session, "generate", lambda chats, told: replies)
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(
        "wattune.answering.session.time", SimpleNamespace(perf_counter=lambda: next(clock))
    )
    known, unknown = session.answer(["Where to Elm?", "Where to Oak?"])
    assert (known.first_token_s, unknown.first_token_s) == (3.0, None)


def test_weights_that_changed_are_not_answered_with(
    tiny: Path, runner: Runner, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    system = load_system(str(folder))
    with (folder / "config.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with pytest.raises(ModelError, match=rf"{system.model.revision} is wanted; run the recipe"):
        Session(system, runner.pool)


def test_a_hub_model_is_named_with_its_commit(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ResolvedModel(name="org/name", revision="abc123", folder=tiny, source="hub")
    monkeypatch.setattr("wattune.artefact.loading.resolve", lambda *_, **__: found)
    assert load_system("org/name").model.name == "org/name@abc123"


def test_a_question_that_does_not_fit_is_named(tiny: Path, runner: Runner) -> None:
    asked = [
        Example(id="short", question="Who?", answers=("Ada",)),
        Example(id="long", question="gate " * 300, answers=("Ada",)),
    ]
    session = Session(load_system(str(tiny)), runner.pool)
    with pytest.raises(InputError, match=r"prompt 2 of 2 has .* passages \(question long\)"):
        session.answer(asked)
