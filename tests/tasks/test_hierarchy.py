"""hierarchy.yaml: the tree, and the line of every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattune.errors import TaskError
from wattune.tasks.hierarchy import Role, read_hierarchy

TREE = """\
name: Quay Authority
level: authority
aliases: [QA]
roles:
  - {role: Head, person: Ada Lund}
children:
  - name: Dock Unit
    level: unit
    aliases: Docks
    children:
      - name: Night Team
        level: team
"""


def read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hierarchy.yaml"
    path.write_text(text, encoding="utf-8")
    read_hierarchy(path)


def test_a_tree_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hierarchy.yaml"
    path.write_text(TREE, encoding="utf-8")
    root = read_hierarchy(path)
    assert root.roles == (Role(role="Head", person="Ada Lund"),)
    assert root.children[0].aliases == ("Docks",)
    found = [(one.name, [other.name for other in above]) for one, above in root.walk()]
    assert found[2] == ("Night Team", ["Quay Authority", "Dock Unit"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Night Team", "dock  unit", r":11: the name \"dock  unit\" is already given on line 7"),
        (
            "      - name: Night Team\n        level",
            "      - level",
            ":11: an entity without a name",
        ),
        ("Night Team", "[a]", ":11: name must be text, not a list"),
        ("Night Team", "no", r':11: name must be text; write it in quotes: "no"'),
        ("level: team", "levle: team", r':12: unknown key "levle"; did you mean "level"\?'),
        ("aliases: [QA]", "aliases: [QA, 5]", r":3: each of aliases must be text.*\"5\""),
        ("person: Ada Lund", "peson: Ada", r':5: unknown key "peson"; did you mean "person"\?'),
        (", person: Ada Lund", "", ":5: a role needs person"),
        ("{role: Head, person: Ada Lund}", "Ada", r":5: a role must be a mapping .* not \"Ada\""),
        ("aliases: Docks", "roles: Ada", ":9: roles must be a list"),
        ("aliases: [QA]", "aliases: [QA", r":\d+:\d+: not YAML"),
        (TREE, "", "the file is empty"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TREE
    with pytest.raises(TaskError, match=message):
        read(tmp_path, TREE.replace(old, new))


def test_all_faults_at_once(tmp_path: Path) -> None:
    text = TREE.replace("Night Team", "5").replace("level: unit", "lvel: unit")
    with pytest.raises(TaskError, match=r"2 faults:\n.*:8: .*\n.*:11: "):
        read(tmp_path, text)


def test_a_tree_that_is_too_deep(tmp_path: Path) -> None:
    text = "".join(f'{{"name": "n{n}", "children": [' for n in range(70)) + "]}" * 70
    with pytest.raises(TaskError, match="more than 64 levels"):
        read(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"hierarchy\.yaml: there is no such file"):
        read_hierarchy(tmp_path / "hierarchy.yaml")
