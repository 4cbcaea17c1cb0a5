"""Expansion: what stands around a chunk that was found, each piece of text once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from .chunking import Chunk
from .fusion import Hits

LEAST_OVERLAP = 8
"""Characters. Less than this may end one chunk and begin the next by chance."""
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")


def expanded(
    hits: Hits, chunks: Sequence[Chunk], reach: int | None
) -> list[tuple[Chunk, float, str]]:
    """Each hit's chunk, its score and the text around it, in the order of the hits.

    `reach` is how many chunks of its document are taken before and after it; None takes all.
    Stretches of one document that meet are one, in the place of the best hit among them.
    """
    stretches = sorted(
        (*_around(row, chunks, reach), rank) for rank, (row, _) in enumerate(hits)
    )  # first row, last row, rank of the hit
    merged: list[tuple[int, int, int]] = []
    for first, last, rank in stretches:
        if merged and first <= merged[-1][1] + 1:
            before = merged[-1]
            if chunks[before[0]].document == chunks[first].document:
                merged[-1] = (before[0], max(before[1], last), min(before[2], rank))
                continue
        merged.append((first, last, rank))
    return [
        (chunks[hits[rank][0]], hits[rank][1], joined([chunks[r] for r in range(first, last + 1)]))
        for first, last, rank in sorted(merged, key=lambda stretch: stretch[2])
    ]


def _around(row: int, chunks: Sequence[Chunk], reach: int | None) -> tuple[int, int]:
    """First and last row of the stretch of a document around one."""
    document = chunks[row].document
    low = 0 if reach is None else max(0, row - reach)
    high = len(chunks) - 1 if reach is None else min(len(chunks) - 1, row + reach)
    first = last = row
    while first > low and chunks[first - 1].document == document:
        first -= 1
    while last < high and chunks[last + 1].document == document:
        last += 1
    return first, last


def joined(chunks: Sequence[Chunk]) -> str:
    """Neighbouring chunks as one text: a heading once, and once what two of them share."""
    text = chunks[0].text
    for before, after in pairwise(chunks):
        if after.title != before.title:
            text += f"\n\n{after.text}"
            continue
        body = after.body
        shared = _shared(text, body)
        lines = body.split("\n")
        if shared:
            text += body[shared:]
        elif len(lines) > 2 and _RULE.fullmatch(lines[1]) and "\n".join(lines[:2]) in text:
            text += "\n" + "\n".join(lines[2:])  # a table goes on: its header stands above
        elif body:
            text += f"\n\n{body}"
    return text


def _shared(before: str, after: str) -> int:
    """How many characters the end of one text and the beginning of the next share: whole words."""
    for length in range(min(len(before), len(after)), LEAST_OVERLAP - 1, -1):
        if (
            before.endswith(after[:length])
            and not (before[-length - 1 : -length].isalnum() and after[0].isalnum())
            and not (after[length : length + 1].isalnum() and after[length - 1].isalnum())
        ):
            return length
    return 0
