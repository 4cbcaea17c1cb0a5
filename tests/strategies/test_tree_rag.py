"""Tree RAG: names that are nearly right, and hierarchies that are no hierarchy.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wattune import TreeRAG
from wattune.answering.session import Session
from wattune.errors import TaskError
from wattune.job import Job
from wattune.tasks.load import load_task
from wattune.tasks.task import Example


def told(runner: Any, task: Any, base: Any, step: TreeRAG, question: str) -> list[str]:
    job = Job(name="it", strategies=(step,), task=task, system=base)
    system, _ = runner.builder.prepare(job)
    asked = Example(id="asked", question=question, answers=("?",))
    (rendered,) = Session(system, runner.pool).render([asked])
    return [passage.text for passage in rendered.passages]


def test_a_slip_of_the_pen_is_told_unless_fuzzy_is_off(runner: Any, ferry: Any, base: Any) -> None:
    names = {entity.name for entity, _ in ferry.hierarchy.walk()}
    assert "Night Crew" in names
    question = "Who is in the Nigth Crew?"
    (text,) = told(runner, ferry, base, TreeRAG(rag=None), question)
    assert text.startswith('"nigth crew" is taken for Night Crew. ')
    assert told(runner, ferry, base, TreeRAG(rag=None, fuzzy=None), question) == []


def test_fuzzy_belongs_to_asking(runner: Any, ferry: Any, base: Any) -> None:
    def key(step: TreeRAG) -> str:
        job = Job(name="it", strategies=(step,), task=ferry, system=base)
        _, (bill,) = runner.builder.prepare(job)
        return str(bill.key)

    assert key(TreeRAG(rag=None)) == key(TreeRAG(rag=None, fuzzy=0.95))
    with pytest.raises(ValidationError):
        TreeRAG(fuzzy=0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("crew.csv", "name,parent\nFerry,\nDeck,Ferry\n"),
        ("crew.yaml", "Ferry: [Deck]\n"),
        ("crew.md", "# Ferry\n## Deck\n"),
        ("pages", "# Ferry\n## Deck\n"),
    ],
)
def test_the_key_hierarchy_takes_every_form(tmp_path: Path, name: str, text: str) -> None:
    if name == "pages":
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.md").write_text(text)
    else:
        (tmp_path / name).write_text(text)
    (tmp_path / "task.yaml").write_text(f"name: ferry\ntest: test.jsonl\nhierarchy: {name}\n")
    row = '{"question": "Where is Deck?", "answers": "Ferry", "evidence": ["hierarchy"]}\n'
    (tmp_path / "test.jsonl").write_text(row)
    task = load_task(str(tmp_path))
    assert task.hierarchy is not None
    assert "Deck" in [entity.name for entity, _ in task.hierarchy.walk()]


def test_a_hierarchy_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: ferry\ntest: test.jsonl\nhierarchy: crew.txt\n")
    (tmp_path / "test.jsonl").write_text('{"question": "Where?", "answers": "here"}\n')
    (tmp_path / "crew.txt").write_text("Ferry\n")
    with pytest.raises(TaskError, match="a hierarchy is a YAML file, a table"):
        load_task(str(tmp_path))
