"""YAML with its lines: one reader for recipes, tasks, tables and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from wattune.errors import InputError, RecipeError, StorageError, TaskError
from wattune.values import Value
from wattune.yaml_lines import DEEPEST, LineFaults, compose_fast, read_mapping, read_node


class Leaf(Value):
    r: int = 1


class Tree(Value):
    leaves: tuple[Leaf, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "it.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_and_entry_has_its_line(tmp_path: Path) -> None:
    content, lines = read_mapping(
        write(tmp_path, "a: 1\nb:\n  c: [x,\n    y]\n  d: {e: 2}\n3: z\n"), InputError
    )
    assert content == {"a": 1, "b": {"c": ["x", "y"], "d": {"e": 2}}, "3": "z"}
    assert lines == {
        ("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", "0"): 3, ("b", "c", "1"): 4,
        ("b", "d"): 5, ("b", "d", "e"): 5, ("3",): 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: {c: 1,\n  c: 2}\n", r'it\.yaml:3: "c" is given twice'),
        ("a: [1\n", r"it\.yaml:2:1: broken YAML: "),
        ("a: !!python/object/apply:os.getcwd []\n", r"it\.yaml:1:4: broken YAML: could not det"),
        ("a: 2026-99-99\n", r"it\.yaml: broken YAML: "),
        ("{[1]: 2}\n", "broken YAML: found unhashable key"),
        ("a: &x [*x]\n", "an alias .* stands inside what it names"),
        ("a: " + "[" * 5000 + "]" * 5000, "broken YAML"),
        ("- a\n", "mapping of keys to values is expected"),
        ("", "mapping of keys to values is expected"),
    ],
)
def test_what_is_wrong_is_told_as_the_rooms_own_error(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        read_mapping(write(tmp_path, text), RecipeError)


def test_nodes_are_read_without_aliases_where_they_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a: &x 1\nb: *x\n")
    assert isinstance(read_node(path, TaskError), yaml.MappingNode)
    with pytest.raises(TaskError, match=r"it\.yaml:2: YAML aliases \(\*x\) are not allowed"):
        read_node(path, TaskError, aliases=False)
    assert read_node(write(tmp_path, "# nothing\n"), TaskError) is None
    with pytest.raises(TaskError, match=r"it\.yaml:1:4: not YAML: "):
        read_node(write(tmp_path, "a: }\n"), TaskError, fault="not YAML")
    with pytest.raises(StorageError, match="no such file"):
        read_node(tmp_path / "gone.yaml", TaskError)


def test_a_fault_in_a_list_names_the_line_and_what_was_meant(tmp_path: Path) -> None:
    content, lines = read_mapping(write(tmp_path, "leaves:\n- r: 2\n- rr: 3\n"), InputError)
    faults = LineFaults("it.yaml", lines)
    assert faults.validate(Tree, content) is None
    with pytest.raises(InputError) as caught:
        faults.raise_any(InputError)
    assert str(caught.value) == 'it.yaml:3: unknown key "leaves.1.rr"; did you mean "r"?'


@pytest.mark.parametrize(
    "nested",
    [
        lambda deep: "[" * deep + "]" * deep,
        lambda deep: "{a: " * deep + "}" * deep,
        lambda deep: "- " * deep + "x",
        lambda deep: "".join(" " * at + "a:\n" + " " * at + "-\n" for at in range(deep // 2)),
    ],
    ids=["flow lists", "flow mappings", "a line of dashes", "both at each column"],
)
def test_nesting_that_would_take_libyaml_down_is_told(tmp_path: Path, nested: Any) -> None:
    assert compose_fast(nested(DEEPEST)) is not None
    path = write(tmp_path, nested(DEEPEST + 2))
    with pytest.raises(TaskError, match=r"it\.yaml: broken YAML: nested too deeply to be read"):
        read_node(path, TaskError, aliases=False)


def test_a_file_of_brackets_takes_nothing_down(tmp_path: Path) -> None:
    path = write(tmp_path, "[" * 100_000)
    for aliases in (True, False):
        with pytest.raises(TaskError, match="nested too deeply to be read"):
            read_node(path, TaskError, aliases=aliases)
