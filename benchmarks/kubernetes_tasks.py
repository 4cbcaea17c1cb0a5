"""The organisation of the Kubernetes community as a task folder: a real tree with exact answers.

    python benchmarks/kubernetes_tasks.py FOLDER --kubernetes PATH

PATH is a copy of https://github.com/kubernetes/community (Apache-2.0) with `sigs.yaml` and the
folder of each group. The documents are the groups' README and charter, the tree is the groups and
their subprojects with chairs and technical leads, and the questions follow from `sigs.yaml` by the
templates below. Each group, with all its subprojects, is in one split; which one, and which of the
wordings a question has, is decided by a hash of its text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SPLITS = ("test", "train", "test", "train", "test", "validation")
"""The splits of groups in turn, in the order of the hashes of their names."""
PER_GROUP = 8
"""Subprojects asked about in each group, or two groups would be half of the test."""
LISTED = 7
"""The longest list that is asked for."""
REFUSAL = "The documents do not say."
ROLES = {
    "SIG": {"chairs": "Chair", "tech_leads": "Technical Lead"},
    "working group": {"chairs": "Organizer"},
    "committee": {"chairs": "Member"},
}
"""What the README of each kind of group calls its leaders."""

WORDINGS = {
    "chair_of": ("Who are the {roles} of {group}?", "Name the {roles} of {group}."),
    "leads_count": (
        "How many {roles} does {group} have?",
        "What is the number of {roles} of {group}?",
    ),
    "person": ("Which {level} has {person} as a {role}?", "{person} is a {role} of which {level}?"),
    "member_of": (
        "Which {level} owns the subproject {project}?",
        "To which {level} does the subproject {project} belong?",
        "Who owns {project}: which {level}?",
    ),
    "count": (
        "How many subprojects does {group} own?",
        "What is the number of subprojects of {group}?",
    ),
    "list": ("Which subprojects does {group} own?", "Name the subprojects of {group}."),
    "sibling": (
        "Name one other subproject of the {level} that owns {project}.",
        "Which other subproject belongs to the same {level} as {project}?",
    ),
    "two_hop": (
        "Who are the {roles} of the {level} that owns {project}?",
        "Name the {roles} of the {level} to which {project} belongs.",
    ),
    "fact": (
        "On which day of the week is the regular meeting of {group}?",
        "When in the week does {group} hold its regular meeting?",
    ),
    "stakeholder": (
        "Which SIGs are stakeholders of {group}?",
        "Name the stakeholder SIGs of {group}.",
    ),
}
MADE_UP = (
    "Who are the chairs of SIG {one}?",
    "How many subprojects does SIG {one} own?",
    "Which SIG owns the subproject {lower}-{two}?",
    "Who are the chairs of the SIG that owns {lower}-{two}?",
)
NOWHERE = """
Payments Robotics Gaming Billing Satellite Printing Voting Weather Translation Mobile Payroll
Heating Cooking Parking Tourism
"""
NOTHING = "teapot lantern walrus pretzel umbrella"
"""What no group and no subproject is named after."""
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"


@dataclass(frozen=True)
class Group:
    """A SIG, working group or committee as `sigs.yaml` has it."""

    folder: str
    name: str
    also: str
    level: str
    leaders: dict[str, list[str]]
    projects: tuple[str, ...]
    meetings: tuple[dict[str, Any], ...]
    stakeholders: tuple[str, ...]


def hashed(text: str) -> str:
    """What texts are ordered by: as good as chance, and the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_groups(path: Path) -> list[Group]:
    """The groups of a `sigs.yaml`."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups: list[Group] = []
    for key, level, name, also in (
        ("sigs", "SIG", "SIG {}", "{} Special Interest Group"),
        ("workinggroups", "working group", "WG {}", "{} Working Group"),
        ("committees", "committee", "{} Committee", ""),
    ):
        for row in content[key]:
            leaders = {
                role: [person["name"] for person in row["leadership"].get(found, ())]
                for found, role in ROLES[level].items()
            }
            groups.append(
                Group(
                    folder=row["dir"],
                    name=name.format(row["name"]),
                    also=also.format(row["name"]),
                    level=level,
                    leaders={role: people for role, people in leaders.items() if people},
                    projects=tuple(one["name"] for one in row.get("subprojects") or ()),
                    meetings=tuple(row.get("meetings") or ()),
                    stakeholders=tuple(f"SIG {one}" for one in row.get("stakeholder_sigs") or ()),
                )
            )
    return groups


def words(name: str) -> str:
    """A name as the tree compares it: sig-auth is SIG Auth."""
    return " ".join(re.findall(r"\w+", name.casefold()))


def hierarchy(groups: Sequence[Group]) -> dict[str, Any]:
    """The tree for hierarchy.yaml; subprojects of one name are told apart by their groups."""
    shared = Counter(project.casefold() for group in groups for project in group.projects)

    def subproject(name: str, group: Group) -> dict[str, Any]:
        if shared[name.casefold()] == 1:
            return {"name": name, "level": "subproject"}
        return {"name": f"{name} ({group.name})", "level": "subproject", "aliases": [name]}

    return {
        "name": "Kubernetes community",
        "level": "community",
        "children": [
            {
                "name": group.name,
                "level": group.level,
                "aliases": [group.also] if group.also else [],
                "roles": [
                    {"role": role, "person": person}
                    for role, people in group.leaders.items()
                    for person in people
                ],
                "children": [subproject(name, group) for name in group.projects],
            }
            for group in groups
        ],
    }


def rows_of(group: Group, groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """The questions about one group and its subprojects."""
    readme = [f"{group.folder}/README"]
    people = Counter(p for one in groups for found in one.leaders.values() for p in found)
    names = Counter(words(one) for other in groups for one in (other.name, *other.projects))
    called = [group.name, *([group.also] if group.also else [])]
    told = {"group": group.name, "level": group.level}

    def row(kind: str, answers: Sequence[str], **more: str) -> dict[str, Any]:
        texts = [text.format(**told, **more) for text in WORDINGS[kind]]
        return {
            "question": min(texts, key=hashed),
            "answers": [*answers],
            "kind": kind,
            "evidence": readme,
        }

    for role, found in group.leaders.items():
        if len(found) <= LISTED:
            yield row("chair_of", listings(found), roles=f"{role.lower()}s")
        yield row("leads_count", numbers(len(found)), roles=f"{role.lower()}s")
        for person in found:
            if people[person] == 1:
                yield row("person", called, role=role.lower(), person=person)
    if group.projects:
        yield row("count", numbers(len(group.projects)))
        if len(group.projects) <= LISTED:
            yield row("list", listings(group.projects))
    for name in sorted(group.projects, key=hashed)[:PER_GROUP]:
        if names[words(name)] > 1:
            continue  # sig-testing is a subproject of SIG Testing, and website one of two
        yield row("member_of", called, project=name)
        others = [one for one in group.projects if one != name]
        if others:
            yield row("sibling", others, project=name)
        role, found = next(iter(group.leaders.items()))
        if len(found) <= LISTED:
            yield row("two_hop", listings(found), roles=f"{role.lower()}s", project=name)
    regular = [one for one in group.meetings if one["description"].startswith("Regular ")]
    if len(regular) == 1 and re.fullmatch(r"\w+day", regular[0]["day"]):
        yield row("fact", [regular[0]["day"], f"{regular[0]['day']}s"])
    if group.stakeholders:
        yield row("stakeholder", listings(group.stakeholders))


def made_up(known: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Questions about groups and subprojects that there are not."""
    nothing = NOTHING.split()
    real = {word for name in known for word in words(name).split()}
    for at, one in enumerate(NOWHERE.split()):
        for other, text in enumerate(MADE_UP):
            two = nothing[(at + other) % len(nothing)]
            if not {one.lower(), two} & real:
                question = text.format(one=one, lower=one.lower(), two=two)
                yield {
                    "question": question,
                    "answers": [REFUSAL],
                    "kind": "unanswerable",
                    "of": one,
                }


def listings(names: Sequence[str]) -> list[str]:
    """A list as one answer: as the tree tells it, and with commas alone."""
    if len(names) == 1:
        return [*names]
    return [f"{', '.join(names[:-1])} and {names[-1]}", ", ".join(names)]


def numbers(count: int) -> list[str]:
    """A number in digits and, where it is small, in words."""
    return [str(count), *NUMBERS.split()[count : count + 1]]


def splits(groups: Sequence[Group]) -> dict[str, list[dict[str, Any]]]:
    """All questions by split, in the order of their hashes."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(set(SPLITS))}
    for level in ROLES:
        alike = sorted((one for one in groups if one.level == level), key=lambda g: hashed(g.name))
        for at, group in enumerate(alike):
            found[SPLITS[at % len(SPLITS)]] += rows_of(group, groups)
    known = [name for group in groups for name in (group.name, *group.projects)]
    names = sorted(NOWHERE.split(), key=hashed)
    for row in made_up(known):
        found[SPLITS[names.index(row.pop("of")) % len(SPLITS)]].append(row)
    return {
        name: sorted(rows, key=lambda row: hashed(row["question"])) for name, rows in found.items()
    }


def write(folder: Path, source: Path) -> dict[str, int]:
    """Write the task folder; how many questions each split has."""
    groups = read_groups(source / "sigs.yaml")
    for group in groups:
        for page in ("README.md", "charter.md"):
            if (source / group.folder / page).is_file():
                copy = folder / "documents" / group.folder / page
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = (source / group.folder / page).read_text(encoding="utf-8")
                copy.write_text(text, encoding="utf-8")
    counts: dict[str, int] = {}
    for split, rows in splits(groups).items():
        counts[split] = len(rows)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    tree = yaml.safe_dump(hierarchy(groups), sort_keys=False, allow_unicode=True, width=1000)
    (folder / "hierarchy.yaml").write_text(tree, encoding="utf-8")
    (folder / "task.yaml").write_text(
        "name: kubernetes-community\nlicense: Apache-2.0\n"
        "train: train.jsonl\nvalidation: validation.jsonl\ntest: test.jsonl\n"
        "documents: documents\nhierarchy: hierarchy.yaml\n"
        f"metrics: [token_f1, exact_match, contained]\nrefusal: {REFUSAL}\n",
        encoding="utf-8",
    )
    return counts


def main() -> None:
    """Write the task and say how large it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the task folder to write")
    parser.add_argument("--kubernetes", type=Path, required=True, metavar="PATH")
    given = parser.parse_args()
    for split, count in write(given.folder, given.kubernetes).items():
        print(f"{split}: {count} questions")  # noqa: T201


if __name__ == "__main__":
    main()
