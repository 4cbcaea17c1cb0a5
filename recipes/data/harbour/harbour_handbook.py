"""The handbook of Brannock Haven Port Authority: its tree, its facts and its rendered pages.

Values stand once in ``source/facts.yaml`` and ``source/organisation.yaml``; the templates in
``source/pages`` name them. A template knows these marks:

* ``{{topic.name}}``: the value of a fact;
* ``{{parent:X}}``, ``{{head:X}}``, ``{{person:Role}}``: from the tree;
* ``{{count_units:X}}``, ``{{count_teams:X}}``: children of X, and all teams under X, in words;
* ``{{divisions}}``, ``{{units:X}}``, ``{{teams:X}}``, ``{{directory:X}}``, ``{{channels}}``:
  tables;
* ``[[folder/page]]``: a link to another page, under that page's title.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ONE_TO_TEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen")
WORDS = ("none", *ONE_TO_TEN, *TEENS, "eighteen", "nineteen", "twenty")
MARK = re.compile(r"\{\{([^{}]+)\}\}")
LINK = re.compile(r"\[\[([^\[\]]+)\]\]")


def slug(name: str) -> str:
    """Return a name as a lower-case identifier with hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def number_word(number: int) -> str:
    """Return a number in words where the handbook does so (up to twenty), else in digits."""
    return WORDS[number] if 0 <= number < len(WORDS) else str(number)


def load_yaml(path: Path) -> Any:
    """Read one YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@dataclass
class Entity:
    """One node of the organisation tree."""

    name: str
    level: str
    aliases: list[str]
    roles: list[dict[str, str]]
    task: str
    contact: dict[str, str]
    parent: Entity | None = None
    children: list[Entity] = field(default_factory=list)

    def walk(self) -> Iterator[Entity]:
        """Yield this entity and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def ancestors(self) -> list[Entity]:
        """Return the chain from the root down to this entity, itself included."""
        chain: list[Entity] = []
        node: Entity | None = self
        while node is not None:
            chain.append(node)
            node = node.parent
        return chain[::-1]

    def above(self, level: str) -> Entity:
        """Return the entity of the given level on the way up (or itself)."""
        return next(node for node in self.ancestors() if node.level == level)

    def count(self, level: str) -> int:
        """Count the entities of a level under (and including) this one."""
        return sum(1 for node in self.walk() if node.level == level)

    @property
    def head(self) -> str:
        """The person in the first role."""
        return self.roles[0]["person"]

    @property
    def page(self) -> str:
        """The id of the document on which this entity is described (a team: its unit's page)."""
        if self.level == "authority":
            return "about/authority"
        if self.level == "division":
            return "divisions/" + slug(self.name.removesuffix(" Division"))
        return "units/" + slug(self.above("unit").name.removesuffix(" Unit"))

    def as_dict(self) -> dict[str, Any]:
        """Return the entity as it stands in ``hierarchy.yaml``."""
        row: dict[str, Any] = {"name": self.name, "level": self.level, "aliases": self.aliases}
        row["roles"] = self.roles
        if self.children:
            row["children"] = [child.as_dict() for child in self.children]
        return row


def read_entity(data: dict[str, Any], parent: Entity | None = None) -> Entity:
    """Build the tree below one entry of ``organisation.yaml``."""
    entity = Entity(
        name=data["name"],
        level=data["level"],
        aliases=list(data.get("aliases", [])),
        roles=[dict(role) for role in data["roles"]],
        task=data["task"],
        contact=dict(data.get("contact", {})),
        parent=parent,
    )
    entity.children = [read_entity(child, entity) for child in data.get("children", [])]
    return entity


class Handbook:
    """The facts, the tree and the pages of one version of the handbook."""

    def __init__(self, source: Path, revised: bool = False) -> None:
        """Read the source; with ``revised``, apply ``revision.yaml`` to it."""
        self.facts: dict[str, list[str]] = {}
        for topic, entries in load_yaml(source / "facts.yaml").items():
            for name, value in entries.items():
                values = value if isinstance(value, list) else [value]
                self.facts[f"{topic}.{name}"] = [str(item) for item in values]
        self.root = read_entity(load_yaml(source / "organisation.yaml"))
        self.entities = {entity.name: entity for entity in self.root.walk()}
        if revised:
            self._revise(load_yaml(source / "revision.yaml"))
        folder = source / "pages"
        self.templates = {
            path.relative_to(folder).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(folder.rglob("*.md"))
        }
        self.titles = {
            page: text.split("\n", 1)[0].removeprefix("# ").strip()
            for page, text in self.templates.items()
        }
        self.used: dict[str, set[str]] = {}
        self.pages = {page: self._render(page) for page in self.templates}

    def _revise(self, revision: dict[str, Any]) -> None:
        """Put the revision's values, people and moves in place of the old ones."""
        for fact, value in revision["facts"].items():
            if fact not in self.facts:
                raise KeyError(f"revision of an unknown fact: {fact}")
            values = value if isinstance(value, list) else [value]
            self.facts[fact] = [str(item) for item in values]
        for name, person in revision["people"].items():
            self.entities[name].roles[0]["person"] = person
        for name, target in revision["moves"].items():
            entity = self.entities[name]
            if entity.parent is None:
                raise ValueError(f"the root cannot move: {name}")
            entity.parent.children.remove(entity)
            entity.parent = self.entities[target]
            entity.parent.children.append(entity)

    def of_level(self, level: str) -> list[Entity]:
        """Return the entities of one level, in the order of the tree."""
        return [entity for entity in self.root.walk() if entity.level == level]

    def answers(self, fact: str) -> list[str]:
        """Return the accepted answers to a fact (``head.<entity>`` is a person of the tree)."""
        if fact.startswith("head."):
            return [self._by_slug(fact.removeprefix("head.")).head]
        return self.facts[fact]

    def evidence(self, fact: str) -> list[str]:
        """Return the pages that state a fact; for a person, the home page of the entity."""
        if fact.startswith("head."):
            return [self._by_slug(fact.removeprefix("head.")).page]
        return sorted(self.used.get(fact, set()))

    def _by_slug(self, name: str) -> Entity:
        return next(entity for entity in self.root.walk() if slug(entity.name) == name)

    def _render(self, page: str) -> str:
        """Fill in the marks and links of one page."""
        text = MARK.sub(lambda match: self._mark(page, match.group(1)), self.templates[page])
        return LINK.sub(lambda match: self._link(page, match.group(1)), text).strip() + "\n"

    def _link(self, page: str, target: str) -> str:
        path = posixpath.relpath(target + ".md", posixpath.dirname(page))
        return f"[{self.titles[target]}]({path})"

    def _mark(self, page: str, mark: str) -> str:
        """Return the text for one mark and note that the page uses it."""
        name, _, argument = mark.partition(":")
        if not argument and name not in ("divisions", "channels"):
            self.used.setdefault(mark, set()).add(page)
            return self.facts[mark][0]
        if name == "person":
            return next(
                role["person"]
                for entity in self.root.walk()
                for role in entity.roles
                if role["role"] == argument
            )
        if name == "channels":
            rows = [e for e in self.of_level("unit") if "channel" in e.contact]
            self.used.setdefault("channel", set()).add(page)
            return table(
                ["Unit", "Channel"],
                [[e.name, f"Channel {e.contact['channel']}"] for e in rows],
            )
        entity = self.entities[argument] if argument else self.root
        if name == "parent" and entity.parent is not None:
            return entity.parent.name
        if name == "head":
            return entity.head
        if name == "count_units":
            return number_word(len(entity.children))
        if name == "count_teams":
            return number_word(entity.count("team"))
        return self._table(page, name, entity)

    def _table(self, page: str, name: str, entity: Entity) -> str:
        """Return one of the tables of the tree."""
        rows = entity.children
        if name == "teams":
            head = ["Team", "Leader", "Task"]
            return table(head, [[e.name, e.head, e.task] for e in rows])
        if name == "units":
            head = ["Unit", "Head", "Task"]
            heads = [f"{e.head}, {e.roles[0]['role']}" for e in rows]
            cells = [
                [self._link(page, e.page), h, e.task] for e, h in zip(rows, heads, strict=True)
            ]
            return table(head, cells)
        if name == "divisions":
            head = ["Division", "Director", "Task"]
            return table(head, [[self._link(page, e.page), e.head, e.task] for e in rows])
        if name == "directory":
            self.used.setdefault("directory." + slug(entity.name), set()).add(page)
            head = ["Unit", "Extension", "Office"]
            return table(
                head, [[e.name, e.contact["extension"], e.contact["office"]] for e in rows]
            )
        raise KeyError(f"{page}: unknown mark {name!r}")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
