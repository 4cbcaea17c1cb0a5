"""Equality of generation.py: whether texts are those of plain `generate`, and why not.

In float32 the same arithmetic in another order (batches, caches) moves logits by far less than a
thousandth. Where two tokens are nearer than that, either may be written; anything else is a fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

NEAR_TIE = 1e-3
LIKELIEST = 50
"""How many of the likeliest tokens are tried for one that fits the other text."""

Decode = Callable[[Sequence[int]], str]


def answer_of(text: str, *, leading: bool) -> str:
    """The text up to the first newline. With `leading` white space before the text does not count,
    as in our generator; without it a newline at the very beginning ends the answer too."""
    return (text.lstrip() if leading else text).partition("\n")[0].strip()


def fits(written: str, target: str, *, ended: bool, leading: bool) -> bool:
    """Whether `written`, all of it if it `ended`, can be how the answer `target` begins."""
    body = written.lstrip() if leading else written
    head, newline, _ = body.partition("\n")
    if newline or ended:
        return head.strip() == target
    head = head.lstrip().rstrip("\ufffd")  # of a letter's bytes some may be missing as yet
    return target.startswith(head) or head.rstrip() == target


def first_difference(
    tokens: Sequence[int],
    target: str,
    decode: Decode,
    *,
    ends: Collection[int],
    max_tokens: int,
    leading: bool,
) -> int | None:
    """Where the first of `tokens` stands that does not write `target`; None if all of them do."""
    for at, token in enumerate(tokens):
        ended = token in ends or at + 1 == max_tokens
        if not fits(decode(tokens[: at + 1]), target, ended=ended, leading=leading):
            return at
    return None


def gap(
    tokens: Sequence[int],
    target: str,
    decode: Decode,
    logits_after: Callable[[Sequence[int]], Any],
    *,
    ends: Collection[int],
    max_tokens: int,
    leading: bool,
) -> float:
    """How far apart the reference's logits are where another answer left it.

    `tokens` are the reference's, `target` is the other answer, `logits_after` the logits after the
    prompt and some of these tokens. The other token is the likeliest that fits the other answer;
    infinite where none of the likeliest does, or where all tokens agree and the texts do not.
    """
    at = first_difference(tokens, target, decode, ends=ends, max_tokens=max_tokens, leading=leading)
    if at is None:
        return math.inf
    before = list(tokens[:at])
    logits = logits_after(before)
    for value, token in zip(*(found.tolist() for found in logits.topk(LIKELIEST)), strict=True):
        ended = token in ends or at + 1 == max_tokens
        if fits(decode([*before, token]), target, ended=ended, leading=leading):
            return abs(float(logits[tokens[at]]) - value)
    return math.inf


def verdict(distance: float | None) -> str:
    """What a gap means; None is that of texts that are the same."""
    if distance is None:
        return "identical"
    return "near tie" if distance < NEAR_TIE else "fault"


def examined(
    texts: Sequence[str],
    references: Sequence[Sequence[int]],
    decode: Decode,
    logits_after: Callable[[int, Sequence[int]], Any],
    *,
    ends: Collection[int],
    max_tokens: int,
    leading: bool,
) -> list[dict[str, Any]]:
    """For each text its verdict; where it differs, both texts and the gap."""
    found: list[dict[str, Any]] = []
    for number, (text, tokens) in enumerate(zip(texts, references, strict=True)):
        told = answer_of(text, leading=leading)
        expected = answer_of(decode(tokens), leading=leading)
        if told == expected:
            found.append({"verdict": verdict(None)})
            continue

        def after(more: Sequence[int], number: int = number) -> Any:
            return logits_after(number, more)

        distance = gap(
            tokens, told, decode, after, ends=ends, max_tokens=max_tokens, leading=leading
        )
        found.append(
            {
                "verdict": verdict(distance),
                "prompt": number,
                "told": told,
                "expected": expected,
                "gap": distance if math.isfinite(distance) else None,
            }
        )
    return found
