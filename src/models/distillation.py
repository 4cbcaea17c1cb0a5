"""A static embedder made from one that one has, without any network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..files import storage, write_json
from .sentence_embedder import SentenceEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS_TOGETHER = 512
SIF = 1e-4
"""The `a` of smooth inverse frequency, as model2vec sets it."""


def distilled(embedder: SentenceEmbedder, folder: Path, dimensions: int = 256) -> Path:
    """Write a static embedder that imitates `embedder` into `folder`, in model2vec's format.

    model2vec's recipe (Tulkens and van Dongen 2024): each token of the vocabulary is embedded by
    itself; the `dimensions` principal components of these vectors are kept; and each row is
    weighted by ``a / (a + p)`` (Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for
    sentence embeddings"), where the frequency p of a token is taken from its rank by Zipf's law, a
    vocabulary standing in the order of frequency. What that takes is in the embedder's account.

    model2vec's own function is not used: it wants a transformers below 5.4. Raises `InputError` for
    more dimensions than the embedder has.
    """
    import numpy as np
    from safetensors.numpy import save_file
    from sklearn.decomposition import PCA  # type: ignore[import-untyped]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(embedder.model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vectors = _token_vectors(embedder, tokenizer.get_vocab_size())
    most = min(vectors.shape)
    if not 1 <= dimensions <= most:
        raise InputError(f"dimensions is {dimensions}; 1 to {most} can be kept of this embedder")
    kept = PCA(dimensions, svd_solver="covariance_eigh").fit_transform(vectors)
    inverse_ranks = 1 / np.arange(2, len(kept) + 2)
    frequencies = inverse_ranks / inverse_ranks.sum()
    table = kept * (SIF / (SIF + frequencies))[:, None]
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"embeddings": table.astype(np.float32)}, folder / "model.safetensors")
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    # Last: without it the folder is no model, so a killed distillation leaves none.
    configuration = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "apply_pca": dimensions,
        "sif_coefficient": SIF,
        "hidden_dim": dimensions,
        "seq_length": 1_000_000,
        "max_length": None,
        "normalize": True,
    }
    write_json(folder / "config.json", configuration)
    return folder


def _token_vectors(embedder: SentenceEmbedder, count: int) -> NDArray[np.float32]:
    """The embedder's vector of each token (count, d), between the special tokens of a text."""
    import numpy as np
    import torch

    model = embedder.model
    probe = model.tokenizer("a", return_special_tokens_mask=True)
    ids, special = probe["input_ids"], probe["special_tokens_mask"]
    first, last = special.index(0), len(special) - special[::-1].index(0)
    before, after = torch.tensor(ids[:first]), torch.tensor(ids[last:])
    made = []
    for start in range(0, count, TOKENS_TOGETHER):
        tokens = torch.arange(start, min(start + TOKENS_TOGETHER, count))[:, None]
        rows = len(tokens)
        texts = torch.cat([before.repeat(rows, 1), tokens, after.repeat(rows, 1)], dim=1).long()
        texts = texts.to(model.device)
        features = {"input_ids": texts, "attention_mask": torch.ones_like(texts)}
        with torch.inference_mode(), embedder.account.watching(model):
            made.append(model(features)["sentence_embedding"].float().cpu().numpy())
    vectors: NDArray[np.float32] = np.concatenate(made)
    return vectors
