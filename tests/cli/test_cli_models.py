"""The command line about models: cards, and comparisons by model with filters and public scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Wattune = Callable[..., Any]
CSV = "model,benchmark,metric,score,source\n"


@pytest.fixture
def card(chat_model: Path, tmp_path: Path) -> Path:
    """The tiny chat model under a name of its own, with a card."""
    folder = tmp_path / "carded"
    folder.mkdir()
    for file in chat_model.iterdir():
        (folder / file.name).symlink_to(file)
    text = "---\nlicense: mit\nlanguage: nl\nmodel-index: 5\n---\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def test_a_card_in_every_format(wattune: Wattune, card: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(CSV + f"{card},GSM8K,acc,3,a board\n", encoding="utf-8")
    ran = wattune("models", "card", card, "--scores", "scores.csv")
    assert ran.code == 0, ran.err
    assert "mit (open)" in ran.out
    assert "only the hub states it; --online asks" in ran.out
    assert "Published by others" in ran.out
    assert 'Note: README.md:4: "model-index" is not as the hub writes it' in ran.out
    assert "| licence | mit (open) | README.md |" in (
        wattune("models", "card", card, "--format", "markdown").out
    )
    plain = json.loads(wattune("models", "card", card, "--format", "json").out)
    assert plain["facts"]["languages"] == ["nl"]
    assert plain["facts"]["updated"] is None
    assert plain["measured"] == []
    assert wattune("models", "card", "minilmm").code == 2


def test_records_are_compared_by_model_with_filters_and_scores(
    wattune: Wattune, recipe: Path, card: Path, tmp_path: Path
) -> None:
    text = recipe.read_text(encoding="utf-8").split("\n")
    text[1] = f"model: {card}"
    recipe.write_text("\n".join(text), encoding="utf-8")
    ran = wattune("compare", recipe, "--by", "model", "--no-progress")
    assert ran.code == 0, ran.err
    assert "Ten factors" in ran.out
    assert "licence mit (open)" in ran.out
    assert "zero-shot" in wattune("compare", "runs", "--licence", "open", "--language", "nl").out
    ran = wattune("compare", "runs", "--licence", "apache-2.0")
    assert ran.code == 3
    assert "licence mit of" in ran.err
    assert wattune("compare", "runs", "--max-parameters", "some").code == 2
    (tmp_path / "scores.csv").write_text(CSV + "carded,GSM8K,acc,3,a board\n", encoding="utf-8")
    ran = wattune("compare", "runs", "--by", "model", "--scores", "scores.csv", "--format", "json")
    plain = json.loads(ran.out)
    assert plain["published"][0]["score"] == 3
    licence = next(found for found in plain["findings"] if found["name"] == "licence")
    assert (licence["value"], licence["source"]) == ("mit", "README.md")
    ran = wattune("compare", "runs", "--scores", "scores.csv")
    assert ran.code == 2
    assert "--by model" in ran.err
    measured = wattune("models", "card", card, "--runs", "runs")
    assert "Measured on ferry" in measured.out
    assert wattune("compare", "runs", "--by", "model", "-o", "models.md").code == 0
    assert "**Ten factors**" in (tmp_path / "models.md").read_text(encoding="utf-8")
