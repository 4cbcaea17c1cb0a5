"""A Session answers with the weights its System names, or says that they are others now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wattune import job
from wattune.errors import ModelError
from wattune.job import load_system
from wattune.models.fetch import ResolvedModel
from wattune.prompt import Message
from wattune.runner import Runner


def test_generate_takes_messages(tiny: Path, runner: Runner) -> None:
    chats: list[list[Message]] = [[{"role": "user", "content": "Who keeps the gate?"}]]
    (made,) = runner.pool.open(load_system(str(tiny))).generate(chats)
    assert made.tokens_in > 0
    assert made.tokens_out > 0


def test_weights_that_changed_are_not_answered_with(
    tiny: Path, runner: Runner, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    system = load_system(str(folder))
    with (folder / "config.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with pytest.raises(ModelError, match=rf"{system.model.revision} is wanted; run the recipe"):
        runner.pool.open(system)


def test_a_hub_model_is_named_with_its_commit(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ResolvedModel(name="org/name", revision="abc123", folder=tiny, source="hub")
    monkeypatch.setattr(job, "resolve", lambda *_, **__: found)
    assert load_system("org/name").model.name == "org/name@abc123"
