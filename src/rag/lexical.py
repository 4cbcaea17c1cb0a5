"""Search by words: BM25 as Lucene computes it, by bm25s, saved as arrays and JSON.

The score of a text is the sum over a question's words of idf(word) times a saturating function of
how often the word stands in it (Robertson and Zaragoza, "The Probabilistic Relevance Framework:
BM25 and Beyond", 2009), with Lucene's idf, which is never negative. Words are runs of letters and
digits without case; single ones count ("pier 4"), the 33 commonest English ones do not. There is
no stemming: it helped on one collection and harmed on another, and knows one language.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ..errors import InputError, StorageError
from ..files import file_digest, read_text, storage, write_json
from ..values import Value
from .index_files import CHUNKS_FILE, check_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MANIFEST_FILE = "lexical.json"
FILES = {
    "data_name": "lexical-scores.npy",
    "indices_name": "lexical-rows.npy",
    "indptr_name": "lexical-words.npy",
    "vocab_name": "lexical-vocabulary.json",
    "params_name": "lexical-settings.json",
}
"""By the names that bm25s has for them."""
DECIMALS = 6
"""Of a score, as those of vectors."""
_WORD = re.compile(r"\w+")


class LexicalManifest(Value):
    """What a lexical index is; a folder whose files do not fit is not opened.

    `sha256` holds the digests of its files by name, and that of the chunks that its rows are.
    """

    format: Literal[1] = 1
    rows: int
    sha256: dict[str, str]


def words(text: str) -> list[str]:
    """The words of a text that are looked for: "At Pier 4?" gives ``["pier", "4"]``."""
    from bm25s.stopwords import STOPWORDS_EN  # type: ignore[import-untyped]

    return [word for word in _WORD.findall(text.casefold()) if word not in STOPWORDS_EN]


def count_words(text: str) -> int:
    """The words of a text, the commonest included: what chunks are measured by where no embedder
    counts tokens."""
    return len(_WORD.findall(text))


class LexicalIndex:
    """Texts by their words; row i is the i-th text."""

    def __init__(self, bm25: Any) -> None:
        self._bm25 = bm25

    def __len__(self) -> int:
        return int(self._bm25.scores["num_docs"])

    @classmethod
    def build(cls, texts: Iterable[str]) -> LexicalIndex:
        """Index texts in their order. Raises `InputError` where there are none."""
        import bm25s  # type: ignore[import-untyped]

        vocabulary: dict[str, int] = {}
        # Numbered here in order of appearance: bm25s would follow a set, and files would differ.
        rows = [[vocabulary.setdefault(w, len(vocabulary)) for w in words(text)] for text in texts]
        if not rows:
            raise InputError("there are no texts to index; are the documents empty?")
        if not vocabulary:
            vocabulary[""] = 0  # texts of punctuation alone; no question has this word
            rows[0].append(0)
        bm25 = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        bm25.index((rows, vocabulary), create_empty_token=False, show_progress=False)
        return cls(bm25)

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, beside the chunks that its rows are, its manifest last.

        Raises `StorageError` where that cannot be.
        """
        beside = folder / f".lexical.{os.getpid()}.tmp"
        with storage(folder):
            try:
                beside.mkdir(parents=True)
                self._bm25.save(beside, allow_pickle=False, show_progress=False, **FILES)
                for name in FILES.values():
                    os.replace(beside / name, folder / name)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        names = [name for name in (*FILES.values(), CHUNKS_FILE) if (folder / name).is_file()]
        sums = {name: file_digest(folder / name) for name in names}
        write_json(folder / MANIFEST_FILE, LexicalManifest(rows=len(self), sha256=sums).plain())

    @classmethod
    def load(cls, folder: Path) -> LexicalIndex:
        """Open a saved index by memory map; `StorageError` where a file is missing or changed."""
        import bm25s

        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise StorageError(f"{path}: there is no lexical index there")
        try:
            manifest = LexicalManifest.model_validate_json(read_text(path))
        except ValidationError as error:
            reason = "not the manifest of a lexical index; build it again"
            raise StorageError(f"{path}: {reason}") from error
        names = sorted({*FILES.values(), *manifest.sha256})
        check_files(folder, MANIFEST_FILE, names, manifest.sha256)
        bm25 = bm25s.BM25.load(folder, mmap=True, show_progress=False, **FILES)
        return cls(bm25)

    def search(
        self,
        questions: Sequence[str],
        k: int,
        *,
        allowed: NDArray[np.int64] | None = None,
    ) -> list[list[tuple[int, float]]]:
        """The `k` rows of the highest score for each question, best first; of `allowed` rows only,
        where given. Rows that share no word with the question are none of them. Equal scores are
        ordered by row.

        Raises `InputError` for k < 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; at least 1 text must be asked for")
        return [self._best(question, k, allowed) for question in questions]

    def _best(
        self, question: str, k: int, allowed: NDArray[np.int64] | None
    ) -> list[tuple[int, float]]:
        import numpy as np

        known = self._bm25.get_tokens_ids(words(question))
        if not known:
            return []
        scores = np.round(self._bm25.get_scores_from_ids(known), DECIMALS)
        rows = np.flatnonzero(scores) if allowed is None else allowed[scores[allowed] > 0]
        if len(rows) > k:
            least = np.partition(scores[rows], -k)[-k]
            rows = rows[scores[rows] >= least]  # all that tie with the last
        best = rows[np.lexsort((rows, -scores[rows]))][:k]
        return [(int(row), round(float(scores[row]), DECIMALS)) for row in best]
