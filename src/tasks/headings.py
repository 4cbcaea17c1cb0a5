"""Headings of Markdown: what counts as one, the same wherever text is read."""

from __future__ import annotations

import re

LONGEST_TITLE = 1000
"""Characters of a title or a heading; a longer line is prose that opens with ``#``. It stands in
front of every chunk below it, so it must be short."""

_OPENING = re.compile(r" {0,3}(#{1,6})")


def heading(line: str) -> tuple[int, str] | None:
    """(level, title) of a line that is an ATX heading of CommonMark, without its closing ``#``;
    the title may be empty. None for any other line."""
    if len(line) > LONGEST_TITLE:
        return None
    opening = _OPENING.match(line)
    if opening is None:
        return None
    rest = line[opening.end() :]
    title = rest.rstrip().rstrip("#")
    if title and not title[0].isspace():
        return None  # #hashtag
    return len(opening[1]), title.strip()


def first_title(text: str) -> str:
    """The first level-1 heading of a page, "" where it has none."""
    for line in text.split("\n"):
        found = heading(line)
        if found is not None and found[0] == 1 and found[1]:
            return found[1]
    return ""
