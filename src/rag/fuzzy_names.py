"""Names that a question has with a slip of the pen: "Towege Unit" for Towage Unit.

A word that is in no name is compared to the words of names that have the same beginning or the
same end and about its length: a single slip leaves one of them whole. What it may stand for takes
its place, and the same look-up of names follows as for words written rightly. So a question costs a
few comparisons for each strange word, however many names there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from ..errors import InputError

SHORTEST = 4
"""Letters of the shortest word that is ever corrected: three letters are near to too many."""
PER_WORD = 3
"""Words that one strange word may stand for, the nearest first."""


class FuzzyNames:
    """Names (tokens joined by spaces) found where each word has one slip at most.

    A slip is a letter wrong, missing, added or swapped with its neighbour; a space too many or
    missing between two words is one of the whole name. Words with digits are not corrected, for
    Pier 4 is not Pier 5, and neither are words that some name has. `cutoff` is the similarity that
    the whole name must have, from 0 to 1: 1 less the share of slips among its letters (optimal
    string alignment). Equal input gives equal output. `longest` has the number of words of the
    longest name that opens with a word. Raises `InputError` for a cutoff outside 0 to 1.
    """

    def __init__(self, names: Collection[str], longest: Mapping[str, int], cutoff: float) -> None:
        if not 0 < cutoff <= 1:
            raise InputError(f"fuzzy is {cutoff}; a similarity above 0 and up to 1 is needed")
        self._names, self._longest, self._cutoff = names, longest, cutoff
        self._joined: dict[str, str] = {}
        self._words: set[str] = set()
        for name in names:
            self._joined.setdefault(name.replace(" ", ""), name)
            self._words.update(name.split())
        self._alike: dict[tuple[int, str, str], list[str]] = {}
        for word in sorted(self._words):
            if _correctable(word):
                for block in _blocks(word, len(word)):
                    self._alike.setdefault(block, []).append(word)

    def find(
        self, words: Sequence[str], taken: Collection[int]
    ) -> list[tuple[int, str, tuple[str, ...]]]:
        """(place of the first word, what is written there, the names that are equally near).

        `words` are a question's tokens; places in `taken` belong to names found already. Of
        matches that overlap the most similar is given, then the longest, then the first.
        """
        from rapidfuzz.distance import OSA

        free = [at not in taken for at in range(len(words))]
        may_be = [self._readings(word) if free[at] else () for at, word in enumerate(words)]
        found: dict[tuple[float, int, int], set[str]] = {}
        for at in range(len(words)):
            for end, name in {*self._spelt(may_be, at), *self._spaced(words, free, at)}:
                written = " ".join(words[at:end])
                score = OSA.normalized_similarity(written, name)
                if written != name and score >= self._cutoff:
                    found.setdefault((-score, at - end, at), set()).add(name)
        matches: list[tuple[int, str, tuple[str, ...]]] = []
        used: set[int] = set()
        for (_, minus, at), names in sorted(found.items()):
            places = range(at, at - minus)
            if used.isdisjoint(places):
                used.update(places)
                matches.append((at, " ".join(words[at : at - minus]), tuple(sorted(names))))
        return matches

    def _readings(self, word: str) -> tuple[str, ...]:
        """What a word may stand for: itself where a name has it, else the words one slip away."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        if word in self._words:
            return (word,)
        if not _correctable(word):
            return ()
        near = {
            one: None
            for length in (len(word), len(word) - 1, len(word) + 1)
            for block in _blocks(word, length)
            for one in self._alike.get(block, ())
        }
        best = process.extract(
            word, list(near), scorer=OSA.distance, processor=None, score_cutoff=1, limit=PER_WORD
        )
        return tuple(one for one, _, _ in best)

    def _spelt(self, may_be: Sequence[tuple[str, ...]], at: int) -> set[tuple[int, str]]:
        """(end, name) of the names that the readings from a place on make up."""
        found: set[tuple[int, str]] = set()
        for first in may_be[at]:
            last = min(at + self._longest.get(first, 0), len(may_be))
            for end in range(at + 1, last + 1):
                if not may_be[end - 1]:
                    break
                for more in itertools.product(*may_be[at + 1 : end]):
                    name = " ".join((first, *more))
                    if name in self._names:
                        found.add((end, name))
        return found

    def _spaced(self, words: Sequence[str], free: Sequence[bool], at: int) -> set[tuple[int, str]]:
        """(end, name) of the names that one to three words make up but for a space."""
        found: set[tuple[int, str]] = set()
        whole = ""
        for end in range(at + 1, min(at + 3, len(words)) + 1):
            if not free[end - 1]:
                break
            whole += words[end - 1]
            if whole in self._joined:
                found.add((end, self._joined[whole]))
        return found


def _correctable(word: str) -> bool:
    return len(word) >= SHORTEST and not any(letter.isdigit() for letter in word)


def _blocks(word: str, length: int) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Where to look for words of so many letters that are one slip away: same beginning or end."""
    size = 2 if length < 7 else 3
    return (length, word[:size], ""), (length, "", word[-size:])
