"""Static embedders: a vector for each token of a vocabulary, and a text is the mean of its tokens.

Hundreds of times faster than a transformer on a CPU, and less exact. The folder is in model2vec's
format (Tulkens and van Dongen 2024), which sentence-transformers reads. `distilled` makes one from
an embedder that one has.
"""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..measure.work import Costs, Tally
from .account import Account
from .embedder import Embedder
from .folders import check_folder
from .quiet import quiet_hub, quiet_transformers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = 4096


class LookupAccount(Account):
    """The work of looking up and adding: for each token one row is read and added.

    The additions are counted, though they are no products of matrices, for there is nothing else.
    Cutting a text into its tokens, which takes most of the time, has no floating-point operations.
    """

    @functools.cached_property
    def costs(self) -> Costs:
        """One addition for each dimension of a token's row, and the bytes of that row."""
        row = self._skeleton.weight[0]
        return Costs(
            method="counted",
            flops_per_position=float(row.numel()),
            flops_per_head=0.0,
            bytes_per_pass=0.0,
            bytes_per_position=float(row.nbytes),
        )


class StaticEmbedder(Embedder):
    """A table of vectors in memory, in float32, on the CPU: to look up is not worth a GPU.

    A text without any known token has a vector of zeros.
    """

    group = GROUP

    def __init__(self, tokenizer: Any, embedding: Any) -> None:
        self._tokenizer, self._embedding = tokenizer, embedding.float()
        self._account = LookupAccount(self._embedding, "embedding")
        self._dimensions = int(embedding.weight.shape[1])
        self._limit: int | None = (tokenizer.truncation or {}).get("max_length")
        self._uncut = type(tokenizer).from_str(tokenizer.to_str())
        self._uncut.no_truncation()
        words = json.loads(tokenizer.to_str())["model"]
        unknown = words.get("unk_token")
        self._unknown = words.get("unk_id") if unknown is None else tokenizer.token_to_id(unknown)

    @classmethod
    def open(cls, folder: Path) -> StaticEmbedder:
        """Open the model of `folder`; a `ModelError` if it cannot be read."""
        check_folder(folder)
        with quiet_hub(), quiet_transformers():
            from sentence_transformers.sentence_transformer.modules import StaticEmbedding

            try:
                found = StaticEmbedding.load(str(folder), local_files_only=True)
                tokens, rows = found.tokenizer.get_vocab_size(), found.embedding.num_embeddings
            # Of safetensors and tokenizers the errors are plain exceptions.
            except Exception as error:
                raise ModelError(f"{folder}: the embedder cannot be opened: {error}") from error
        if tokens > rows:
            raise ModelError(f"{folder}: its tokenizer has {tokens} tokens and its table {rows}")
        return cls(found.tokenizer, found.embedding)

    @property
    def account(self) -> Account:
        """What this embedder did; see `LookupAccount`."""
        return self._account

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._dimensions

    @property
    def max_tokens(self) -> int | None:
        """Where its tokenizer cuts; None where it does not."""
        return self._limit

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`; there are no special ones."""
        return len(self._uncut.encode(text, add_special_tokens=False).ids)

    def _documents(self, texts: list[str]) -> NDArray[np.float32]:
        """Unknown tokens are left out, as model2vec does."""
        import numpy as np
        import torch

        if self._embedding is None:
            raise RuntimeError("this embedder was closed")
        read = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        tokens = [[i for i in one.ids if i != self._unknown] for one in read]
        starts = np.cumsum([0, *map(len, tokens[:-1])])
        ids = torch.tensor(list(itertools.chain.from_iterable(tokens)), dtype=torch.long)
        with torch.inference_mode():
            means = self._embedding(ids, torch.from_numpy(starts))
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(means).numpy()
        self._account.tally += Tally(passes=1, positions=len(ids), heads=len(texts))
        return vectors

    _queries = _documents

    def close(self) -> None:
        """Free the table. May be called twice."""
        self._embedding = None


def is_static(folder: Path) -> bool:
    """Whether `folder` holds a model in model2vec's format, which its configuration says."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("model_type") == "model2vec"
