"""Build the task `harbour` from its source: documents, hierarchy, questions and revision.

``python build.py`` writes everything into this folder (or ``--out``); ``python build.py --check``
writes nothing and exits 1 if a file on disk differs from what would be built. The output depends
on the source alone: no clock, no random choice, no order of a set.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from harbour_handbook import Entity, Handbook, load_yaml, number_word, slug  # noqa: E402

REFUSAL = "The handbook does not say."
TASK = f"""\
name: harbour
version: 1
description: Questions on the handbook of an invented port authority and its organisation.
language: en
license: Apache-2.0
train: train.jsonl
validation: validation.jsonl
test: test.jsonl
documents: documents
hierarchy: hierarchy.yaml
revision: revision
metrics: [token_f1, exact_match, contained]
refusal: {REFUSAL}
"""
OUTPUTS = ("documents", "revision")

Row = dict[str, Any]


def row(
    question: str, answers: list[str], kind: str, tags: list[str], evidence: list[str], group: str
) -> Row:
    """Return one example, still without its id."""
    return {
        "question": question,
        "answers": answers,
        "kind": kind,
        "tags": tags,
        "evidence": evidence,
        "group": group,
    }


def join(names: list[str]) -> str:
    """Join names as in a sentence: A, B and C."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def count_answers(number: int) -> list[str]:
    """Return the accepted answers to a question for a number: in words and in digits."""
    return list(dict.fromkeys([number_word(number), str(number)]))


class Questions:
    """Makes the rows of every split from the source and one version of the handbook."""

    def __init__(self, source: Path, book: Handbook) -> None:
        """Read the wordings."""
        self.book = book
        self.spec = load_yaml(source / "questions.yaml")
        self.behaviour = load_yaml(source / "behaviour.yaml")

    def fact(self, fact: str, question: str, *tags: str) -> Row:
        """Return a question for one fact."""
        book = self.book
        return row(question, book.answers(fact), "fact", list(tags), book.evidence(fact), fact)

    def facts(self, split: str) -> list[Row]:
        """Return the fact questions of a split."""
        sets = self.spec["facts"]
        rows: list[Row] = []
        if split == "train":
            for name in ("covered", "validation", "train_only"):
                for fact, wordings in sets[name].items():
                    asked = wordings if name == "train_only" else wordings[:-1]
                    rows += [self.fact(fact, wording, "covered") for wording in asked]
            return rows
        known = sets["covered" if split == "test" else "validation"]
        rows += [self.fact(fact, wordings[-1], "covered") for fact, wordings in known.items()]
        for fact, wordings in sets[f"documents_only_{split}"].items():
            rows += [self.fact(fact, wording, "documents_only") for wording in wordings]
        return rows

    def picks(self, name: str, split: str) -> list[Row]:
        """Return the hierarchy or two-hop questions of a split."""
        chosen = self.spec[name]
        trained = {tuple(pick[:3]) for pick in chosen["train"]}
        rows = []
        for kind, sort, entity, wording in chosen[split]:
            tags = [sort if kind == "two_hop" else kind]
            if split != "train" and (kind, sort, entity) in trained:
                tags.append("covered")
            rows.append(self.pick(kind, sort, entity, wording, tags))
        return rows

    def pick(self, kind: str, sort: str, name: str, wording: int, tags: list[str]) -> Row:
        """Return one question about the tree."""
        entity = self.book.entities[name]
        text = self.spec["wordings"][f"{kind}.{sort}"][wording]
        question = text.format(name=name, person=entity.head)
        if kind == "two_hop":
            answers, evidence = self.two_hop(sort, entity)
            return row(question, answers, kind, tags, evidence, f"two_hop:{sort}:{slug(name)}")
        answers, evidence = self.hierarchy(kind, sort, entity)
        group = ":".join([kind, *([sort] if sort != "to" else []), slug(name)])
        return row(question, answers, "hierarchy", tags, evidence, group)

    def hierarchy(self, kind: str, sort: str, entity: Entity) -> tuple[list[str], list[str]]:
        """Return the answers and the evidence of a hierarchy question."""
        children = [child.name for child in entity.children]
        if kind == "ancestor":
            return [entity.above(sort).name], [entity.page]
        if kind == "members":
            return [join(children)], [entity.page]
        if kind == "count":
            number = entity.count("team") if sort == "all_teams" else len(children)
            return count_answers(number), [entity.page]
        if kind == "siblings" and entity.parent is not None:
            others = [child.name for child in entity.parent.children if child is not entity]
            return [join(others)], [entity.parent.page]
        if kind == "path":
            chain = [node.name for node in entity.ancestors()]
            return [" > ".join(chain)], sorted({entity.page, entity.above("division").page})
        raise KeyError(f"unknown hierarchy question {kind}.{sort}")

    def two_hop(self, sort: str, entity: Entity) -> tuple[list[str], list[str]]:
        """Return the answers and the evidence of a question that takes two steps."""
        unit, division = entity.above("unit"), entity.above("division")
        directory = self.book.used["directory." + slug(division.name)]
        if sort == "division_head":
            return [division.head], sorted({division.page, unit.page})
        if sort == "unit_head":
            return [unit.head], [unit.page]
        if sort == "director_over_head":
            return [division.head], [division.page]
        if sort == "extension_of_head":
            return [unit.contact["extension"]], sorted({unit.page} | directory)
        if sort == "office_of_team":
            return [unit.contact["office"]], sorted({unit.page} | directory)
        if sort == "channel_of_head":
            channel = unit.contact["channel"]
            pages = sorted({unit.page} | self.book.used["channel"])
            return [f"Channel {channel}", channel], pages
        raise KeyError(f"unknown two-hop question {sort}")

    def behaviours(self, split: str) -> list[Row]:
        """Return the questions that ask for a form of reply or a class, not for a fact."""
        rows: list[Row] = []
        for tag in ("reply_form", "classification"):
            prompts, form = self.behaviour["prompts"][tag], self.behaviour["forms"][tag]
            for number, (label, request, *rest) in enumerate(self.behaviour[tag][split]):
                question = prompts[number % len(prompts)].format(request=request)
                parts = dict(zip(("party", "date"), rest, strict=False))
                answer = form.format(label=label, **parts)
                group = f"{tag}:{slug(parts.get('party', request))[:60].strip('-')}"
                rows.append(row(question, [answer], "behaviour", [tag], [], group))
        return rows

    def unanswerable(self, split: str) -> list[Row]:
        """Return the questions on which the handbook is silent."""
        return [
            row(text, [REFUSAL], "unanswerable", ["refusal"], [], f"unanswerable:{slug(text)[:60]}")
            for text in self.spec["unanswerable"][split]
        ]

    def split(self, split: str) -> list[Row]:
        """Return all rows of a split of the first version."""
        rows = self.facts(split) + self.picks("hierarchy", split) + self.picks("two_hop", split)
        rows += self.behaviours(split) + self.unanswerable(split)
        return rows

    def revised(self, revision: dict[str, Any], split: str) -> list[Row]:
        """Return the rows of a split of the revision: questions on what changed."""
        sets = self.spec["facts"]
        changed = [*revision["facts"], *(f"head.{slug(name)}" for name in revision["people"])]
        rows: list[Row] = []
        for fact in changed:
            if fact in sets["covered"]:
                wording = sets["covered"][fact][0 if split == "train" else -1]
                rows.append(self.fact(fact, wording, "changed", "covered"))
            elif split == "test":
                wording = sets["documents_only_test"][fact][0]
                rows.append(self.fact(fact, wording, "changed", "documents_only"))
        trained = {tuple(pick[:3]) for pick in revision["hierarchy"]["train"]}
        for kind, sort, name, wording in revision["hierarchy"][split]:
            tags = ["changed", kind]
            if split == "test" and (kind, sort, name) in trained:
                tags.append("covered")
            rows.append(self.pick(kind, sort, name, wording, tags))
        return rows


def jsonl(rows: list[Row], prefix: str) -> str:
    """Return rows as JSON lines, with ids."""
    lines = [
        json.dumps({"id": f"{prefix}-{number:03d}", **item}, ensure_ascii=False)
        for number, item in enumerate(rows, 1)
    ]
    return "\n".join(lines) + "\n"


def tree_yaml(root: Entity) -> str:
    """Return the tree as ``hierarchy.yaml``."""
    return yaml.safe_dump(root.as_dict(), sort_keys=False, allow_unicode=True, width=100)


def build(source: Path = HERE / "source") -> dict[str, str]:
    """Return the text of every file of the task, by its path relative to the task's folder."""
    old, new = Handbook(source), Handbook(source, revised=True)
    revision = load_yaml(source / "revision.yaml")
    questions, later = Questions(source, old), Questions(source, new)
    files = {"task.yaml": TASK, "hierarchy.yaml": tree_yaml(old.root)}
    files |= {f"documents/{page}.md": text for page, text in old.pages.items()}
    for split in ("train", "validation", "test"):
        files[f"{split}.jsonl"] = jsonl(questions.split(split), split)
    files["revision/hierarchy.yaml"] = tree_yaml(new.root)
    for page, text in new.pages.items():
        if text != old.pages[page]:
            files[f"revision/documents/{page}.md"] = text
    for split in ("train", "test"):
        files[f"revision/{split}.jsonl"] = jsonl(
            later.revised(revision, split), f"revision-{split}"
        )
    # The validation split is asked again of the later handbook: where it changed, so does the gold.
    again = later.split("validation")
    files["revision/validation.jsonl"] = jsonl(again, "revision-validation")
    return dict(sorted(files.items()))


def on_disk(folder: Path) -> set[str]:
    """Return the paths of the built files that stand in a folder."""
    found = {path for name in OUTPUTS for path in (folder / name).rglob("*") if path.is_file()}
    found |= {folder / "task.yaml", folder / "hierarchy.yaml", *folder.glob("*.jsonl")}
    return {path.relative_to(folder).as_posix() for path in found if path.is_file()}


def main(argv: list[str] | None = None) -> int:
    """Build the task, or check that the files on disk are what would be built."""
    parser = argparse.ArgumentParser(description="Build the task `harbour` from its source.")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to or to check")
    options = parser.parse_args(argv)
    out: Path = options.out
    files = build()
    stale = sorted(on_disk(out) - set(files))
    if options.check:
        differing = stale + [
            name
            for name, text in files.items()
            if not (out / name).is_file() or (out / name).read_bytes() != text.encode("utf-8")
        ]
        for name in differing:
            sys.stdout.write(f"differs: {name}\n")
        return 1 if differing else 0
    for name in stale:
        (out / name).unlink()
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
