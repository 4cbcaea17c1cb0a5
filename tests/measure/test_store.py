"""Records on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import InputError, StorageError
from wattune.measure import store
from wattune.measure.record import Bill, Carbon, Energy, Phase, Record, Score, ScoredAnswer
from wattune.measure.store import (
    find_record,
    load_answers,
    load_records,
    write_record,
)

KEY = "0123456789abcdef"


def record(**changes: Any) -> Record:
    energy = Energy(energy_j=2.0, provenance="counter")
    phase = Phase(duration_s=1.0, energy_j=2.0, components={"cpu": energy}, peak_memory_bytes=9)
    base = Record(
        name="rag",
        key=KEY,
        phases={"answer": phase},
        prepare=Bill(energy_j=None, duration_s=3.0),
        quality={"token_f1": Score(value=0.5, low=0.4, high=0.6, n=10)},
        carbon=Carbon(place="FRA", intensity_g_per_kwh=56.0, source="x"),
        answers=1,
    )
    return base.model_copy(update=changes)


ANSWER = ScoredAnswer(
    id="q1",
    question="Où ?\u2028",
    answers=("là",),
    kind="question",
    text="là",
    tokens_in=3,
    tokens_out=1,
    scores={"token_f1": 1.0},
)


def test_write_and_read_back(tmp_path: Path) -> None:
    path = write_record(tmp_path / "new" / "folder", record(), [ANSWER, ANSWER])
    assert path.name == "rag-01234567.json"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "rag-01234567.answers.jsonl",
        "rag-01234567.json",
    ]
    assert find_record(path.parent, "rag", KEY) == record()
    assert load_records(tmp_path) == load_records(str(path)) == [record()]
    assert load_answers(path.parent, record()) == [ANSWER, ANSWER]
    assert load_answers(path, record()) == [ANSWER, ANSWER]


def test_the_answers_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path, record(), [ANSWER])
    assert [p.name for p in tmp_path.iterdir()] == ["rag-01234567.answers.jsonl"]
    assert find_record(tmp_path, "rag", KEY) is None
    assert load_records(tmp_path) == []


def test_find_wants_the_whole_key_and_a_finished_run(tmp_path: Path) -> None:
    write_record(tmp_path, record(), [])
    assert find_record(tmp_path, "rag", KEY[:8] + "ffffffff") is None
    assert find_record(tmp_path, "lora", KEY) is None
    write_record(tmp_path, record(status="failed"), [])
    assert find_record(tmp_path, "rag", KEY) is None
    assert load_records(tmp_path) == [record(status="failed")]


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".hidden", "", "a:b", "x" * 200, "a\nb"])
def test_names_that_are_no_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="run name"):
        write_record(tmp_path, record(name=name), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t-rag", "rag k=3", "lora+rag", "modèle", "v1.2"])
def test_names_that_are(tmp_path: Path, name: str) -> None:
    write_record(tmp_path, record(name=name), [])
    assert find_record(tmp_path, name, KEY) == record(name=name)


def test_other_json_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"name": "x"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("{")
    write_record(tmp_path / "deep" / "er", record(), [])
    assert load_records(tmp_path) == [record()]
    with pytest.raises(StorageError, match=r"config\.json"):
        load_records(tmp_path / "config.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"phases"', '"fases"'),
        lambda text: text.replace('"counter"', '"guessed"'),
        lambda text: text.replace('"name"', '"surplus": 1, "name"'),
        lambda text: text.replace('"schema_version": 5', '"schema_version": "2"'),
        lambda text: text.replace('"schema_version": 5', '"schema_version": 0'),
        lambda text: "",
        lambda text: "[]",
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, damage: Any) -> None:
    path = write_record(tmp_path, record(), [])
    path.write_text(damage(path.read_text()))
    with pytest.raises(StorageError, match=r"rag-01234567\.json"):
        load_records(tmp_path)


def test_a_newer_schema_says_what_is_needed(tmp_path: Path) -> None:
    path = write_record(tmp_path, record(), [])
    content = json.loads(path.read_text())
    content["schema_version"], content["new_field"] = 99, 1
    path.write_text(json.dumps(content))
    with pytest.raises(StorageError, match=r"rag-01234567\.json: .*record schema 99 is needed"):
        load_records(tmp_path)


def test_an_older_schema_is_read_and_its_file_left(tmp_path: Path) -> None:
    path = write_record(tmp_path, Record(name="rag", key=KEY), [])
    content = {"schema_version": 1, "name": "rag", "key": KEY, "tokens": {"tokens_in": 7}}
    path.write_text(json.dumps(content))
    found = find_record(tmp_path, "rag", KEY)
    assert found is not None
    assert found.work["answer"].tokens_in == 7
    assert load_records(tmp_path) == [found]
    assert json.loads(path.read_text()) == content


def test_missing_places(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        load_records(tmp_path / "nothing.json")
    with pytest.raises(StorageError, match="no such file"):
        load_answers(tmp_path, record())


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    write_record(tmp_path, record(), [ANSWER])
    file = tmp_path / "rag-01234567.answers.jsonl"
    file.write_text(file.read_text() + '{"id": "q2"}\n')
    with pytest.raises(StorageError, match=r"jsonl:2: not an answer"):
        load_answers(tmp_path, record())
