"""Text cut at the ends of sentences, and windows of whole sentences that overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_BREAK = re.compile(
    r"""
      \n[ \t]*\n\s*                                  # a blank line
    | \n(?=[ \t]{0,8}(?:[-*+•]|\d{1,3}[.)])[ \t])    # the next entry of a list
    | (?<![.!?…])[.!?…]+ ["'”’»)\]*_]{0,8} \s+       # a full stop and what closes after it
    | [。！？｡]+ ["'”’」』）)]{0,8} \s*              # the same where no space follows
    """,
    re.VERBOSE,
)
_ENTRY = re.compile(r"(?:[-*+•]|\d{1,3}[.)])[ \t]")
_LOOK_AHEAD = 20
"""Characters in which the next letter is looked for."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space behind it: joined they are the text.

    The rules are those of Unicode's UAX #29 in short: a sentence ends at ``.``, ``!`` or ``?``
    with what closes after it and a space, at a blank line, and at the ideographic full stops; not
    at a full stop when the next letter is a small one ("approx. three"; rule SB8). Besides, not
    after a single capital ("J. Smith"), and an entry of a list begins one.
    """
    found: list[str] = []
    start = 0
    for mark in _BREAK.finditer(text):
        if not (mark[0].startswith(".") and _goes_on(text, mark)):
            found.append(text[start : mark.end()])
            start = mark.end()
    found.append(text[start:])
    return [sentence for sentence in found if sentence.strip()]


def windows(
    units: Sequence[str], size: int, overlap: int, count_tokens: Callable[[str], int]
) -> list[str]:
    """Neighbouring `units` joined to windows of at most `size` tokens; each begins with as many
    units of the window before as `overlap` tokens hold.

    Every unit is counted once and every window about once: linear. A unit that is longer than
    `size` by itself is a window by itself.
    """
    special = count_tokens("")
    costs = [max(0, count_tokens(unit.strip()) - special) for unit in units]
    made: list[str] = []
    start = done = 0  # units[:done] are in a window
    while done < len(units):
        end, total = start, special
        while end < len(units) and (end == start or total + costs[end] <= size):
            total += costs[end]
            end += 1
        # The tokens of the joined text can be a few more than those of its parts.
        while end - start > 1 and count_tokens("".join(units[start:end]).strip()) > size:
            end -= 1
        if end <= done:  # what overlaps leaves no room for anything new
            start += 1
            continue
        made.append("".join(units[start:end]).strip("\n").rstrip())
        begin, start, done, shared = start, end, end, 0
        while start - 1 > begin and shared + costs[start - 1] <= overlap:
            start -= 1
            shared += costs[start]
    return made


def _goes_on(text: str, mark: re.Match[str]) -> bool:
    """Whether a full stop ends an abbreviation rather than a sentence."""
    space = mark[0][len(mark[0].rstrip()) :]
    if space.count("\n") > 1 or ("\n" in space and _ENTRY.match(text, mark.end())):
        return False
    before = text[max(0, mark.start() - 2) : mark.start()]
    initial = before[-1:].isupper() and not before[:-1].isalnum()
    ahead = text[mark.end() : mark.end() + _LOOK_AHEAD]
    letter = next((character for character in ahead if character.isalpha()), "")
    return mark[0][:2] != ".." and (initial or letter.islower())
