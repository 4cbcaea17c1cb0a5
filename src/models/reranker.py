"""Question and passage read together: relevance, by a cross-encoder of this machine."""

from __future__ import annotations

import functools
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .account import Account
from .devices import preferred_device
from .folders import check_folder
from .quiet import quiet_hub, quiet_transformers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_ROWS = 32
DECIMALS = 4
"""Of what the model says before it is brought to 0..1: its last digits differ with the batch."""


class Reranker:
    """A cross-encoder in memory, in float32. Made by `open`, freed by `close`."""

    def __init__(self, model: Any) -> None:
        self._model: Any = model

    @classmethod
    def open(cls, folder: Path, device: str | None = None) -> Reranker:
        """Open the cross-encoder of `folder`; a `ModelError` if it cannot be read or is none."""
        check_folder(folder)
        with quiet_hub(), quiet_transformers():
            from sentence_transformers import CrossEncoder
            from transformers import AutoConfig

            try:
                config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
                made = (config.architectures or ["unknown"])[0]
                # From any other weights transformers would make one with a random head.
                if not made.endswith("ForSequenceClassification") or config.num_labels != 1:
                    raise ModelError(
                        f"{folder} is no reranker: it holds {made} and a cross-encoder is a model "
                        "for sequence classification with one label, such as "
                        "cross-encoder/ms-marco-MiniLM-L6-v2"
                    )
                model = CrossEncoder(
                    str(folder),
                    device=device or preferred_device(),
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"dtype": "float32", "use_safetensors": True},
                )
            except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
                raise ModelError(f"{folder}: the reranker cannot be opened: {error}") from error
        model.eval()
        return cls(model)

    @property
    def model(self) -> Any:
        """The sentence-transformers model; a `RuntimeError` once closed."""
        if self._model is None:
            raise RuntimeError("this reranker was closed")
        return self._model

    @functools.cached_property
    def account(self) -> Account:
        """What this reranker did, and what that was worth; outlives `close`.

        Its tokens count in operations and bytes only: tokens read are the language model's.
        """
        return Account(self.model, "embedding")

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """The relevance of each (question, passage), 0 to 1 by the logistic function; ``(n,)``.

        What is beyond the model's longest input is not seen.
        """
        import numpy as np
        import torch

        if not pairs:
            return np.zeros(0)
        with self.account.watching(self.model):
            said = self.model.predict(
                list(pairs),
                batch_size=BATCH_ROWS,
                show_progress_bar=False,
                activation_fn=torch.nn.Identity(),
                convert_to_numpy=True,
            )
        rounded = np.round(said.astype(np.float64), DECIMALS)
        relevance: NDArray[np.float64] = 1 / (1 + np.exp(-rounded))
        return relevance

    def close(self) -> None:
        """Free the weights. May be called twice."""
        self._model = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Reranker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
