"""Two public data sets cut to parts that two cores can tune on, as task folders.

    python benchmarks/tuning_tasks.py FOLDER --banking77 train.csv test.csv --xquad xquad.en.json

banking77 (https://github.com/PolyAI-LDN/task-specific-datasets, CC BY 4.0): 20 of its 77 intents,
every third in alphabetical order; of each 10 messages to train on, 3 to choose settings by and 10
to test. xquad's English part (https://github.com/google-deepmind/xquad, CC BY-SA 4.0) without its
passages, so closed-book: 300, 75 and 200 questions. Which ones is decided by a hash of each text.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

INTENTS, EVERY = 20, 3
PER_INTENT = {"train": 10, "validation": 3, "test": 10}
QUESTIONS = {"train": 300, "validation": 75, "test": 200}


def hashed(text: str) -> str:
    """What texts are ordered by: as good as chance, and the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def banking77(train: Path, test: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by split; the label is the intent in words."""
    learnt, asked = rows_of(train), rows_of(test)
    intents = sorted({row["category"] for row in learnt})[::EVERY][:INTENTS]
    splits: dict[str, list[dict[str, Any]]] = {name: [] for name in PER_INTENT}
    for intent in intents:
        ours = messages(learnt, intent)
        first = PER_INTENT["train"]
        parts = {
            "train": ours[:first],
            "validation": ours[first : first + PER_INTENT["validation"]],
            "test": messages(asked, intent)[: PER_INTENT["test"]],
        }
        for split, texts in parts.items():
            label = intent.replace("_", " ")
            splits[split] += [
                {"question": text, "answers": [label], "kind": "classification"} for text in texts
            ]
    return splits


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of one of banking77's files."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def messages(rows: Iterable[dict[str, str]], intent: str) -> list[str]:
    """The messages of an intent, each once, in the order of their hashes."""
    texts = {" ".join(row["text"].split()) for row in rows if row["category"] == intent}
    return sorted(texts, key=hashed)


def xquad(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by split: questions without their passages."""
    pairs = {
        asked["question"].strip(): sorted({answer["text"] for answer in asked["answers"]})
        for page in json.loads(path.read_text(encoding="utf-8"))["data"]
        for passage in page["paragraphs"]
        for asked in passage["qas"]
    }
    texts, splits, at = sorted(pairs, key=hashed), {}, 0
    for split, count in QUESTIONS.items():
        splits[split] = [
            {"question": text, "answers": pairs[text]} for text in texts[at : at + count]
        ]
        at += count
    return splits


def write(folder: Path, name: str, metrics: Sequence[str], splits: dict[str, Any]) -> None:
    """One task folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    named = "".join(f"{split}: {split}.jsonl\n" for split in splits)
    text = f"name: {name}\n{named}metrics: [{', '.join(metrics)}]\n"
    (folder / "task.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    """Write what files were given for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the task folders are written")
    parser.add_argument("--banking77", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--xquad", type=Path, metavar="JSON")
    given = parser.parse_args()
    if given.banking77:
        splits = banking77(*given.banking77)
        write(given.folder / "banking77", "banking77-20", ("accuracy", "macro_f1"), splits)
    if given.xquad:
        metrics = ("token_f1", "exact_match", "contained")
        write(given.folder / "xquad", "xquad-closed-book", metrics, xquad(given.xquad))


if __name__ == "__main__":
    main()
