"""The entity tree: what a question names, and what is told of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wattune.errors import InputError, StorageError
from wattune.rag.entity_names import tokens
from wattune.rag.entity_tree import EntityTree
from wattune.rag.entity_wording import plural
from wattune.tasks.hierarchy import Entity, Role


def team(name: str, *people: str, aliases: tuple[str, ...] = ()) -> Entity:
    roles = tuple(Role(role="Team Lead", person=person) for person in people)
    return Entity(name=name, level="Team", roles=roles, aliases=aliases)


TOWAGE = Entity(
    name="Towage Unit",
    level="Unit",
    aliases=("Ops",),
    roles=(Role(role="Chief", person="Søren Ødegård"), Role(role="Deputy", person="Bo Ek")),
    children=(team("Tug Team", "Ada Lund"), team("Night Tug Team"), team("Line Team", "Bo Ek")),
)
PILOTS = Entity(
    name="Pilotage Unit", level="Unit", aliases=("Ops", "IT"), children=(team("River Pilots Team"),)
)
TREE = EntityTree(
    Entity(
        name="Quay Authority",
        level="Authority",
        children=(
            Entity(name="Marine Division", level="Division", children=(TOWAGE, PILOTS)),
            Entity(name="Cargo Division", level="Division"),
        ),
    )
)


def found(question: str) -> list[str]:
    return [match.entity.name for match in TREE.find(question)]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Who leads the Tug Team?", ["Tug Team"]),
        ("who leads the tug team's boats", ["Tug Team"]),
        ("Is the tug-team out?", ["Tug Team"]),
        ("The TUG TEAM’S boat?", ["Tug Team"]),
        ("What does the Night Tug Team do?", ["Night Tug Team"]),
        ("Tug Team or Line Team?", ["Tug Team", "Line Team"]),
        ("Line Team or Tug Team or Line Team?", ["Line Team", "Tug Team"]),
        ("Where does Ada Lund serve?", ["Tug Team"]),
        ("Where is Soren Odegard?", ["Towage Unit"]),
        ("Where is Bo Ek?", ["Towage Unit", "Line Team"]),
        ("What is Ops?", ["Towage Unit", "Pilotage Unit"]),
        ("Who runs IT?", ["Pilotage Unit"]),
        ("What is it?", []),
        ("Who tugs the teams?", []),
        ("Are the Tug Teamsters here?", []),
        ("", []),
        ("???", []),
    ],
)
def test_names_in_questions(question: str, names: list[str]) -> None:
    assert found(question) == names


def test_tokens() -> None:
    assert tokens("The Café’s C++ O'Brien's R&D") == ["the", "cafe", "c++", "o'brien", "r", "d"]


def test_a_team_is_described_whole() -> None:
    [passage] = TREE.describe("Who leads the Tug Team?", 100)
    assert passage.text == (
        "The Tug Team is a team in the Towage Unit of the Marine Division of the Quay Authority. "
        "Its Team Lead is Ada Lund. "
        "The other teams of the Towage Unit are Night Tug Team and Line Team. "
        "The Chief of the Towage Unit is Søren Ødegård. The Deputy of the Towage Unit is Bo Ek."
    )
    assert (passage.source, passage.document, passage.title) == ("tree", "hierarchy", "Tug Team")
    assert passage.score is None


def test_a_unit_and_a_division_have_members_with_their_number() -> None:
    [unit] = TREE.describe("the Towage Unit", 100)
    assert "The Towage Unit, also called Ops, is a unit in the Marine Division" in unit.text
    assert "Its Chief is Søren Ødegård. Its Deputy is Bo Ek." in unit.text
    assert "It has 3 teams: Tug Team, Night Tug Team and Line Team." in unit.text
    assert "The other unit of the Marine Division is Pilotage Unit." in unit.text
    [division] = TREE.describe("the Marine Division", 100)
    assert "It has 2 units: Towage Unit and Pilotage Unit. It has 4 teams in all." in division.text


def test_the_root_and_shared_levels() -> None:
    [root] = TREE.describe("the Quay Authority", 100)
    assert root.text == (
        "The Quay Authority is the authority at the top. "
        "It has 2 divisions: Marine Division and Cargo Division. "
        "It has 2 units and 4 teams in all."
    )


def test_a_person_is_told_with_the_role() -> None:
    [unit, line] = sorted(TREE.describe("Bo Ek?", 200), key=lambda one: one.title == "Line Team")
    assert unit.text.startswith("Bo Ek is the Deputy of the Towage Unit. The Towage Unit")
    assert line.text.startswith("Bo Ek is the Team Lead of the Line Team. The Line Team")


def test_an_ambiguous_alias_says_so() -> None:
    texts = {one.title: one.text for one in TREE.describe("What does Ops do?", 200)}
    assert texts["Towage Unit"].startswith(
        '"Ops" can mean Towage Unit, described here, or Pilotage Unit. The Towage Unit'
    )
    assert texts["Pilotage Unit"].startswith('"Ops" can mean Pilotage Unit, described here, or Tow')
    assert "can mean" not in TREE.describe("Towage Unit", 200)[0].text


def test_the_most_specific_comes_first_and_words_are_shared() -> None:
    question = "Is the Tug Team in the Marine Division or the Quay Authority?"
    for budget in (1, 8, 9, 20, 40, 60, 90, 200):
        passages = TREE.describe(question, budget)
        titles = [one.title for one in passages]
        by_depth = ["Tug Team", "Marine Division", "Quay Authority"]
        assert titles == [title for title in by_depth if title in titles]
        assert sum(len(one.text.split()) for one in passages) <= budget
    assert len(TREE.describe(question, 60)) == 3


def test_what_only_frames_another_takes_no_words_from_it() -> None:
    [team_text, root] = TREE.describe("Who leads the Tug Team of the Quay Authority?", 38 + 9)
    assert team_text.text == TREE.describe("the Tug Team", 38)[0].text
    assert root.text == "The Quay Authority is the authority at the top."


def test_who_leads_what_is_above_is_told_last_and_once() -> None:
    top = Entity(
        name="Port", level="Port", roles=(Role(role="Head", person="Eva Dahl"),), children=(TOWAGE,)
    )
    tree = EntityTree(top)
    [night, line] = tree.describe("Who leads the unit of the Night Tug Team and the Line Team?", 99)
    assert night.text.endswith("The Deputy of the Towage Unit is Bo Ek.")
    assert "Chief" not in line.text  # it stands above
    [team_text, unit] = tree.describe("Is the Tug Team in the Towage Unit?", 99)
    assert "Chief" not in team_text.text  # it stands with the unit
    assert unit.text.endswith("The Head of Port is Eva Dahl.")  # the top, being the parent
    assert "Eva Dahl" not in night.text


def test_what_does_not_fit_is_told_shorter() -> None:
    [tight] = TREE.describe("the Tug Team", 10)
    assert tight.text == "The Tug Team is a team in the Towage Unit."
    [unit] = TREE.describe("the Towage Unit", 31)
    assert "It has 3 teams." in unit.text
    assert TREE.describe("the Tug Team", 5) == []


def test_nothing_named_gives_nothing() -> None:
    assert TREE.describe("When does the fuel dock open?", 90) == []
    with pytest.raises(InputError, match="max_words is 0"):
        TREE.describe("the Tug Team", 0)


def test_levels_that_the_name_does_not_say() -> None:
    tree = EntityTree(
        Entity(
            name="Goods",
            children=(
                Entity(name="Fruit", level="SIG", children=(Entity(name="Pear"),)),
                Entity(name="Unit 4", level="Unit", children=(Entity(name="The Shed"),)),
            ),
        )
    )
    texts = {one.title: one.text for one in tree.describe("pear fruit goods, the shed", 400)}
    assert texts["Goods"] == (
        "Goods stands at the top. It has 1 SIG: Fruit. It has 1 unit: Unit 4. "
        "It has 2 parts in all."
    )
    assert texts["Pear"] == "Pear belongs to the SIG Fruit of Goods."
    assert texts["Fruit"].startswith("Fruit is a SIG in Goods. It has 1 part: Pear.")
    assert texts["The Shed"] == "The Shed belongs to Unit 4 of Goods."


def test_several_people_in_a_role_and_plurals() -> None:
    roles = tuple(Role(role="Co-chair", person=name) for name in ("Ada", "Bo", "Cy"))
    [passage] = EntityTree(Entity(name="Board", roles=roles)).describe("board", 50)
    assert "Its Co-chairs are Ada, Bo and Cy." in passage.text
    words = ("agency", "branch", "day", "Head of Unit")
    assert [plural(word) for word in words] == ["agencies", "branches", "days", "Heads of Unit"]


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    TREE.save(tmp_path / "tree.json")
    loaded = EntityTree.load(tmp_path / "tree.json")
    assert loaded.hierarchy == TREE.hierarchy
    question = "Where does Ada Lund serve?"
    assert loaded.describe(question, 90) == TREE.describe(question, 90)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1, "hierarchy": {"nam": "x"}}'])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tree.json").write_text(text)
    with pytest.raises(StorageError, match=r"tree\.json: not a saved entity tree"):
        EntityTree.load(tmp_path / "tree.json")
    with pytest.raises(StorageError, match="there is no such file"):
        EntityTree.load(tmp_path / "gone.json")


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text('{"format": 2}')
    with pytest.raises(StorageError, match="format 2, not 1"):
        EntityTree.load(tmp_path / "tree.json")


def test_the_time_of_a_question_does_not_grow_with_the_tree() -> None:
    def seconds(names: int) -> float:
        units = tuple(
            Entity(name=f"Unit {u}", children=tuple(team(f"Crew {u} {t} Team") for t in range(50)))
            for u in range(names // 50)
        )
        tree = EntityTree(Entity(name="Root", children=units))
        question = "Who leads Crew 3 7 Team's night shift, and how many teams are in Unit 5?"
        assert len(tree.find(question)) == 2
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(200):
                tree.find(question)
            best = min(best, time.perf_counter() - start)
        return best

    # A scan of all names would take fifty times as long on the larger tree.
    assert seconds(20_000) < 5 * seconds(400)
