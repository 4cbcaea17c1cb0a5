"""What to try first without records: published reasons, and a recipe that can be run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from wattune.advice.evidence import evidence
from wattune.advice.proposal import RUNS, proposed, recipe_of
from wattune.advice.situation import QUESTIONS, Situation
from wattune.cli.advising import advise as verb
from wattune.errors import InputError
from wattune.recipe_file import load_recipe

ANSWERS: dict[str, Any] = {
    "work": "facts", "min_quality": 0.7, "documents": "many", "hierarchy": False, "examples": 350,
    "changes": "never", "answers_per_day": 400, "waiting": "seconds", "privacy": "on-premises",
    "memory_gb": 24, "citations": False, "expertise": True,
    "wrong_answers": "worse than none",
}  # fmt: skip


def first(**changes: Any) -> list[str]:
    found = proposed(Situation.model_validate({**ANSWERS, **changes}))
    return [suggestion.strategy for suggestion in found.first]


def test_facts_are_looked_up_and_ways_to_reply_are_learnt() -> None:
    assert first()[0] == "rag"
    assert first(work="replies")[0] == "lora"
    assert first(work="labels")[0] == "classical"
    assert first(documents="none", examples=0) == ["zero-shot"]


def test_a_hierarchy_brings_trees_and_few_documents_the_whole_of_them() -> None:
    assert not {"tree-rag", "t-rag"} & set(first())
    assert "tree-rag" in first(hierarchy=True)
    assert "long-context" in first(documents="few")


def test_what_changes_weekly_is_not_learnt_first() -> None:
    steady, weekly = first(), first(changes="weekly")
    assert weekly.index("rag") == 0
    assert "lora-rag" not in weekly or weekly.index("lora-rag") >= steady.index("lora-rag")


def test_little_memory_leaves_full_fine_tuning_for_later() -> None:
    found = proposed(Situation.model_validate({**ANSWERS, "work": "replies", "memory_gb": 8}))
    (full,) = (s for s in found.later if s.strategy == "full")
    assert "8 GB" in full.reasons[0].sentence
    assert "2405.09673" in full.reasons[0].published


def test_every_proposal_has_a_recipe_that_loads_and_says_it_measured_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "proposal.yaml"
    path.write_text(recipe_of(list(RUNS)), encoding="utf-8")
    assert list(load_recipe(str(path)).runs) == list(RUNS)
    for work, documents, hierarchy, examples in itertools.product(
        ("facts", "replies", "labels"), ("none", "few", "many"), (True, False), (0, 40, 400)
    ):
        changes = {"work": work, "documents": documents, "hierarchy": hierarchy}
        found = proposed(Situation.model_validate({**ANSWERS, **changes, "examples": examples}))
        assert found.first
        assert list(yaml.safe_load(found.recipe)["runs"]) == [s.strategy for s in found.first]
        assert all(s.reasons for s in (*found.first, *found.later))
        assert {s.strategy for s in (*found.first, *found.later)} == set(RUNS)
        assert found.to_markdown().startswith("**Nothing was measured here")


def test_findings_name_their_source_and_what_is_second_hand() -> None:
    assert evidence()["new_facts"].sentence().endswith("arXiv 2312.05934)")
    assert evidence()["small_models"].sentence().endswith("second-hand)")
    assert all(row.source for row in evidence().values())


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(verb)

    def run(*arguments: object) -> str:
        capsys.readouterr()
        app(args=list(map(str, arguments)), standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_answers_come_from_a_file(told: Callable[..., str], tmp_path: Path) -> None:
    file, recipe = tmp_path / "answers.yaml", tmp_path / "proposal.yaml"
    file.write_text(yaml.safe_dump(ANSWERS), encoding="utf-8")
    out = told("--answers", file, "--write-recipe", recipe)
    assert out.startswith("Nothing was measured here")
    assert "wattune advise runs/proposal --answers-per-day 400 --min-quality 0.7" in " ".join(
        out.split()
    )
    assert load_recipe(str(recipe)).runs.keys() == set(first())
    assert json.loads(told("--answers", file, "--format", "json"))["situation"]["examples"] == 350
    with pytest.raises(InputError, match="exists already"):
        told("--answers", file, "--write-recipe", recipe)


def test_what_a_file_leaves_open_is_asked(
    told: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(yaml.safe_dump({"work": "replies"}), encoding="utf-8")
    asked: list[str] = []

    def prompt(text: str, default: str, **_: Any) -> str:
        asked.append(text)
        return "maybe" if text.startswith("May questions") and len(asked) < 9 else default

    monkeypatch.setattr(typer, "prompt", prompt)
    assert "few-shot" in told("--ask", "--answers", file)
    again = [text for text in asked if text.startswith("May questions")]
    assert len(again) == 2  # "maybe" is no answer
    assert len(asked) == len(QUESTIONS)

    def nobody(text: str, **_: Any) -> str:
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", nobody)
    with pytest.raises(InputError, match="not answered: min_quality, documents"):
        told("--ask", "--answers", file)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"wrk": "facts"}, 'did you mean "work"'),
        ({**ANSWERS, "work": "magic"}, '"work"'),
        ({**ANSWERS, "examples": -1}, '"examples"'),
    ],
)
def test_wrong_answers_are_told(
    told: Callable[..., str], tmp_path: Path, answers: dict[str, Any], said: str
) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(yaml.safe_dump(answers), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        told("--answers", file)
