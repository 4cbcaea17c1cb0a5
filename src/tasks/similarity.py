"""How alike two texts are: Jaccard similarity of their shingles, and a search for what is near."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

Shingles = frozenset[str]
"""Overlapping runs of a text, each once."""

_MEANT = frozenset("#%&@*/")
"""Punctuation that tells questions apart (C and C#, 5 and 5%), kept by `normalised`."""
_NUMBER = re.compile(r"\d+")


class _Punctuation(dict[int, int]):
    """For `str.translate`: punctuation that is not meant becomes a space."""

    def __missing__(self, code: int) -> int:
        mark = chr(code)
        drop = unicodedata.category(mark).startswith("P") and mark not in _MEANT
        self[code] = ord(" ") if drop else code
        return self[code]


_WITHOUT = _Punctuation()


def normalised(question: str) -> str:
    """A question without case, punctuation and spacing, for telling whether two are the same."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return " ".join(folded.translate(_WITHOUT).split()) or folded.strip()


def numbers(text: str) -> list[str]:
    """The numbers in a text, sorted: where they differ, two texts ask for different things."""
    return sorted(_NUMBER.findall(text))


def character_shingles(text: str, size: int = 3) -> Shingles:
    """Runs of `size` characters of the `normalised` text, with a space at each end."""
    padded = f" {normalised(text)} "
    return frozenset(padded[at : at + size] for at in range(max(1, len(padded) - size + 1)))


def word_shingles(text: str, size: int = 3) -> Shingles:
    """Runs of `size` words of the `normalised` text; all of a shorter one is one run."""
    words = normalised(text).split()
    return frozenset(" ".join(words[at : at + size]) for at in range(max(1, len(words) - size + 1)))


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shingles in both over shingles in either, from 0 to 1."""
    return len(one & other) / len(one | other)


def counted(texts: Iterable[Shingles]) -> Counter[str]:
    """In how many texts each shingle is."""
    return Counter(chain.from_iterable(texts))


class Neighbours:
    """Finds every text whose Jaccard similarity to another is at least `threshold`; none is missed.

    Prefix filtering (Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007):
    of n shingles, rarest first, one of the first n - ceil(threshold n) + 1 is in every near text,
    so only those few are looked up. `counts` (`counted`) tell which ones are rare; they decide how
    fast it is, never what is found.
    """

    def __init__(self, threshold: float, counts: Counter[str]) -> None:
        self.threshold = threshold
        self._known: list[Shingles] = []
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        self._count = counts

    def add(self, shingles: Shingles) -> None:
        """Take one more text in; it is known by its number, counted from 0."""
        for shingle in self._rare(shingles):
            self._holding[shingle].append(len(self._known))
        self._known.append(shingles)

    def near(self, shingles: Shingles) -> list[int]:
        """The numbers of the near texts that were added, in their order."""
        shared = {n for shingle in self._rare(shingles) for n in self._holding.get(shingle, ())}
        size = len(shingles)
        return sorted(
            number
            for number in shared
            if size * self.threshold <= len(self._known[number]) <= size / self.threshold
            and jaccard(shingles, self._known[number]) >= self.threshold
        )

    def _rare(self, shingles: Shingles) -> list[str]:
        # A little less than the product, lest rounding ask for one shingle too many.
        needed = math.ceil(self.threshold * len(shingles) - 1e-9)
        ranked = sorted(shingles, key=lambda shingle: (self._count[shingle], shingle))
        return ranked[: len(shingles) - needed + 1]
