"""Names with a slip of the pen, and names that very many entities share."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattune.errors import InputError
from wattune.rag.entity_names import EntityNames
from wattune.rag.entity_tree import EntityTree
from wattune.tasks.hierarchy import Entity, Role


def unit(name: str, *aliases: str, person: str = "") -> Entity:
    roles = (Role(role="Head", person=person),) if person else ()
    return Entity(name=name, level="unit", aliases=aliases, roles=roles)


PORT = Entity(
    name="Quay Authority",
    children=(
        unit("Towage Unit", "Tug Service", person="Kerstin Aalto"),
        unit("Pilotage Unit"),
        unit("Mending Crew"),
        unit("Tending Crew"),
        unit("Pier 41 Office"),
        unit("kubeproxy"),
        unit("Cluster API", "cluster tools"),
    ),
)


def found(question: str, fuzzy: float | None = 0.85) -> list[tuple[str, str]]:
    return [(one.entity.name, one.written) for one in EntityNames(PORT, fuzzy).find(question)]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Who leads the Towege Unit?", [("Towage Unit", "towege unit")]),  # wrong
        ("Who leads the Towge Unit?", [("Towage Unit", "towge unit")]),  # missing
        ("Who leads the Towwage Unit?", [("Towage Unit", "towwage unit")]),  # added
        ("Who leads the Otwage Unit?", [("Towage Unit", "otwage unit")]),  # swapped, at the start
        ("Who leads the Towaeg Unit?", [("Towage Unit", "towaeg unit")]),  # and at the end
        ("Who leads the Tug Servise?", [("Towage Unit", "tug servise")]),
        ("Where does Kerstin Alto work?", [("Towage Unit", "kerstin alto")]),
        ("Is kube proxy there?", [("kubeproxy", "kube proxy")]),
        ("Is the clusterapi there?", [("Cluster API", "clusterapi")]),
        ("Is the Kending Crew in?", [("Mending Crew", "kending crew"),
                                     ("Tending Crew", "kending crew")]),
        ("The Towage Unit or the Pilotege Unit?", [("Towage Unit", ""),
                                                   ("Pilotage Unit", "pilotege unit")]),
        ("Where is the Towage Unit?", [("Towage Unit", "")]),
        ("Where is the Pier 42 Office?", []),  # another pier, not a slip
        ("Where is the Tuwege Unit?", []),  # two slips in one word
        ("What does the fishing fleet catch?", []),
        ("", []),
    ],
)  # fmt: skip
def test_names_with_a_slip(question: str, names: list[tuple[str, str]]) -> None:
    assert found(question) == names


def test_without_fuzzy_only_the_name_itself_counts() -> None:
    assert found("Who leads the Towege Unit?", None) == []


def test_the_cutoff_is_of_the_whole_name() -> None:
    question = "Who leads the Towege Unit?"  # one slip among 11 letters: 0.909
    assert found(question, 0.9) == [("Towage Unit", "towege unit")]
    assert found(question, 0.91) == []
    for cutoff in (0.0, 1.1):
        with pytest.raises(InputError, match="fuzzy is"):
            EntityNames(PORT, cutoff)


def test_a_near_name_says_so(tmp_path: Path) -> None:
    EntityTree(PORT).save(tmp_path / "tree.json")
    tree = EntityTree.load(tmp_path / "tree.json", fuzzy=0.85)
    [passage] = tree.describe("Who leads the Towege Unit?", 90)
    assert passage.text.startswith('"towege unit" is taken for Towage Unit. The Towage Unit, also')
    [passage] = tree.describe("Where does Kerstin Alto work?", 90)
    assert passage.text.startswith(
        '"kerstin alto" is taken for Kerstin Aalto. Kerstin Aalto is the Head of the Towage Unit.'
    )
    mending = tree.describe("the Kending Crew", 90)[0]
    assert mending.text.startswith(
        '"kending crew" is taken for Mending Crew. "kending crew" can mean Mending Crew, '
        "described here, or Tending Crew."
    )


def test_a_name_that_very_many_share_is_told_by_its_number() -> None:
    shared = tuple(
        Entity(name=f"Desk {n}", aliases=("the desk",), roles=(Role(role="Lead", person="vacant"),))
        for n in range(5_000)
    )
    tree = EntityTree(Entity(name="House", children=shared))
    passages = tree.describe("Who is at the desk?", 60)
    assert passages[0].text.startswith('"the desk" can mean any of 5000, of which Desk 0 is one.')
    assert sum(len(one.text.split()) for one in passages) <= 60
    assert len(tree.find("vacant")) == 20
    [root] = tree.describe("the house", 60)
    assert "It has 5000 parts." in root.text


def test_the_deepest_hierarchy_is_saved_and_read(tmp_path: Path) -> None:
    entity = Entity(name="n64")
    for depth in range(63, 0, -1):
        entity = Entity(name=f"n{depth}", level="level", children=(entity,))
    EntityTree(entity).save(tmp_path / "tree.json")
    assert EntityTree.load(tmp_path / "tree.json").hierarchy == entity
