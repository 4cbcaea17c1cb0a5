"""Texts that are nearly equal, found among many by MinHash."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from .similarity import jaccard, word_shingles

PERMUTATIONS = 128
SLACK = 0.08
"""The MinHash estimate of a similarity has a standard error of at most 0.045 at 128 permutations;
pairs whose estimate is further below the threshold than this are not compared in full."""
_BLOCK = 1000


def near_duplicates(texts: Sequence[str], threshold: float) -> list[tuple[int, int]]:
    """(kept, duplicate) positions: each text that is nearly equal to one before it that is kept,
    with the first such; leaving the duplicates out leaves no two that were found to be alike.

    Nearly equal is a Jaccard similarity of runs of three words of at least `threshold`; case,
    punctuation and spacing do not count. Pairs that are told are that alike, exactly. Candidates
    come from locality-sensitive hashing of MinHash sketches (Broder 1997; datasketch), which finds
    nearly all pairs well above the threshold and may miss some that just reach it. The same texts
    give the same pairs.

    Raises `InputError` for a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"near_duplicates is {threshold}; it must be above 0 and at most 1")
    import numpy as np
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

    # Missing a pair is the worse fault: what is found too much is compared in full below.
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.2, 0.8))
    sketches = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    first: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(texts), _BLOCK):
        own = [word_shingles(text) for text in texts[start : start + _BLOCK]]
        encoded = [[shingle.encode() for shingle in shingles] for shingles in own]
        block = MinHash.generator(encoded, num_perm=PERMUTATIONS)
        for at, (shingles, sketch) in enumerate(zip(own, block, strict=True), start=start):
            same = first.setdefault(texts[at], at)
            if same != at:
                pairs.append((same, at))
                continue
            sketches[at] = sketch.hashvalues
            near = np.array(sorted(index.query(sketch)), dtype=np.int64)
            alike = (sketches[near] == sketches[at]).mean(axis=1) if len(near) else near
            for other in near[alike >= threshold - SLACK]:
                if jaccard(shingles, word_shingles(texts[other])) >= threshold:
                    pairs.append((int(other), at))
                    first[texts[at]] = int(other)
                    break
            else:
                index.insert(at, sketch, check_duplication=False)
    return pairs
