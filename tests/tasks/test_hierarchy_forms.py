"""Hierarchies from tables, names alone and headings, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattune.errors import TaskError
from wattune.tasks.hierarchy import Entity, Role, read_hierarchy

TABLE = """\
name,parent,level,aliases,role,person,budget
Quay Authority,,authority,QA,,,9
Towage Unit,Marine Division,unit,Tugs;  the Pull,Chief,Ada Lund,1
towage unit,,,,Deputy,Bo Ek,
Marine Division,Quay Authority,division,,,,3
Pilotage Unit,marine  division,unit,,,,2
"""


def read(tmp_path: Path, name: str, text: str) -> Entity:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_hierarchy(tmp_path / name)


def shape(entity: Entity) -> dict[str, object]:
    return {child.name: shape(child) for child in entity.children}


def test_a_table_of_parent_links(tmp_path: Path) -> None:
    root = read(tmp_path, "tree.csv", TABLE)
    assert (root.name, root.level, root.aliases) == ("Quay Authority", "authority", ("QA",))
    assert shape(root) == {"Marine Division": {"Towage Unit": {}, "Pilotage Unit": {}}}
    towage = root.children[0].children[0]
    assert towage.aliases == ("Tugs", "the Pull")
    assert towage.roles == (
        Role(role="Chief", person="Ada Lund"),
        Role(role="Deputy", person="Bo Ek"),
    )
    assert read(tmp_path, "tree.tsv", TABLE.replace(",", "\t")) == root


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name,parent", "nam,parent", r'no column "name"; did you mean "nam"\?'),
        ("name,parent", "name,boss", r'no column "parent"'),
        (",marine  division,", ",Marin Divison,", r':6: the parent .*; did you mean "Marine Div'),
        (",marine  division,", ",Xyz,", r':6: the parent "Xyz" of "Pilotage Unit" is no name'),
        (
            "Marine Division,Quay Authority",
            "Marine Division,Pilotage Unit",
            r":5: a circle of parents: Marine Division \(line 5\) › Pilotage Unit \(line 6\) › Mar",
        ),
        ("Quay Authority,,", "Quay Authority,Quay Authority,", r":2: a circle of parents: Quay Au"),
        (
            ",marine  division,",
            ",,",
            r':6: 2 entities stand at the top: "Quay Authority" \(line 2\), "Pilotage Unit" \(line'
            r" 6\); a hierarchy has one root: add a row for the whole",
        ),
        ("Bo Ek", "", r':4: the name "towage unit" is already given on line 3'),
        ("towage unit,,,", "towage unit,,team,", r':4: level of "towage unit" is "team" here and'),
        ("Chief,", ",", ":3: role and person go together"),
        ("Pilotage Unit,", ",", ":6: no name"),
        ("authority,QA", "authority,QA,QB", ":2: 8 cells where the header has 7"),
        (TABLE[TABLE.index("\n") + 1 :], "", "no row under the header"),
        (TABLE, "", "the file is empty"),
    ],
)
def test_faults_of_a_table(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TABLE
    with pytest.raises(TaskError, match=message):
        read(tmp_path, "tree.csv", TABLE.replace(old, new, 1))


def test_faults_of_a_table_are_told_at_once_and_stay_readable(tmp_path: Path) -> None:
    rows = "".join(f"Team {n},Nobody {n}\n" for n in range(3_000))
    with pytest.raises(TaskError) as told:
        read(tmp_path, "tree.csv", f"name,parent\n{rows}")
    assert str(told.value).startswith("3000 faults:")
    assert str(told.value).endswith("and 2980 more")
    assert len(str(told.value).splitlines()) == 22


def test_a_table_that_is_too_deep(tmp_path: Path) -> None:
    rows = "".join(f"n{n},n{n - 1}\n" for n in range(1, 5_000))
    with pytest.raises(TaskError, match=r":66: more than 64 levels"):
        read(tmp_path, "tree.csv", f"name,parent\nn0,\n{rows}")


def test_names_alone(tmp_path: Path) -> None:
    text = "Quay:\n  Marine:\n    Towage: [Night, Day]\n    Pilots:\n  Cargo: Crane\n"
    marine: dict[str, Any] = {"Towage": {"Night": {}, "Day": {}}, "Pilots": {}}
    root = read(tmp_path, "tree.yaml", text)
    assert (root.name, shape(root)) == ("Quay", {"Marine": marine, "Cargo": {"Crane": {}}})
    same = read(tmp_path, "tree.yml", "- Quay:\n  - Marine: {Towage: [Night, Day], Pilots: }\n"
                "  - Cargo: [Crane]\n")  # fmt: skip
    assert same == root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A:\nB:\nC:\n", r':2: 3 entities stand at the top: "A" \(line 1\), .* indent them under'),
        ("- A\n- B\n", ":2: 2 entities stand at the top"),
        ("A:\n  B: [c, C]\n", r':2: the name "C" is already given on line 2'),
        ("A:\n  level: x\n", r':2: "level" is a key of entities with keys'),
        ("A:\n  7:\n", ':2: a name must be text; write it in quotes: "7"'),
        ("A: [[b]]\n", ":1: a list in a list"),
        ("[]\n", ":1: there is no name in it"),
        ("- name: A\n- name: B\n", ":1: an entity must be a mapping .* not a list"),
        ("".join(f"{{n{n}: " for n in range(70)) + "}" * 70, ":1: more than 64 levels"),
    ],
)
def test_faults_of_names_alone(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        read(tmp_path, "tree.yaml", text)


PAGE = """\
# Hand *book*
## [Fees](fees.md)
### Contact
```
# no heading
```
## Docks
#### Contact
#### Contact
"""


def test_headings_of_a_page(tmp_path: Path) -> None:
    root = read(tmp_path, "page.md", PAGE)
    assert (root.name, root.level, root.children[0].level) == ("Hand book", "page", "section")
    assert shape(root) == {
        "Fees": {"Contact (Fees)": {}},
        "Docks": {"Contact (Docks)": {}, "Contact (Docks, 2)": {}},
    }
    assert root.children[0].children[0].aliases == ("Contact",)


def test_headings_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "house-rules" / "fees").mkdir(parents=True)
    (tmp_path / "house-rules" / "a.md").write_text("# Visits\n## When\n# Keys\n")
    (tmp_path / "house-rules" / "fees" / "b.md").write_text("# Fees\n")
    (tmp_path / "house-rules" / "note.txt").write_text("# none\n")
    root = read_hierarchy(tmp_path / "house-rules")
    assert (root.name, root.level) == ("House rules", "folder")
    assert shape(root) == {
        "Visits": {"When": {}},
        "Keys": {},
        "Fees (House rules)": {"Fees (Fees)": {}},
    }


def test_faults_of_headings_and_endings(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r":2: 2 entities stand at the top: .* write one heading"):
        read(tmp_path, "page.md", "# A\n# B\n")
    with pytest.raises(TaskError, match="no heading"):
        read(tmp_path, "page.md", "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="there is no Markdown page"):
        read_hierarchy(tmp_path / "empty")
    with pytest.raises(TaskError, match="a hierarchy is a YAML file, a table"):
        read(tmp_path, "tree.txt", "x")


def test_an_empty_table_is_told_by_its_own_columns(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="a header such as name,parent is expected"):
        read(tmp_path, "tree.csv", "")
