"""The built-in task `harbour`: its gold answers follow from its facts, its splits are clean."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

TASK = Path(__file__).resolve().parents[2] / "recipes" / "data" / "harbour"
KINDS = ("fact", "hierarchy", "two_hop", "behaviour", "unanswerable")
LABELS = ("berth", "pilotage", "cargo", "billing", "safety", "environment")
SPLITS = ("train", "validation", "test")
LATER = ("revision/train", "revision/validation", "revision/test")
ALL = (*SPLITS, *LATER)
COUNTED = (
    "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
)

Row = dict[str, Any]


@dataclass
class Node:
    """One entity, read from a hierarchy file by this test alone."""

    name: str
    level: str
    head: str
    aliases: list[str]
    parent: Node | None
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def chain(self) -> list[Node]:
        return [*(self.parent.chain() if self.parent else []), self]

    def above(self, level: str) -> Node:
        return next(node for node in self.chain() if node.level == level)


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def norm(text: str) -> str:
    return " ".join(text.casefold().split())


def joined(nodes: list[Node]) -> str:
    names = [node.name for node in nodes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def read_node(data: dict[str, Any], parent: Node | None = None) -> Node:
    head = data["roles"][0]["person"]
    node = Node(data["name"], data["level"], head, data.get("aliases", []), parent)
    node.children = [read_node(child, node) for child in data.get("children", [])]
    return node


@cache
def read_yaml(name: str) -> Any:
    return yaml.safe_load((TASK / name).read_text(encoding="utf-8"))


@cache
def rows(split: str) -> list[Row]:
    text = (TASK / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def tree(split: str) -> Node:
    revised = split.startswith("revision")
    return read_node(read_yaml("revision/hierarchy.yaml" if revised else "hierarchy.yaml"))


@cache
def nodes(split: str) -> dict[str, Node]:
    return {slug(node.name): node for node in tree(split).walk()}


@cache
def pages(folder: str = "documents") -> dict[str, str]:
    root = TASK / folder
    return {
        path.relative_to(root).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*.md"))
    }


def pages_of(split: str) -> dict[str, str]:
    changed = pages("revision/documents") if split.startswith("revision") else {}
    return pages() | changed


@cache
def facts(split: str) -> dict[str, list[str]]:
    """The accepted answers of every fact, from the source."""
    found: dict[str, list[str]] = {}
    for topic, entries in read_yaml("source/facts.yaml").items():
        for name, value in entries.items():
            found[f"{topic}.{name}"] = value if isinstance(value, list) else [str(value)]
    if split.startswith("revision"):
        for fact, value in read_yaml("source/revision.yaml")["facts"].items():
            found[fact] = value if isinstance(value, list) else [str(value)]
    for name, node in nodes(split).items():
        found[f"head.{name}"] = [node.head]
    return {fact: [str(value) for value in values] for fact, values in found.items()}


def of_kind(split: str, kind: str) -> list[Row]:
    return [row for row in rows(split) if row["kind"] == kind]


def groups(split: str, tag: str | None = None) -> set[str]:
    return {row["group"] for row in rows(split) if tag is None or tag in row["tags"]}


def table_row(page: str, first: str) -> str:
    """The line of a page's table that begins with a name."""
    return next(line for line in page.splitlines() if line.startswith(f"| {first} |"))


# --- form ---------------------------------------------------------------------------------------


def test_the_task_file_names_what_stands_on_disk() -> None:
    task = read_yaml("task.yaml")
    assert task["name"] == "harbour"
    for key in ("train", "validation", "test", "documents", "hierarchy", "revision"):
        assert (TASK / task[key]).exists(), key
    assert task["refusal"] == "The handbook does not say."


@pytest.mark.parametrize("split", ALL)
def test_rows_have_the_agreed_keys(split: str) -> None:
    for row in rows(split):
        assert list(row) == ["id", "question", "answers", "kind", "tags", "evidence", "group"]
        assert row["kind"] in KINDS
        assert row["answers"]
        assert all(isinstance(answer, str) and answer.strip() for answer in row["answers"])
        assert len(set(row["answers"])) == len(row["answers"])
        assert row["tags"]
        assert row["group"]
        assert not re.search(r"[{}]|\[\[", row["question"] + "".join(row["answers"]))


def test_ids_are_unique_over_all_splits() -> None:
    counts = Counter(row["id"] for split in ALL for row in rows(split))
    assert max(counts.values()) == 1


def test_counts() -> None:
    assert len(rows("train")) >= 320
    assert len(rows("validation")) >= 60
    assert Counter(row["kind"] for row in rows("test")) == {
        "fact": 100,
        "hierarchy": 40,
        "two_hop": 20,
        "behaviour": 20,
        "unanswerable": 20,
    }
    for split in ("train", "validation"):
        assert {row["kind"] for row in rows(split)} == set(KINDS)
    tags = Counter(tag for row in of_kind("test", "fact") for tag in row["tags"])
    assert tags == {"covered": 50, "documents_only": 50}
    tags = Counter(row["tags"][0] for row in of_kind("test", "hierarchy"))
    assert tags == dict.fromkeys(("ancestor", "members", "siblings", "path", "count"), 8)
    tags = Counter(row["tags"][0] for row in of_kind("test", "behaviour"))
    assert tags == {"reply_form": 10, "classification": 10}
    assert len(rows("revision/train")) >= 30
    assert len(rows("revision/test")) >= 30


# --- splits -------------------------------------------------------------------------------------


def test_no_question_stands_twice() -> None:
    for split in ALL:
        counts = Counter(norm(row["question"]) for row in rows(split))
        assert [question for question, count in counts.items() if count > 1] == []
    seen = {norm(row["question"]) for split in ("train", "validation") for row in rows(split)}
    assert [row["id"] for row in rows("test") if norm(row["question"]) in seen] == []
    train = {norm(row["question"]) for row in rows("train")}
    assert [row["id"] for row in rows("validation") if norm(row["question"]) in train] == []
    train = {norm(row["question"]) for row in rows("revision/train")}
    assert [row["id"] for row in rows("revision/test") if norm(row["question"]) in train] == []


def test_covered_groups_are_in_train_and_only_they() -> None:
    train = groups("train")
    for split in ("validation", "test"):
        assert groups(split, "covered") <= train
        for row in rows(split):
            if row["kind"] != "behaviour" and row["group"] in train:
                assert "covered" in row["tags"], row["id"]
    trained = groups("revision/train")
    for row in rows("revision/test"):
        assert ("covered" in row["tags"]) == (row["group"] in trained), row["id"]


def test_facts_of_the_documents_only_are_nowhere_else() -> None:
    assert not groups("test", "documents_only") & (groups("train") | groups("validation"))
    assert not groups("validation", "documents_only") & groups("train")
    assert not groups("revision/test", "documents_only") & (
        groups("revision/train") | groups("train") | groups("validation")
    )


def test_answers_of_the_documents_only_cannot_be_learned_from_train() -> None:
    learned = {norm(answer) for row in rows("train") for answer in row["answers"]}
    shown = [norm(row["question"] + " " + " ".join(row["answers"])) for row in rows("train")]
    for split in ("validation", "test"):
        for row in rows(split):
            if "documents_only" in row["tags"]:
                assert not learned & {norm(answer) for answer in row["answers"]}, row["id"]
                gold = re.compile(rf"(?<![\w.]){re.escape(norm(row['answers'][0]))}(?!\w)")
                hits = [text for text in shown if gold.search(text)]
                assert hits == [] or len(row["answers"][0]) < 7, row["id"]


# --- gold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ALL)
def test_facts_are_those_of_the_source_and_stand_on_their_pages(split: str) -> None:
    documents = pages_of(split)
    for row in of_kind(split, "fact"):
        assert row["answers"] == facts(split)[row["group"]], row["id"]
        assert row["evidence"], row["id"]
        for page in row["evidence"]:
            assert norm(row["answers"][0]) in norm(documents[page]), row["id"]


@pytest.mark.parametrize("split", ALL)
def test_hierarchy_answers_follow_from_the_tree(split: str) -> None:
    def members(node: Node) -> list[str]:
        return [joined(node.children)]

    def siblings(node: Node) -> list[str]:
        assert node.parent is not None
        return [joined([child for child in node.parent.children if child is not node])]

    def path(node: Node) -> list[str]:
        return [" > ".join(step.name for step in node.chain())]

    simple: dict[str, Callable[[Node], list[str]]] = {
        "members": members,
        "siblings": siblings,
        "path": path,
    }
    for row in of_kind(split, "hierarchy"):
        kind, *sort, name = row["group"].split(":")
        node = nodes(split)[name]
        assert node.name in row["question"], row["id"]
        if kind in simple:
            expected = simple[kind](node)
        elif kind == "ancestor":
            expected = [node.above(sort[0]).name]
            assert sort[0] in row["question"]
        else:
            assert kind == "count"
            level = "unit" if sort[0] == "units" else "team"
            number = sum(1 for step in node.walk() if step.level == level)
            expected = [COUNTED.split()[number], str(number)]
        assert row["answers"] == expected, row["id"]
        text = norm(" ".join(pages_of(split)[page] for page in row["evidence"]))
        for part in re.split(r" > | and (?=[A-Z])|, ", expected[0]):
            assert norm(part) in text, (row["id"], part)


@pytest.mark.parametrize("split", [*SPLITS, "revision/validation"])
def test_two_hop_answers_follow_from_the_tree_and_the_tables(split: str) -> None:
    for row in of_kind(split, "two_hop"):
        _, sort, name = row["group"].split(":")
        node = nodes(split)[name]
        unit, division = node.above("unit"), node.above("division")
        asked = node.head if sort.endswith("_head") and node.level == "unit" else node.name
        assert asked in row["question"], row["id"]
        gold = row["answers"][0]
        texts = [pages_of(split)[page] for page in row["evidence"]]
        if sort in ("division_head", "director_over_head"):
            assert gold == division.head
        elif sort == "unit_head":
            assert gold == unit.head
        else:
            column = {"extension_of_head": 2, "office_of_team": 3, "channel_of_head": 2}[sort]
            lists = [
                pages_of(split)[page] for page in row["evidence"] if page.startswith("reference/")
            ]
            assert len(lists) == 1, row["id"]
            assert table_row(lists[0], unit.name).split("|")[column].strip() == gold
        assert any(gold in text for text in texts), row["id"]
        assert any(asked in text for text in texts), row["id"]


@pytest.mark.parametrize("split", SPLITS)
def test_behaviour_golds_follow_their_form(split: str) -> None:
    months = "January February March April May June July August September October November December"
    form = re.compile(
        rf"Noted: ({'|'.join(LABELS)}) request, (.+), (\d\d? (?:{'|'.join(months.split())}))\."
    )
    used: Counter[str] = Counter()
    for row in of_kind(split, "behaviour"):
        assert row["evidence"] == []
        request = re.search(r": '(.+)'$", row["question"])
        assert request is not None, row["id"]
        gold = row["answers"][0]
        if "reply_form" in row["tags"]:
            match = form.fullmatch(gold)
            assert match is not None, gold
            assert match[2] in request[1]
            assert re.search(rf"\b{match[3]}\b", request[1]), row["id"]
            used[match[1]] += 1
        else:
            assert gold in LABELS
            assert re.findall(r"\w+", request[1].casefold()).count(gold) == 0, row["id"]
            assert not any(label in request[1].casefold() for label in LABELS), row["id"]
            used[gold] += 1
    assert set(used) == set(LABELS)
    assert max(used.values()) - min(used.values()) <= 2


def test_requests_are_not_shared_between_splits() -> None:
    seen: Counter[str] = Counter()
    for split in SPLITS:
        for row in of_kind(split, "behaviour"):
            seen[row["question"].split(": '", 1)[1]] += 1
    assert max(seen.values()) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_unanswerable_golds_are_the_refusal(split: str) -> None:
    for row in of_kind(split, "unanswerable"):
        assert row["answers"] == [read_yaml("task.yaml")["refusal"]]
        assert row["evidence"] == []


# --- tree ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "revision/train"])
def test_the_tree_has_four_levels_and_unambiguous_names(split: str) -> None:
    everyone = list(tree(split).walk())
    assert len(everyone) >= 84
    assert [node.level for node in everyone[0].chain()] == ["authority"]
    levels = ["authority", "division", "unit", "team"]
    assert all([step.level for step in n.chain()] == levels[: len(n.chain())] for n in everyone)
    names = Counter(norm(name) for node in everyone for name in [node.name, *node.aliases])
    assert max(names.values()) == 1
    assert all(" " in name or name == "bhpa" for name in names)
    assert all(len(node.children) >= 2 for node in everyone if node.level != "team")


def test_people_are_unique() -> None:
    def people(data: dict[str, Any]) -> Iterator[str]:
        yield from (role["person"] for role in data["roles"])
        for child in data.get("children", []):
            yield from people(child)

    counts = Counter(people(read_yaml("hierarchy.yaml")))
    assert max(counts.values()) == 1


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["documents", "revision/documents"])
def test_pages_are_whole(folder: str) -> None:
    for name, text in pages(folder).items():
        assert text.startswith("# "), name
        assert len(re.findall(r"^# ", text, flags=re.M)) == 1, name
        sections = re.split(r"^## ", text, flags=re.M)[1:]
        assert 2 <= len(sections) <= 5, name
        assert 150 <= len(text.split()) <= 450, name
        for section in sections:
            assert 45 <= len(re.sub(r"[|-]", " ", section).split()) <= 170, (name, section[:40])
        assert not re.search(r"\{\{|\}\}|\[\[|\]\]|TODO", text), name
        assert text.endswith("\n")
        assert "\r" not in text


@pytest.mark.parametrize("folder", ["documents", "revision/documents"])
def test_cross_references_resolve(folder: str) -> None:
    linked = 0
    for name, text in pages(folder).items():
        for title, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", text):
            path = ((TASK / "documents" / name).parent / target).resolve()
            assert path.is_file(), (name, target)
            assert path.read_text(encoding="utf-8").startswith(f"# {title}\n"), (name, target)
            linked += 1
    assert linked >= len(pages(folder))


def test_every_entity_stands_on_a_page() -> None:
    text = "\n".join(pages().values())
    assert len(pages()) >= 60
    for node in tree("train").walk():
        assert node.name in text
        assert node.head in text


# --- build and revision -------------------------------------------------------------------------


def load_build() -> Any:
    spec = importlib.util.spec_from_file_location("harbour_build", TASK / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rebuilding_gives_the_same_bytes(tmp_path: Path) -> None:
    build = load_build()
    assert build.main(["--out", str(tmp_path)]) == 0
    assert build.main(["--check", "--out", str(tmp_path)]) == 0
    built = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert built
    for name in built:
        assert (tmp_path / name).read_bytes() == (TASK / name).read_bytes(), name
    assert build.main(["--check"]) == 0
    (tmp_path / "documents" / "about" / "authority.md").write_text("stale", encoding="utf-8")
    assert build.main(["--check", "--out", str(tmp_path)]) == 1


def test_the_revision_changes_pages_and_answers() -> None:
    changed = pages("revision/documents")
    assert len(changed) >= 12
    for name, text in changed.items():
        assert text != pages()[name], name
    for split in ("revision/train", "revision/test"):
        for row in rows(split):
            assert "changed" in row["tags"]
            assert set(row["evidence"]) & set(changed), row["id"]
            if row["kind"] == "fact":
                assert row["answers"][0] not in facts("train")[row["group"]], row["id"]
    asked = groups("revision/train") | groups("revision/test")
    assert set(read_yaml("source/revision.yaml")["facts"]) <= asked


def test_a_later_answer_differs_where_the_question_is_the_same() -> None:
    before = {norm(row["question"]): row["answers"] for split in SPLITS for row in rows(split)}
    for split in ("revision/train", "revision/test"):
        for row in rows(split):
            assert before.get(norm(row["question"])) != row["answers"], row["id"]


def test_values_stand_in_the_source_only() -> None:
    """A template holds a mark where a value belongs: every fact is used by some page."""
    text = "\n".join(pages().values())
    templates = TASK / "source" / "pages"
    marks = "\n".join(p.read_text(encoding="utf-8") for p in sorted(templates.rglob("*.md")))
    for fact, values in facts("train").items():
        if not fact.startswith("head."):
            assert f"{{{{{fact}}}}}" in marks, fact
            assert values[0] in text, fact
