"""`wattune init`: a task folder made of documents and a file of questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import TaskError
from ..files import read_text, write_json_lines, write_text
from ..values import Value
from .contents import HIERARCHY_FILE, Contents, read_contents
from .documents import KINDS
from .draft_review import DRAFT_FILE, Review, read_drafts, split_by_family
from .examples import ExampleReader, split_examples
from .faults import Faults
from .folder import MANIFEST, TREE, check_evidence
from .tables import read_table
from .task import REFUSAL, Example, Split, Turn

QUESTIONS_FILE = "questions.csv"
RECIPE_FILE = "recipe.yaml"
SHOTS = 4
LEAST_TRAIN = 32
"""Below this many training questions, tuning has too little to learn from to be worth its energy;
a rule of thumb that only words a hint."""

_QUESTIONS = """\
question,answer
# Rows that open with # are passed over. Replace these two and write one question a row.
"# Who is the harbour master? (put text that contains a comma in double quotes)",# Ada Lund
# When does the fuel dock open? (several right answers stand between bars),# 06:00|6 am
"""


class InitReport(Value):
    """What `init_task` made in `folder`, what is missing and how to mend it, in sentences.

    `questions` is train + validation + test; `questions_needed` is how many test questions show
    a difference of 0.05 between two runs. `review` tells what became of drafted questions.
    """

    folder: str
    made: tuple[str, ...]
    missing: tuple[str, ...]
    documents: int
    questions: int
    train: int
    validation: int
    test: int
    questions_needed: int
    review: tuple[str, ...] = ()


def init_task(folder: Path, *, questions: Path | None = None, questions_needed: int) -> InitReport:
    """Make a task of the documents in `folder` and a file of `questions`.

    With questions (CSV with the columns question,answer, or JSON lines) it writes task.yaml, the
    splits that are not empty (`split_examples` says how they are drawn) and a recipe.yaml that
    runs. Without, it takes a draft.csv that was reviewed, whose documents are held apart
    (`split_by_family`), or a questions.csv; where there is neither, it writes a questions.csv to
    fill in, for a second call. See `read_contents` for the documents.

    Raises `TaskError` where there is nothing to make a task of, where the questions are faulty
    (file and line) and where a file to be written is already there: nothing is overwritten, and
    nothing is written before all is checked.
    """
    questions = questions or _found_questions(folder)
    faults = Faults()
    contents = read_contents(folder, faults, questions=questions)
    documents = contents.documents
    reader = ExampleReader(faults)
    review: Review | None = None
    notes: tuple[str, ...] = ()
    if questions is not None and questions.name == DRAFT_FILE:
        review = read_drafts(questions, reader)
        asked = review.examples
    else:
        asked = _questions(questions, reader) if questions else ()
    known = {document.id for document in documents} | ({TREE} if contents.hierarchy else set())
    asked = check_evidence(asked, known, reader)
    faults.check()
    if not documents and not asked:
        raise TaskError(
            f"{folder}: no document with text and no questions; put {KINDS} files there or give a "
            "file of questions"
        )
    splits: Mapping[Split, tuple[Example, ...]]
    if review is not None:
        splits, notes = split_by_family(asked, review.families)
    else:
        splits = split_examples(asked) if asked else {"train": (), "validation": (), "test": ()}
    if not asked:
        texts = {QUESTIONS_FILE: _QUESTIONS}
    else:
        texts = {
            MANIFEST: _manifest(folder, splits, contents),
            RECIPE_FILE: _recipe(
                folder, len(splits["train"]), bool(documents), bool(contents.hierarchy)
            ),
        }
    rows = {f"{split}.jsonl": examples for split, examples in splits.items() if examples}
    for name in (*texts, *rows):
        if (folder / name).exists():
            empty = "no question was filled in yet: write one a row and run this again"
            hint = empty if name == QUESTIONS_FILE else "move it away"
            raise TaskError(f"{folder / name} is already there and is not overwritten; {hint}")
    for file, examples in rows.items():
        write_json_lines(folder / file, [_row(example) for example in examples])
    for file, text in texts.items():
        write_text(folder / file, text)
    return InitReport(
        folder=str(folder),
        made=(*rows, *texts),
        missing=(
            *faults.notes,
            *notes,
            *_missing(folder, bool(documents), splits, questions_needed),
        ),
        documents=len(documents),
        questions=len(asked),
        train=len(splits["train"]),
        validation=len(splits["validation"]),
        test=len(splits["test"]),
        questions_needed=questions_needed,
        review=review.sentences() if review else (),
    )


def _found_questions(folder: Path) -> Path | None:
    """The drafts in the folder, or its questions, where some were filled in."""
    filled, drafts = folder / QUESTIONS_FILE, folder / DRAFT_FILE
    written = filled.is_file() and read_text(filled) != _QUESTIONS
    if written and drafts.is_file():
        raise TaskError(
            f"{folder} holds both {DRAFT_FILE} and a filled {QUESTIONS_FILE}; move one away, or "
            "say by --questions which one is meant"
        )
    return drafts if drafts.is_file() else filled if written else None


def _questions(path: Path, reader: ExampleReader) -> tuple[Example, ...]:
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise TaskError(
            f"{path}: questions are read from a .csv file with the columns question,answer or a "
            ".jsonl file"
        )
    table = read_table(path, reader)
    if table.documents:
        raise TaskError(
            f"{path}: has a context column, so it is a task by itself: give the file as `task:`"
        )
    reader.faults.check()
    if not table.examples:
        raise TaskError(f"{path}: no questions there yet; write one a row under question,answer")
    return tuple(table.examples)


def _row(example: Example) -> dict[str, object]:
    """An example without what it leaves at its usual value; one of a chat as a conversation."""
    usual = Example(id="", question="", answers=()).plain()
    row = example.plain()
    if example.history:
        del row["history"], row["question"], row["answers"]
        asked = [*example.history, Turn(role="user", text=example.question)]
        row["prompt"] = [{"role": turn.role, "content": turn.text} for turn in asked]
        row["completion"] = [{"role": "assistant", "content": example.answers[0]}]
    return {
        key: value
        for key, value in row.items()
        if key in ("id", "question", "answers") or value != usual.get(key)
    }


def _name(folder: Path) -> str:
    """The folder's name as the name of a task and of the folder of its records."""
    words = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    return words[:60] or "task"


def _manifest(folder: Path, splits: Mapping[Split, tuple[Example, ...]], contents: Contents) -> str:
    lines = [
        "# A task for wattune: what must be answered well.",
        f'name: "{_name(folder)}"',
        'version: "1"',
        "# description: one sentence that says what this task is",
        *(f"{split}: {split}.jsonl" for split, examples in splits.items() if examples),
    ]
    if contents.documents:
        where = contents.source.relative_to(folder).as_posix()
        lines += [f"# The {KINDS} files under this folder.", f"documents: {where}"]
    lines += [
        "# A tree of named entities ({name, level, aliases, roles, children}) allows tree_rag:",
        f"{'' if contents.hierarchy else '# '}hierarchy: {HIERARCHY_FILE}",
        "# The answer expected where the documents hold none:",
        f"refusal: {REFUSAL}",
    ]
    return "\n".join(lines) + "\n"


def _recipe(folder: Path, train: int, documents: bool, hierarchy: bool) -> str:
    shots = min(SHOTS, train)
    lines = [
        "# Compare ways to customise a model on this task: wattune compare recipe.yaml",
        "# Paths are taken from where this file lies.",
        f"name: {_name(folder)}",
        "task: .",
        "model: smollm2-135m-q4",
        "# Where the machine stands, for grams of CO2e (a country code such as FRA):",
        "# place: FRA",
        "",
        "# Each run is a list of steps; leave out what is not of interest.",
        "runs:",
        "  zero-shot: [prompt]",
    ]
    if shots:
        lines.append(f"  few-shot: [{{prompt: {{shots: {shots}}}}}]")
    if documents:
        lines.append("  rag: [rag]")
    if documents and hierarchy:
        lines.append("  tree-rag: [tree_rag]")
    if train:
        lines.append("  lora: [lora]")
    if not train or not documents:
        lines.append("  # Left out for want of training questions or documents:")
        lines += [] if shots else [f"  # few-shot: [{{prompt: {{shots: {SHOTS}}}}}]"]
        lines += [] if documents else ["  # rag: [rag]"]
        lines += [] if train else ["  # lora: [lora]"]
    return "\n".join(lines) + "\n"


def _missing(
    folder: Path,
    documents: bool,
    splits: Mapping[Split, tuple[Example, ...]],
    needed: int,
) -> list[str]:
    """Sentences about what the task lacks and how to mend it."""
    missing: list[str] = []
    if not documents:
        missing.append(
            f"There are no documents, so nothing can be retrieved: put {KINDS} files in a "
            f"folder {folder / 'documents'} and write `documents: documents` in {MANIFEST}."
        )
    train, test = len(splits["train"]), len(splits["test"])
    if not test:
        missing.append(
            f"There are no questions: fill in {folder / QUESTIONS_FILE} and run "
            f"`wattune init {folder}` again. About {needed} test questions are needed to see a "
            "difference of 0.05 between two runs."
        )
        return missing
    if test < needed:
        missing.append(
            f"{test} test questions show large differences only: about {needed} are needed to "
            "see a difference of 0.05 between two runs. Add questions to test.jsonl."
        )
    if not any(example.kind == "unanswerable" for example in splits["test"]):
        missing.append(
            "No test question has the kind unanswerable, so a system that never refuses looks "
            "better than it is: add some to test.jsonl."
        )
    if train < LEAST_TRAIN:
        missing.append(
            f"{train} training questions are few for tuning: add some to train.jsonl, at least "
            f"{LEAST_TRAIN} and rather some hundred, and none that stands in test.jsonl."
        )
    return missing
