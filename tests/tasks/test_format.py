"""The format of an answer: read, refused where it is none, and no part of digests without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattune.errors import TaskError
from wattune.tasks.load import load_task
from wattune.tasks.task import Example, Task
from wattune.values import digest


def test_a_format_is_read_from_json_lines_and_csv(tmp_path: Path) -> None:
    row = {"question": "Which code?", "answers": "AB-1", "format": r"[A-Z]{2}-\d|none"}
    lines, table = tmp_path / "q.jsonl", tmp_path / "q.csv"
    lines.write_text(json.dumps(row) + "\n" + json.dumps({"question": "Who?", "answers": "Ada"}))
    table.write_text('question,answers,format\nWhich code?,AB-1,"[A-Z]{2}-\\d|none"\nWho?,Ada,\n')
    for path in (lines, table):
        task = load_task(path, shares=(0, 0, 1))
        assert [one.format for one in task.test] == [r"[A-Z]{2}-\d|none", None]


@pytest.mark.parametrize("pattern", ["[A-Z", "(", "*", "x{99999999999999999999}"])
def test_what_is_no_regular_expression_is_a_fault_with_its_line(
    tmp_path: Path, pattern: str
) -> None:
    good, bad = ({"question": q, "answers": "x"} for q in ("One?", "Two?"))
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps({**bad, "format": pattern}))
    with pytest.raises(TaskError) as caught:
        load_task(path)
    assert str(caught.value).startswith(f'{path}:2: format "{pattern}" is no regular expression (')


def test_a_format_is_in_the_digest_only_where_there_is_one() -> None:
    plain = Example(id="a", question="Who?", answers=("Ada",))
    shaped = plain.model_copy(update={"format": r"\w+"})
    assert "format" not in plain.plain()
    assert shaped.plain()["format"] == r"\w+"
    assert len({plain.digest(), shaped.digest()}) == 2
    assert Example.model_validate(plain.plain()) == plain
    assert Example.model_validate(shaped.plain()) == shaped
    # As it was before there were formats.
    before = {"id": "a", "question": "Who?", "answers": ["Ada"], "kind": "question"}
    assert plain.plain() == {**before, "tags": [], "evidence": [], "group": None}
    one, other = (Task(name="t", test=(example,)) for example in (plain, shaped))
    assert one.part_digest("test") == digest(
        [{**before, "tags": [], "evidence": [], "group": None}]
    )
    assert one.fingerprint != other.fingerprint
