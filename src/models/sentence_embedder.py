"""Texts as vectors, by a sentence-transformers model of this machine."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .account import Account
from .devices import preferred_device
from .embedder import Embedder
from .folders import check_folder
from .quiet import quiet_hub, quiet_transformers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_ROWS = 32


class SentenceEmbedder(Embedder):
    """An embedding model in memory, in float32. Made by `open`, freed by `close`."""

    def __init__(self, model: Any) -> None:
        self._model: Any = model

    @classmethod
    def open(cls, folder: Path, device: str | None = None) -> SentenceEmbedder:
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
        """What this embedder did; see `Embedder.account`."""
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

    def _documents(self, texts: list[str]) -> NDArray[np.float32]:
        return self._encode(self.model.encode_document, texts)

    def _queries(self, texts: list[str]) -> NDArray[np.float32]:
        """With the model's prompt for queries."""
        return self._encode(self.model.encode_query, texts)

    def _encode(self, encode: Callable[..., Any], texts: list[str]) -> NDArray[np.float32]:
        with self.account.watching(self.model):
            vectors: NDArray[np.float32] = encode(
                texts,
                batch_size=BATCH_ROWS,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
            )
        return vectors

    def close(self) -> None:
        """Free the weights. May be called twice."""
        self._model = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
