"""Files without a folder: CSV, JSON lines, SQuAD, the hub; names that are not there."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import TaskError
from wattune.tasks import load
from wattune.tasks.examples import split_examples
from wattune.tasks.load import load_task
from wattune.tasks.overlap import check_overlap
from wattune.tasks.task import Example, Task

XQUAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "xquad" / "xquad.en.json"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def everything(task: Task) -> dict[str, Example]:
    return {one.question: one for one in (*task.train, *task.validation, *task.test)}


def table(count: int, header: str = "question,answer") -> str:
    return header + "\n" + "".join(f"What is {n}?,number {n}\n" for n in range(count))


def test_csv_with_our_names(tmp_path: Path) -> None:
    text = (
        'question;answer;tags\n"Who; where?";Ada|Bo;easy|short\n# a comment;x;\n'
        '"Two\nlines?";"one"\n;;\n'
    ).replace('"one"', '"one";')
    found = everything(load_task(write(tmp_path / "q.csv", text)))
    assert set(found) == {"Who; where?", "Two\nlines?"}
    assert found["Who; where?"].answers == ("Ada", "Bo")
    assert found["Who; where?"].tags == ("easy", "short")


def test_csv_with_a_column_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "bank.csv", 'text,category,n\n# really?,a|b,1\n"Why, then?",c,2\n')
    task = load_task(path, columns={"question": "text", "answer": "category"})
    found = everything(task)
    assert found["# really?"].answers == ("a|b",)  # a foreign file's cells are taken whole
    assert found["Why, then?"].answers == ("c",)
    assert task.name == "bank"


def test_contexts_become_documents(tmp_path: Path) -> None:
    lines = [{"q": "Who?", "a": "Ada", "p": "Ada is here."}, {"q": "When?", "a": 7, "p": "At 7."}]
    path = write(tmp_path / "q.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    task = load_task(path, columns={"question": "q", "answers": "a", "context": "p"})
    found = everything(task)
    assert found["When?"].answers == ("7",)
    texts = {one.id: one.text for one in task.documents}
    assert texts[found["Who?"].evidence[0]] == "Ada is here."


@pytest.mark.parametrize(
    ("name", "text", "columns", "message"),
    [
        ("q.csv", "", None, "the file is empty"),
        ("q.csv", "question,answer\n", None, "no test questions"),
        ("q.csv", "text,label\na,b\n", None, "which column holds question.*text, label"),
        ("q.csv", "text,label\na,b\n", {"question": "txt"}, 'no column "txt".*did you mean "text"'),
        ("q.csv", "text,label\na,b\n", {"qestion": "text"}, 'columns: "qestion".*"question"'),
        ("q.csv", "question,answer\na,b,c\n", None, r"q\.csv:2: 3 cells where the header has 2"),
        ("q.csv", "question,answer\na,\n", None, r"q\.csv:2: answers is missing or empty"),
        (
            "q.csv",
            'question,answer\n"a,b\n',
            None,
            r"q\.csv:\d: not CSV \(unexpected end of data\)",
        ),
        ("q.csv", "question,question\na,b\n", None, '"question" stands twice in the header'),
        ("q.jsonl", '{"question": "a", "answers": "b", "x": 1}\n', None, r':1: unknown key "x"'),
        ("q.json", "[]", None, r"a \.json file is read as SQuAD"),
        ("q.json", '{"data":\n [}', None, r"q\.json:2:3: not JSON"),
        ("q.json", '{"data": [{"title": "x"}]}', None, r"data\[0\]: paragraphs must be a list"),
        ("q.json", '{"data": []}', {"question": "x"}, "a column mapping is for tables"),
        ("q.xml", "<a/>", None, "a task is a folder with a task.yaml, a SQuAD file"),
    ],
)
def test_faulty_files(
    tmp_path: Path, name: str, text: str, columns: dict[str, str] | None, message: str
) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(TaskError, match=message):
        load_task(path, columns=columns)


def test_a_csv_fault_names_the_line_where_its_row_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", 'question,answer\n"a\nb","c"\n,d\n')
    with pytest.raises(TaskError, match=r"q\.csv:4: question is missing"):
        load_task(path)


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "data" / "pier"
    shipped.mkdir(parents=True)
    write(shipped / "task.yaml", "name: pier\ntest: t.jsonl\n")
    write(shipped / "t.jsonl", '{"question": "Who?", "answers": "Ada"}\n')
    monkeypatch.setattr(load, "shipped_folder", lambda: tmp_path)
    assert load_task("pier").name == "pier"
    with pytest.raises(TaskError, match=r'no built-in task of that name.*did you mean "pier"\?'):
        load_task("peir")
    with pytest.raises(TaskError, match="this task has no columns"):
        load_task("pier", columns={"question": "q"})


def test_the_split_is_by_hash_and_keeps_its_shares(tmp_path: Path) -> None:
    task = load_task(write(tmp_path / "q.csv", table(1000)))
    sizes = [len(task.train), len(task.validation), len(task.test)]
    assert sum(sizes) == 1000
    for size, share in zip(sizes, (0.60, 0.15, 0.25), strict=True):
        assert abs(size / 1000 - share) < 0.05
    assert check_overlap(task) == []


def test_the_split_depends_on_neither_order_nor_other_rows(tmp_path: Path) -> None:
    lines = table(200).splitlines()
    body = lines[1:]
    random.Random(1).shuffle(body)
    one = load_task(write(tmp_path / "one.csv", table(200)))
    two = load_task(write(tmp_path / "two.csv", "\n".join([lines[0], *body, "More?,yes"])))
    for split in ("train", "validation", "test"):
        before = {example.id for example in getattr(one, split)}
        assert before <= {example.id for example in getattr(two, split)}


def test_groups_and_equal_questions_stay_together() -> None:
    examples = [
        Example(id=f"{n}-{m}", question=f"Wording {m} of {n}?", answers=("a",), group=f"g{n}")
        for n in range(60)
        for m in range(3)
    ]
    examples += [
        Example(id=f"{mark}{n}", question=f"Is it {n}{mark}", answers=("a",))
        for n in range(60)
        for mark in ("?", "!")
    ]
    splits = split_examples(examples)
    groups = [{one.group for one in found if one.group} for found in splits.values()]
    assert sum(map(len, groups)) == 60
    numbers = [{one.id[1:] for one in found if one.group is None} for found in splits.values()]
    assert sum(map(len, numbers)) == 60


def test_a_tiny_file_still_has_a_test() -> None:
    for name in "abcdefgh":
        splits = split_examples([Example(id=name, question=name, answers=("a",))])
        assert len(splits["test"]) == 1


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.1, 0.1), (1.0, 0.0, 0.0), (1.2, -0.4, 0.2)])
def test_shares_must_sum_to_one(shares: tuple[float, ...]) -> None:
    with pytest.raises(TaskError, match="shares of train, validation and test"):
        split_examples([], shares)


def squad(**question: Any) -> str:
    asked = {"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    paragraph = {"context": "Ada is here.", "qas": [asked | question]}
    return json.dumps(
        {"version": "v2.0", "data": [{"title": "The_Quay", "paragraphs": [paragraph]}]}
    )


def test_squad_2_marks_what_cannot_be_answered(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", squad(is_impossible=True, answers=[]))
    task = load_task(path)
    assert task.test[0].kind == "unanswerable"
    assert task.test[0].answers == (task.refusal,)
    assert task.documents[0].id == "The-Quay/1"
    assert task.documents[0].title == "The Quay"
    assert task.test[0].evidence == ("The-Quay/1",)


def test_squad_without_an_answer_names_the_question(tmp_path: Path) -> None:
    path = write(tmp_path / "s.json", squad(answers=[]))
    with pytest.raises(
        TaskError, match=r"data\[0\]\.paragraphs\[0\]\.qas\[0\]: answers is missing"
    ):
        load_task(path)


@pytest.mark.skipif(not XQUAD.is_file(), reason="the XQuAD file is not beside this checkout")
def test_xquad_is_read_whole() -> None:
    task = load_task(XQUAD)
    found = [*task.train, *task.validation, *task.test]
    assert len(found) == 1190
    assert len(task.documents) == 240
    texts = {one.id: one.text for one in task.documents}
    assert all(one.answers[0] in texts[one.evidence[0]] for one in found)
    assert check_overlap(task) == []


def hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    import datasets  # type: ignore[import-untyped]

    asked: list[Any] = []

    def load_dataset(*args: Any, **more: Any) -> Any:
        asked.append((*args, more["revision"]))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_hub_data_set_keeps_its_splits_and_class_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = {
        split: datasets.Dataset.from_dict(
            {"text": [f"{split} {n}" for n in (0, 1)], "label": [0, 1]}, features
        )
        for split in ("train", "validation")
    }
    asked = hub(monkeypatch, datasets.DatasetDict(rows))
    task = load_task("hub:org/films#small@abc", columns={"question": "text", "answers": "label"})
    assert asked == [("org/films", "small", "abc")]
    assert task.name == "org/films"
    assert [one.answers for one in task.train] == [("bad",), ("good",)]
    assert [one.question for one in task.test] == ["validation 0", "validation 1"]
    assert task.validation == ()


def test_a_hub_data_set_in_the_form_of_squad(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = datasets.Dataset.from_list(
        [
            {
                "id": "1",
                "title": "x",
                "context": "Ada.",
                "question": "Who?",
                "answers": {"text": ["Ada"], "answer_start": [0]},
            },
            {
                "id": "2",
                "title": "x",
                "context": "Ada.",
                "question": "When?",
                "answers": {"text": [], "answer_start": []},
            },
        ]
    )
    hub(monkeypatch, datasets.DatasetDict({"train": rows}))
    task = load_task("hub:squad")
    found = everything(task)
    assert found["Who?"].answers == ("Ada",)
    assert found["When?"].kind == "unanswerable"
    assert len(task.documents) == 1


def test_no_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, ConnectionError("Couldn't reach the hub\nlong trace"))
    with pytest.raises(
        TaskError, match=r"hub:org/x cannot be loaded: Couldn't reach the hub; check"
    ):
        load_task("hub:org/x")
    with pytest.raises(TaskError, match="an address on the hub is written hub:org/name"):
        load_task("hub:a/b/c")
