"""Chat data and completion data: what becomes a question, what its history, and every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattune.answering.session import Session
from wattune.errors import TaskError
from wattune.tasks.items import item_of
from wattune.tasks.load import load_task
from wattune.tasks.scaffold import _row
from wattune.tasks.task import Example, Task, Turn


def chat(*said: str, system: str = "") -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    turns = [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]
    return [{"role": "system", "content": system}, *turns] if system else turns


FERRY = chat("Is there a ferry?", "At noon.", "And back?", "At six.", system="Be brief.")
LAST = (Turn(role="user", text="Is there a ferry?"), Turn(role="assistant", text="At noon."))


def read(folder: Path, *rows: object) -> list[Example]:
    """The examples of rows, as test questions in their order."""
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(load_task(path, shares=(0, 0, 1)).test)


def test_a_chat_is_one_example_for_each_turn_of_the_assistant(tmp_path: Path) -> None:
    first, second = read(tmp_path, {"messages": FERRY, "id": "c", "kind": "times"})
    assert (first.question, first.answers, first.history) == (
        "Is there a ferry?", ("At noon.",), ()
    )  # fmt: skip
    assert (second.question, second.answers, second.history) == ("And back?", ("At six.",), LAST)
    assert (first.id, second.id, second.kind) == ("c/1", "c/2", "times")
    assert first.group == second.group is not None
    # Turns of one chat are no rewordings: agreement between their answers would mean nothing.
    items = [item_of(one, "x", Task(name="t")) for one in (first, second)]
    assert [item.group for item in items] == [first.group, None]


def test_a_last_turn_of_the_user_and_empty_keys_are_passed_over(tmp_path: Path) -> None:
    turns = [{**turn, "tool_calls": None, "name": None} for turn in chat("Hi?", "Yes.", "Thanks")]
    (only,) = read(tmp_path, {"messages": turns, "id": "c", "group": "g"})
    assert (only.id, only.group, only.question, only.history) == ("c", "g", "Hi?", ())


def test_completion_data_as_text_and_as_turns(tmp_path: Path) -> None:
    row = {"prompt": FERRY[:-1], "completion": FERRY[-1:]}
    text, turns = read(tmp_path, {"prompt": "Sky?", "completion": " Blue."}, row)
    assert (text.question, text.answers, text.group) == ("Sky?", ("Blue.",), None)
    # What stands in the prompt is history, and no answer to be learnt.
    assert (turns.question, turns.answers, turns.history) == ("And back?", ("At six.",), LAST)


def test_a_task_folder_may_hold_all_forms(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("name: t\ntrain: a.jsonl\ntest: b.jsonl\n")
    rows = [{"messages": FERRY}, {"question": "Who?", "answers": "Ada"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "b.jsonl").write_text('{"prompt": "Sky?", "completion": "Blue."}')
    task = load_task(tmp_path)
    assert [one.question for one in task.train] == ["Is there a ferry?", "And back?", "Who?"]
    assert task.test[0].answers == ("Blue.",)


def test_chats_on_the_hub_keep_their_other_columns_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets  # type: ignore[import-untyped]

    rows = [{"prompt": "Is there a ferry?", "prompt_id": "x", "talk": FERRY, "score": 1.0}] * 2
    data = datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **more: data)
    task = load_task("hub:org/chats", columns={"messages": "talk"})
    assert [one.answers[0] for one in task.test] == ["At noon.", "At six."] * 2
    renamed = datasets.DatasetDict({"test": data["test"].rename_column("talk", "messages")})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **more: renamed)
    assert load_task("hub:org/chats").test == task.test


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": "Hi"}, "messages must be a list of turns with role and content, not text"),
        ({"messages": []}, "no assistant turn"),
        ({"messages": chat("Hi?")}, "no assistant turn, so there is no answer to learn"),
        ({"messages": ["Hi"]}, r"messages\[0\]: an object with role and content is expected"),
        ({"messages": chat("Hi?", " ")}, r"messages\[1\]: content is empty"),
        ({"messages": chat("Hi?", "Yes")[1:]}, r"messages\[0\]: assistant stands first; user and"),
        ({"messages": chat("Hi?")[:1] * 2}, r"messages\[1\]: user stands after user"),
        ({"messages": [*chat("a", "b"), FERRY[0]]}, r"\[2\]: a system turn can only open a chat"),
        ({"messages": [{"role": "human", "content": "a"}]}, r'unknown role "human".*known: assis'),
        ({"messages": [{"role": "usr", "content": "a"}]}, 'unknown role "usr"; did you mean "user'),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "content must be text, not a list"),
        ({"messages": [{"role": "user", "contents": "a"}]}, 'key "contents".* mean "content"'),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
            r"messages\[0\]: a System has no tools to call, so chats with tool calls cannot be",
        ),
        ({"messages": [{"role": "tool", "content": "7"}]}, "a System has no tools to call"),
        ({"messages": FERRY, "tools": [{"type": "function"}]}, "q.jsonl:2: a System has no tools"),
        ({"messages": FERRY, "knd": "x"}, 'unknown key "knd"; did you mean "kind"'),
        ({"mesages": FERRY}, 'unknown key "mesages"; did you mean "messages"'),
        ({"messages": FERRY, "question": "a"}, '"question" cannot stand beside messages'),
        ({"messages": FERRY, "prompt": "a"}, '"prompt" cannot stand beside messages'),
        ({"prompt": "a"}, "completion is missing; prompt and completion stand together"),
        ({"prompt": "a", "completion": " "}, r"completion\[0\]: content is empty"),
        ({"prompt": "a", "completion": FERRY[-1:]}, "prompt must be text, as both are, or a list"),
        ({"prompt": FERRY[:-1], "completion": []}, "no assistant turn"),
    ],
)
def test_faults_name_line_and_turn(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        read(tmp_path, {"question": "a", "answers": "b"}, row)
    assert str(caught.value).count("q.jsonl:2: ") == 1


def test_a_history_is_in_digest_and_id_only_where_there_is_one(tmp_path: Path) -> None:
    plain = Example(id="a", question="And back?", answers=("At six.",))
    later = plain.model_copy(update={"history": LAST})
    assert "history" not in plain.plain()
    assert later.plain()["history"][0] == {"role": "user", "text": "Is there a ferry?"}
    assert Example.model_validate(later.plain()) == later
    rows = [{"messages": chat(start, "x", "And?", "y")} for start in ("One?", "Two?")]
    examples = read(tmp_path, *rows)
    assert len({one.id for one in examples}) == 4
    with pytest.raises(ValueError, match="user and assistant by turns"):
        Example(id="a", question="b", answers=("c",), history=LAST[1:])


def test_what_init_writes_of_a_chat_is_read_again(tmp_path: Path) -> None:
    examples = read(tmp_path, {"messages": FERRY, "id": "c"})
    assert read(tmp_path, *map(_row, examples)) == examples


def test_a_session_asks_with_the_turns_before(ferry: Any, base: Any, runner: Any) -> None:
    asked = Example(id="a", question="And back?", answers=("At six.",), history=LAST)
    (rendered,) = Session(base, runner.pool).render([asked])
    assert [message["role"] for message in rendered.messages] == [
        "system", "user", "assistant", "user"
    ]  # fmt: skip
    assert [message["content"] for message in rendered.messages[1:]] == [
        "Is there a ferry?", "At noon.", "And back?"
    ]  # fmt: skip
