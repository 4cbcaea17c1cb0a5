"""Task folders: what is read, and the sentence for everything that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import TaskError
from wattune.tasks.folder import load_folder, load_revision
from wattune.tasks.load import load_task
from wattune.tasks.overlap import check_overlap
from wattune.tasks.task import REFUSAL


def rows(*examples: dict[str, Any]) -> str:
    return "".join(json.dumps(example) + "\n" for example in examples)


def example(name: str, question: str = "Who?", **more: Any) -> dict[str, Any]:
    return {"id": name, "question": question, "answers": ["Ada"], **more}


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


FULL = {
    "task.yaml": (
        "name: quay\nversion: 1.10\ndescription: A small quay.\nlanguage: en\nlicense: CC0-1.0\n"
        "train: train.jsonl\nvalidation: validation.jsonl\ntest: test.jsonl\n"
        "documents: documents\nhierarchy: hierarchy.yaml\nrevision: revision\n"
        "metrics: [token_f1]\nrefusal: Nobody knows.\n"
    ),
    "train.jsonl": rows(
        example("a", "Who leads?", evidence=["people.md"], tags="easy", group="lead"),
        example("b", "Who leads?", kind="fact"),
    ),
    "validation.jsonl": rows({"id": "c", "question": "When?", "answers": "noon"}),
    "test.jsonl": "\n"
    + rows(example("d", "Where?"), example("e", kind="unanswerable", answers=[])),
    "documents/people.md": "# The people\n\nAda leads.\n",
    "documents/yard/dry-dock.txt": "The dry dock is closed.",
    "documents/.hidden.md": "not read",
    "documents/picture.png": "not read",
    "hierarchy.yaml": "name: Quay\nchildren: [{name: Yard, level: unit}]\n",
    "revision/test.jsonl": rows(example("f", "Who leads now?", evidence=["people"])),
    "revision/documents/people.md": "# The people\n\nBo leads.\n",
    "revision/documents/new.md": "# New\n\nA crane came.\n",
    "revision/documents/yard/dry-dock.txt": "",
}


def test_every_key_is_read(tmp_path: Path) -> None:
    task = load_task(make(tmp_path, FULL))
    assert (task.name, task.version, task.description) == ("quay", "1.10", "A small quay.")
    assert [one.id for one in task.train] == ["a", "b"]
    assert task.train[0].evidence == ("people",)
    assert task.train[0].tags == ("easy",)
    assert task.train[0].group == "lead"
    assert task.validation[0].answers == ("noon",)
    assert task.test[1].answers == ("Nobody knows.",)
    assert [(one.id, one.title) for one in task.documents] == [
        ("people", "The people"),
        ("yard/dry-dock", "Dry dock"),
    ]
    assert task.hierarchy is not None
    assert task.hierarchy.children[0].name == "Yard"
    assert task.metrics == ("token_f1",)
    assert task.refusal == "Nobody knows."
    assert task.folder == tmp_path
    assert load_task(str(tmp_path / "task.yaml")) == task


def test_name_and_test_are_enough(tmp_path: Path) -> None:
    files = {"task.yaml": "name: x\ntest: t.jsonl\n", "t.jsonl": rows(example("a"))}
    task = load_folder(make(tmp_path, files))
    assert (task.train, task.documents, task.hierarchy) == ((), (), None)
    assert task.refusal == REFUSAL
    assert load_revision(task) is None


def test_the_fingerprint_does_not_depend_on_the_place(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", FULL), make(tmp_path / "two", FULL)
    assert load_folder(one).fingerprint == load_folder(two).fingerprint
    (two / "documents" / "people.md").write_text("# The people\n\nBo leads.\n")
    assert load_folder(one).fingerprint != load_folder(two).fingerprint


def test_a_revision_overlays_the_task(tmp_path: Path) -> None:
    task = load_folder(make(tmp_path, FULL))
    revised = load_revision(task)
    assert revised is not None
    texts = {one.id: one.text for one in revised.documents}
    assert set(texts) == {"people", "new"}  # the empty file took the dry dock away
    assert "Bo leads." in texts["people"]
    assert [one.id for one in revised.test] == ["f"]
    assert revised.train == task.train
    assert revised.hierarchy == task.hierarchy
    assert revised.refusal == task.refusal
    assert revised.version == "1.10-revision"
    assert revised.fingerprint != task.fingerprint
    assert load_revision(revised) is None


def test_a_revision_may_have_a_manifest(tmp_path: Path) -> None:
    more = {
        "revision/task.yaml": "version: 2\ntrain: later.jsonl\n",
        "revision/later.jsonl": rows(example("z")),
    }
    revised = load_revision(load_folder(make(tmp_path, FULL | more)))
    assert revised is not None
    assert revised.version == "2"
    assert [one.id for one in revised.train] == ["z"]


def test_an_empty_revision_is_refused(tmp_path: Path) -> None:
    files = {
        "task.yaml": "name: x\ntest: t.jsonl\nrevision: later\n",
        "t.jsonl": rows(example("a")),
        "later/notes.org": "nothing",
    }
    task = load_folder(make(tmp_path, files))
    with pytest.raises(TaskError, match=r"nothing is revised; put t\.jsonl there"):
        load_revision(task)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("task.yaml", "name: [x\ntest: t.jsonl\n", r"task\.yaml:2:\d+: not YAML"),
        ("task.yaml", "", "the file is empty"),
        ("task.yaml", "- a\n", r"task\.yaml:1: task\.yaml must be a mapping .* not a list"),
        ("task.yaml", "name: x\ntset: t.jsonl\n", r':2: unknown key "tset"; did you mean "test"\?'),
        ("task.yaml", "name: x\nname: y\ntest: test.jsonl\n", r':2: "name" stands twice.*line 1'),
        ("task.yaml", "test: test.jsonl\n", "name is missing"),
        ("task.yaml", "name: x\n", "test is missing"),
        ("task.yaml", "name: 5\ntest: test.jsonl\n", r':1: name must be text.*quotes: "5"'),
        ("task.yaml", "name: x\ntest: gone.jsonl\n", r":2: test: there is no gone\.jsonl"),
        (
            "task.yaml",
            "name: x\ntest: ../test.jsonl\n",
            r":2: test: .* leads out of the task's fol",
        ),
        (
            "task.yaml",
            "name: x\ntest: /etc/hosts\n",
            r":2: test: .* leads out of the task's folder",
        ),
        ("task.yaml", "name: x\ntest: documents\n", "test: documents must be a file"),
        ("task.yaml", "name: x\ntest: test.jsonl\nmetrics: {}\n", ":3: metrics must be a list"),
        ("task.yaml", "name: &n x\ntest: *n\n", r":2: YAML aliases \(\*n\) are not allowed"),
        ("task.yaml", "[" * 3000, "not YAML|nested too deeply"),
        ("test.jsonl", "", r"test\.jsonl: no test questions"),
        ("test.jsonl", '{"id": "x"\n', r"test\.jsonl:1: not a JSON object a line"),
        ("test.jsonl", "[1]\n", r":1: an object with question and answers.*not a list"),
        ("test.jsonl", rows(example("x", 5)), r":1: question must be text, not the number 5"),  # type: ignore[arg-type]
        ("test.jsonl", rows(example("x", " ")), ":1: question is empty"),
        ("test.jsonl", rows({"id": "x", "answers": "a"}), ":1: question is missing"),
        ("test.jsonl", rows({"id": "x", "question": "?"}), ":1: answers is missing or empty"),
        ("test.jsonl", rows(example("x", answers=[7])), ":1: each of answers must be text"),
        ("test.jsonl", rows(example("x", answer="y")), r'unknown key "answer"; did you mean "answ'),
        ("test.jsonl", rows(example("x", evidence=["peopel"])), r'did you mean "people"\?'),
        ("test.jsonl", rows(example("x"), example("x")), r'test\.jsonl:2: the id "x".*jsonl:1'),
        ("test.jsonl", rows(example("a")), r'the id "a" is already used at .*train\.jsonl:1'),
        ("hierarchy.yaml", "level: x\n", r"hierarchy\.yaml:1: an entity without a name"),
        ("documents/people.txt", "twice", r'people\.txt: the same document id "people"'),
    ],
)
def test_faults_name_their_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    make(tmp_path, FULL | {name: text})
    with pytest.raises(TaskError, match=message):
        load_folder(tmp_path)


def test_a_document_that_is_not_text(tmp_path: Path) -> None:
    make(tmp_path, FULL)
    (tmp_path / "documents" / "people.md").write_bytes(b"caf\xe9")
    with pytest.raises(TaskError, match=r"people\.md: not UTF-8 text \(byte 3\)"):
        load_folder(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "task", FULL)
    (tmp_path / "secret.md").write_text("secret")
    (folder / "documents" / "link.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(TaskError, match=r"link\.md: a link that leads out of"):
        load_folder(folder)


def test_all_faults_are_told_at_once_up_to_twenty(tmp_path: Path) -> None:
    bad = rows(*(example(f"x{number}", "") for number in range(25)))
    make(tmp_path, FULL | {"test.jsonl": bad})
    with pytest.raises(TaskError) as caught:
        load_folder(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "25 faults:"
    assert len(lines) == 22
    assert "test.jsonl:20: question is empty" in lines[20]
    assert lines[21] == "  and 5 more"


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"there is no task\.yaml there; `wattune init`"):
        load_task(tmp_path)


def test_documents_at_the_top_leave_results_and_the_revision_out(tmp_path: Path) -> None:
    files = {
        "task.yaml": "name: x\ntest: t.jsonl\ndocuments: .\nrevision: later\n",
        "t.jsonl": rows(example("a")),
        "page.md": "# Page\n\nText.",
        "runs/first/report.md": "# Report",
        "later/page.md": "# Page\n\nNew text.",
    }
    task = load_folder(make(tmp_path, files))
    assert [one.id for one in task.documents] == ["page"]
    revised = load_revision(task)
    assert revised is not None
    assert [one.text for one in revised.documents] == ["# Page\n\nNew text."]


def test_overlap_is_found_whatever_the_spelling(tmp_path: Path) -> None:
    files = {
        "task.yaml": "name: x\ntrain: a.jsonl\ntest: t.jsonl\n",
        "a.jsonl": rows(
            example("a", "Who leads the  Quay?"),
            example("b", "who leads the quay"),
            example("c", "What is C#?"),
        ),
        "t.jsonl": rows(example("t", "WHO leads: the quay!"), example("u", "What is C?")),
    }
    assert check_overlap(load_folder(make(tmp_path, files))) == [("t", "a"), ("t", "b")]
