"""Extractive summaries: of the sentences below a node those nearest to what all its leaves say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .prose import split_prose
from .sentence_windows import sentences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SENTENCES = 96
"""Of a node that are embedded, evenly spread over its children's; what bounds the cost of one."""
DECIMALS = 6


@dataclass(frozen=True)
class Below:
    """What is to be summarised in at most `tokens`: the texts of a node's children in their order,
    without headings, and the centroid (d,) of its leaves."""

    texts: tuple[str, ...]
    centroid: NDArray[np.float32]
    tokens: int


class Extractive:
    """Summaries without a model: sentences as they stand in the text, in its order.

    `embed` gives the vectors (n, d) of n sentences, `count_tokens` the tokens of a text.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], NDArray[Any]], count_tokens: Callable[[str], int]
    ) -> None:
        self._embed, self._count = embed, count_tokens

    def __call__(self, nodes: Sequence[Below]) -> list[str]:
        """The summary of each; never empty where there is text below."""
        found = [_spread(_sentences(node.texts)) for node in nodes]
        rows = {text: row for row, text in enumerate(dict.fromkeys(s for of in found for s in of))}
        vectors = self._embed(list(rows))
        return [
            self._picked(list(of), vectors[[rows[text] for text in of]], list(of.values()), node)
            for of, node in zip(found, nodes, strict=True)
        ]

    def _picked(
        self, texts: list[str], vectors: NDArray[Any], written: list[str], node: Below
    ) -> str:
        """The nearest sentences to the centroid, as many as fit, in their order."""
        import numpy as np

        nearness = np.round(vectors @ node.centroid, DECIMALS)
        order = np.argsort(-nearness, kind="stable").tolist()
        special = self._count("")
        left = node.tokens - special
        picked: list[int] = []
        for at in order:
            if left < 1:
                break
            cost = self._count(texts[at]) - special
            if cost <= left:
                picked.append(at)
                left -= cost
        while picked:  # the tokens of the joined text can be a few more than those of its parts
            joined = "".join(written[at] for at in sorted(picked)).strip()
            if self._count(joined) <= node.tokens:
                return joined
            picked.pop()
        return shortened(texts[order[0]], node.tokens, self._count)


def shortened(text: str, tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The beginning of a text, cut where it is best cut to be of at most `tokens` tokens."""
    text = text.strip()
    if count_tokens(text) <= tokens:
        return text
    return split_prose(text, tokens, 0, count_tokens)[0].strip()


def _sentences(texts: Sequence[str]) -> dict[str, str]:
    """Each sentence once, bare, and as it is written with the white space behind it."""
    found: dict[str, str] = {}
    for text in texts:
        for sentence in sentences(text):
            bare = sentence.strip()
            if any(letter.isalnum() for letter in bare):
                found.setdefault(bare, sentence if sentence[-1:].isspace() else f"{sentence}\n")
    return found or {text.strip(): text for text in texts}


def _spread(found: dict[str, str]) -> dict[str, str]:
    """At most `MOST_SENTENCES` of them, evenly spread."""
    if len(found) <= MOST_SENTENCES:
        return found
    rows = list(found.items())
    return dict(rows[at * len(rows) // MOST_SENTENCES] for at in range(MOST_SENTENCES))
