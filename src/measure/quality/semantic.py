"""Likeness of meaning: the cosine of an embedder's vectors."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InputError
from .metric import Item, Tools, Values, missing


def semantic(items: Sequence[Item], tools: Tools) -> dict[str, Values]:
    """Cosine of the vectors of an answer and the accepted answer nearest to it, -1 to 1.

    As sentence-transformers' ``cos_sim``; nothing is cut off or rescaled. An empty answer is 0:
    an embedder gives a vector to no words, too, and it is near something. Raises `InputError`
    without an embedder, or where its vectors are not one a text and finite.
    """
    import numpy as np

    if tools.embed is None:
        raise missing("semantic", "an embedder")
    texts = list(dict.fromkeys(text for item in items for text in (item.text, *item.answers)))
    vectors = np.asarray(tools.embed(texts), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise InputError(
            f"the embedder gave figures of shape {vectors.shape} for {len(texts)} texts; one "
            "vector of finite numbers a text is expected"
        )
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    place = {text: at for at, text in enumerate(texts)}

    def likeness(item: Item) -> float:
        if not item.text.strip():
            return 0.0
        accepted = vectors[[place[answer] for answer in item.answers]]
        return float((accepted @ vectors[place[item.text]]).max())

    return {"semantic": [likeness(item) for item in items]}
