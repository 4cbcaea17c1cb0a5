"""Guesses of what comes next: what followed the same words earlier in the prompt or the answer.

Reading a few tokens takes a single row hardly longer than reading one, for the weights are read
once. So guesses are read along with each token, and those that the model would have written anyway
are kept: the text is the same (Saxena 2023, "Prompt Lookup Decoding"; Leviathan et al. 2023, "Fast
Inference from Transformers via Speculative Decoding", arXiv 2211.17192).
"""

from __future__ import annotations

from collections.abc import Iterable


class Lookup:
    """Where each token, and each pair of tokens, last stood in a growing text."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        self._last: dict[tuple[int, ...], int] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """The text goes on with this token."""
        # What the text ends with now has stood there before only if it is noted already.
        self._after.update(self._last)
        self._ids.append(token)
        end = len(self._ids)
        self._last = {tuple(self._ids[end - size :]): end for size in (1, 2) if end >= size}

    def guess(self, most: int) -> list[int]:
        """At most so many tokens that followed the last two, or the last one, the last time."""
        for key in sorted(self._last, key=len, reverse=True):
            if (place := self._after.get(key)) is not None:
                return self._ids[place : place + most]
        return []
