"""`wattune save`: from a record to a folder that answers, and bad input in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune import load_records, load_system

Wattune = Callable[..., Any]


@pytest.fixture
def record(wattune: Wattune, recipe: Path, tmp_path: Path) -> Path:
    """The record file of a run with shots."""
    assert wattune("compare", recipe, "--no-progress").code == 0
    (found,) = (tmp_path / "runs").rglob("few-shot-*[0-9a-f].json")
    return found


def test_a_run_is_saved_with_its_card(wattune: Wattune, record: Path, tmp_path: Path) -> None:
    ran = wattune("save", record, "mine")
    assert (ran.code, ran.err) == (0, "")
    assert "saved mine (" in ran.out
    (kept,) = load_records(record)
    assert load_system(str(tmp_path / "mine")).plain() == kept.system
    card = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "12 test questions" in card
    assert "model-index" in card
    again = wattune("save", record, "mine")
    assert again.code == 2
    assert "not empty" in again.err


def test_a_saved_system_is_run_by_a_recipe(
    wattune: Wattune, record: Path, recipe: Path, tmp_path: Path
) -> None:
    assert wattune("save", record, "mine").code == 0
    runs = "runs={again: []}"
    assert wattune("run", recipe, "model=mine", runs, "--no-progress").code == 0
    (again,) = (tmp_path / "runs").rglob("again-*[0-9a-f].json")
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (record, again))
    assert one["scores"] == other["scores"]


def test_bad_input_is_a_sentence(wattune: Wattune, record: Path) -> None:
    for arguments, words in (
        (("save", record.parent, "x"), "holds 2 finished records; name the file"),
        (("save", record, "x", "--merge"), "nothing to merge"),
        (("save", record, "x", "--public"), "needs --push-to-hub"),
        (("save", record, "x", "--push-to-hub", "no name"), "looks like"),
    ):
        ran = wattune(*arguments)
        assert ran.code == 2, ran
        assert words in ran.err
        assert not Path("x").exists()


def test_curves_are_exported_by_their_ending(wattune: Wattune, record: Path) -> None:
    ran = wattune("export", record, "-o", "curves.png")
    assert ran.code == 2
    assert "none of these runs trained anything" in ran.err
