"""Questions to a System, in one word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import wattune as wt
from wattune.errors import CannotRun, InputError
from wattune.recipe_file import load_recipe
from wattune.run import run_recipe


def test_one_question_gives_one_answer_and_a_list_a_list(base: Any) -> None:
    one = wt.ask(base, "Who keeps the gate?")
    several = wt.ask(base, ["Who keeps the gate?", "Where is Elm?"])
    assert one.tokens_in
    assert several[0].text == one.text
    assert len(several) == 2


def test_a_name_a_folder_and_a_record_are_asked_alike(
    recipe: Path, base: Any, tmp_path: Path
) -> None:
    (record,) = run_recipe(load_recipe(str(recipe), []), tmp_path / "runs")[:1]
    assert wt.ask(record, "Where is Elm?").text
    by_folder = wt.ask(base.save(tmp_path / "kept"), "Where is Elm?")
    assert by_folder.text == wt.ask(base, "Where is Elm?").text


def test_what_cannot_be_asked_is_told(base: Any, ferry: Any) -> None:
    with pytest.raises(InputError, match="question 2 of 2 is empty"):
        wt.ask(base, ["Where?", "  "])
    record = wt.run([wt.RAG(retriever="oracle")], ferry, base)
    with pytest.raises(CannotRun, match="oracle"):
        wt.ask(record, "Where is Elm?")
