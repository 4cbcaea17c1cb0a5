"""`init_task`: a folder of documents and a file of questions become a task that loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wattune.errors import TaskError
from wattune.tasks.load import load_task
from wattune.tasks.scaffold import init_task


def pages(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quay.md").write_text("# The quay\n\nAda leads the quay.\n")
    (folder / "dock.txt").write_text("The dock is dry.\n")
    return folder


def questions(path: Path, count: int) -> Path:
    lines = [f'"What, then, is {n}?",number {n}' for n in range(count)]
    path.write_text("\n".join(["question,answer", *lines]) + "\n")
    return path


def test_with_questions_the_task_loads(tmp_path: Path) -> None:
    folder = pages(tmp_path / "My docs")
    file = questions(tmp_path / "q.csv", 80)
    report = init_task(folder, questions=file, questions_needed=780)
    task = load_task(folder)
    assert task.name == "my-docs"
    assert [one.id for one in task.documents] == ["dock", "quay"]
    assert (report.train, report.validation, report.test) == (
        len(task.train),
        len(task.validation),
        len(task.test),
    )
    assert report.questions == 80
    assert report.documents == 2
    assert set(report.made) == {
        "task.yaml",
        "recipe.yaml",
        "train.jsonl",
        "validation.jsonl",
        "test.jsonl",
    }
    assert any("about 780 are needed" in sentence for sentence in report.missing)
    assert set(task.test) == set(load_task(file).test)  # drawn as the file itself would be


def test_the_recipe_holds_what_can_run(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs")
    init_task(folder, questions=questions(tmp_path / "q.csv", 80), questions_needed=10)
    text = (folder / "recipe.yaml").read_text()
    assert "# place: FRA" in text
    recipe = yaml.safe_load(text)
    assert recipe == {
        "name": "docs",
        "task": ".",
        "model": "smollm2-135m-q4",
        "runs": {
            "zero-shot": ["prompt"],
            "few-shot": [{"prompt": {"shots": 4}}],
            "rag": ["rag"],
            "lora": ["lora"],
        },
    }


def test_a_hierarchy_adds_the_run_that_reads_it(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs")
    (folder / "hierarchy.yaml").write_text("name: Quay\nchildren: [{name: Towage}]\n")
    report = init_task(folder, questions=questions(tmp_path / "q.csv", 80), questions_needed=10)
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["runs"]["tree-rag"] == ["tree_rag"]
    assert not any("other kinds are not read" in sentence for sentence in report.missing)


def test_one_question_and_no_documents(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    report = init_task(folder, questions=questions(tmp_path / "q.csv", 1), questions_needed=10)
    assert load_task(folder).test[0].question == "What, then, is 0?"
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["runs"] == {"zero-shot": ["prompt"]}
    assert any("nothing can be retrieved" in sentence for sentence in report.missing)
    assert any("0 training questions" in sentence for sentence in report.missing)


def test_without_questions_a_file_to_fill_in(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs" / "documents").parent
    report = init_task(folder, questions_needed=780)
    assert report.made == ("questions.csv",)
    assert "780" in report.missing[0]
    file = folder / "questions.csv"
    with pytest.raises(TaskError, match="no questions there yet"):
        init_task(folder, questions=file, questions_needed=780)
    file.write_text(file.read_text() + "Who leads the quay?,Ada\n")
    init_task(folder, questions=file, questions_needed=780)
    task = load_task(folder)
    assert [one.question for one in task.test] == ["Who leads the quay?"]
    assert len(task.documents) == 2


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs")
    (folder / "test.jsonl").write_text("mine")
    with pytest.raises(TaskError, match=r"test\.jsonl is already there and is not overwritten"):
        init_task(folder, questions=questions(tmp_path / "q.csv", 40), questions_needed=10)
    assert (folder / "test.jsonl").read_text() == "mine"
    assert {path.name for path in folder.iterdir()} == {"quay.md", "dock.txt", "test.jsonl"}
    init_task(folder, questions_needed=10)
    with pytest.raises(TaskError, match=r"questions\.csv is already there"):
        init_task(folder, questions_needed=10)


def test_an_empty_document_is_told(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs")
    (folder / "void.md").write_text("\n")
    report = init_task(folder, questions_needed=10)
    assert report.documents == 2
    assert "1 of the documents hold no text" in report.missing[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.csv", "question,answer\nWho?,\n", r"q\.csv:2: answers is missing"),
        ("q.jsonl", '{"question": "Who?"}\n', r"q\.jsonl:1: answers is missing"),
        ("q.jsonl", '{"question": "Who?", "answers": "x", "evidence": "qay"}\n', "no document"),
        ("q.xlsx", "x", r"questions are read from a \.csv file"),
        ("q.csv", "question,answer,context\nWho?,Ada,Ada.\n", "has a context column"),
    ],
)
def test_faulty_questions(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    folder = pages(tmp_path / "docs")
    with pytest.raises(TaskError, match=message):
        init_task(folder, questions=tmp_path / name, questions_needed=10)
    assert not (folder / "task.yaml").exists()


def test_nothing_to_make_a_task_of(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="there is no such folder"):
        init_task(tmp_path / "gone", questions_needed=10)
    with pytest.raises(TaskError, match=r"no document with text and no questions"):
        init_task(tmp_path, questions_needed=10)


def test_the_questions_filled_in_are_found_by_the_second_call(tmp_path: Path) -> None:
    folder = pages(tmp_path / "docs" / "documents").parent
    init_task(folder, questions_needed=10)
    with pytest.raises(TaskError, match=r"questions\.csv is already there"):
        init_task(folder, questions_needed=10)  # nothing was filled in yet
    with (folder / "questions.csv").open("a", encoding="utf-8") as stream:
        stream.writelines(f"What is number {n}?,{n}\n" for n in range(40))
    report = init_task(folder, questions_needed=10)
    assert report.questions == 40
    assert load_task(folder).test
