"""Texts as vectors, by a sentence-transformers model of this machine."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .account import Account
from .devices import preferred_device
from .folders import check_folder
from .quiet import quiet_hub, quiet_transformers

if TYPE_CHECKING:
    import numpy as np

BATCH_ROWS = 32
REPORT_EVERY = 256


class Embedder:
    """An embedding model in memory, in float32. Made by `open`, freed by `close`."""

    def __init__(self, model: Any) -> None:
        self._model: Any = model

    @classmethod
    def open(cls, folder: Path, device: str | None = None) -> Embedder:
        """Open the sentence-transformers model of `folder`; a `ModelError` if it cannot be read.

        float32 on every device: vectors are compared across runs and kept in a cache.
        """
        check_folder(folder)
        if not (folder / "modules.json").is_file():
            raise ModelError(
                f"{folder} has no modules.json, so it is no sentence-transformers model"
            )
        with quiet_hub(), quiet_transformers():
            from sentence_transformers import SentenceTransformer

            try:
                model = SentenceTransformer(
                    str(folder),
                    device=device or preferred_device(),
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"dtype": "float32", "use_safetensors": True},
                )
            except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
                raise ModelError(f"{folder}: the embedder cannot be opened: {error}") from error
        model.eval()
        return cls(model)

    @property
    def model(self) -> Any:
        """The sentence-transformers model; a `RuntimeError` once closed."""
        if self._model is None:
            raise RuntimeError("this embedder was closed")
        return self._model

    @functools.cached_property
    def account(self) -> Account:
        """What this embedder did, and what that was worth; outlives `close`.

        Its tokens count in operations and bytes only: tokens read are the language model's.
        """
        return Account(self.model, "embedding")

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return int(self.model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        """The most tokens of a text, special tokens included; what is beyond is not seen."""
        return int(self.model.get_max_seq_length())

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, special tokens included: to be compared with `max_tokens`."""
        ids = self.model.tokenizer(text, truncation=False, padding=False, verbose=False)
        return len(ids["input_ids"])

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Vectors of documents: float32 ``(n, dimensions)``, each of Euclidean length 1.

        `progress` is called with the number of texts done since the last call.
        """
        return self._encode(self.model.encode_document, texts, progress)

    def encode_queries(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Vectors of questions, as `encode_documents`, with the model's prompt for queries."""
        return self._encode(self.model.encode_query, texts, progress)

    def _encode(
        self,
        encode: Callable[..., Any],
        texts: Sequence[str],
        progress: Callable[[int], None] | None,
    ) -> np.ndarray:
        import numpy as np

        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        # Sorted over all texts, so that rows of a batch have like lengths and padding is little.
        order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
        for start in range(0, len(order), REPORT_EVERY):
            part = order[start : start + REPORT_EVERY]
            with self.account.watching(self.model):
                vectors[part] = encode(
                    [texts[index] for index in part],
                    batch_size=BATCH_ROWS,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                    normalize_embeddings=True,
                )
            if progress is not None:
                progress(len(part))
        return vectors

    def close(self) -> None:
        """Free the weights. May be called twice."""
        self._model = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
