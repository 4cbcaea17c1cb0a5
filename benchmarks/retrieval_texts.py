"""The collection of the retrieval benchmark: windows of real text, embedded by a static model."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wattune.models.distillation import distilled
from wattune.models.embedder import Embedder, open_embedder
from wattune.models.fetch import resolve
from wattune.models.sentence_embedder import SentenceEmbedder
from wattune.rag.chunking import Chunk

KINDS = (".md", ".rst", ".txt", ".py", ".html", ".json", ".pyi")
WORDS, STEP = 60, 30
ASKED_WORDS = 20
QUESTIONS = 500
LARGEST_FILE = 2_000_000
PER_FILE = 400
"""Windows taken of a file at most, so that no table or word list is most of the collection."""
CHUNKS, VECTORS, ASKED = "chunks.jsonl", "vectors.npy", "questions.npy"


def collect(folders: Sequence[Path], count: int, work: Path, embedder: str) -> None:
    """Write `count` chunks, their vectors (count, 256) and those of `QUESTIONS` questions.

    A chunk is a window of `WORDS` words that begins `STEP` words after the last one; a question is
    a shorter one of a window that is not in the collection. Files come in a seeded order. The
    vectors are of a static model that is distilled from `embedder`.
    """
    model = static_model(work, embedder)
    windows = _windows(folders)
    chunks = list(itertools.islice(windows, count))
    if len(chunks) < count:
        raise SystemExit(f"{len(chunks):,} windows in {folders}, and {count:,} are needed")
    held = list(itertools.islice(windows, 40 * QUESTIONS))[::40]
    vectors = model.encode_documents([chunk.text for chunk in chunks])
    whole = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)  # windows of unknown signs
    with (work / CHUNKS).open("w", encoding="utf-8") as file:
        for at in whole:
            file.write(json.dumps(chunks[at].plain()) + "\n")
    np.save(work / VECTORS, vectors[whole].astype(np.float32))
    asked = [" ".join(chunk.text.split()[:ASKED_WORDS]) for chunk in held]
    questions = model.encode_queries(asked)
    np.save(work / ASKED, questions[np.linalg.norm(questions, axis=1) > 0].astype(np.float32))


def static_model(work: Path, embedder: str) -> Embedder:
    """The static embedder of the benchmark, distilled once."""
    folder = work / "static"
    if not (folder / "config.json").is_file():
        teacher = open_embedder(resolve(embedder, kind="embedder"))
        assert isinstance(teacher, SentenceEmbedder)
        distilled(teacher, folder)
    return open_embedder(resolve(str(folder), kind="embedder"))


def read(work: Path, count: int) -> tuple[list[Chunk], np.ndarray]:
    """The first `count` chunks and their vectors (count, 256)."""
    with (work / CHUNKS).open(encoding="utf-8") as file:
        chunks = [Chunk(**json.loads(line)) for line in itertools.islice(file, count)]
    return chunks, np.array(np.load(work / VECTORS, mmap_mode="r")[:count])


def _windows(folders: Sequence[Path]) -> Iterator[Chunk]:
    files = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in KINDS and path.is_file() and path.stat().st_size <= LARGEST_FILE
    )
    random.Random(0).shuffle(files)
    seen: set[int] = set()
    for number, path in enumerate(files):
        words = path.read_text(encoding="utf-8", errors="ignore").split()
        starts = range(0, len(words) - WORDS + 1, STEP)[:PER_FILE]
        for at, start in enumerate(starts):
            text = " ".join(word[:40] for word in words[start : start + WORDS])
            if (mark := hash(text)) not in seen:  # licences and headers stand in many files
                seen.add(mark)
                document = f"{number}-{path.name}"
                yield Chunk(id=f"{document}#{at + 1}", document=document, title="", text=text)
