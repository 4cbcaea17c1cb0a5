"""Documents cut into chunks that stand on their own feet: each opens with its heading path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal

from ..errors import InputError
from ..tasks.headings import heading
from ..tasks.task import PAGE_BREAK, PAGES, Document, Metadata
from ..values import Value
from .prose import split_prose
from .sentence_windows import sentences, windows

ARROW = " › "
LONGEST_TOKEN = 100
"""Characters. Many tokenizers read a longer word as one unknown token, whatever its length; so a
text counts at least one token for so many, lest a line of megabytes pass for a short chunk."""
_REMEMBERED = 1 << 14
"""Counts kept: the splitter asks for each part three times or more."""
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")


class Chunk(Value):
    """A piece of a document: what is embedded and what is shown to the model.

    `id` is the document's id, ``#`` and a number from 1; `title` is the document's title and the
    headings above the piece, joined by ``›``; `text` opens with that title. `metadata` is the
    document's, and ``page`` (from 1) where its text is in pages.
    """

    id: str
    document: str
    title: str
    text: str
    metadata: Metadata = {}

    @property
    def body(self) -> str:
        """The text without the headings above it."""
        head, gap, body = self.text.partition("\n\n")
        return body if gap and self.title.endswith(head) else self.text

    def plain(self) -> dict[str, Any]:
        """As JSON types; `metadata` only where there is some."""
        content = super().plain()
        if not self.metadata:
            del content["metadata"]
        return content


def chunk_documents(
    documents: Iterable[Document],
    *,
    size: int,
    overlap: int,
    count_tokens: Callable[[str], int],
    max_tokens: int | None = None,
    by: Literal["heading", "sentences"] = "heading",
) -> list[Chunk]:
    """Cut documents into chunks of at most `size` tokens, headings included, as `count_tokens`
    counts them; deterministic.

    Markdown is cut at headings first (``#`` in fenced code is none), and at page breaks where the
    document's metadata counts its pages. By `heading`, a section that is too long is cut at
    paragraphs, lines, sentences, then words, with `overlap` tokens shared by neighbours; by
    `sentences`, it is cut to windows of whole sentences, each beginning with those of the window
    before that `overlap` tokens hold, and a sentence that is too long is cut as above. Tables
    and fenced code stay whole where they fit; a table that does not is cut between rows and each
    piece repeats the header. `max_tokens` is what the embedder reads of a text; it drops the rest
    silently.

    Raises `InputError` where `size` is more than that, or `overlap` not less than `size`.
    """
    if size < 1:
        raise InputError(f"chunks of {size} tokens cannot be; a size of 1 or more is needed")
    if max_tokens is not None and size > max_tokens:
        raise InputError(
            f"chunks of {size} tokens are longer than the {max_tokens} tokens that the embedder "
            f"reads; set the chunk size to {max_tokens} or less"
        )
    if not 0 <= overlap < size:
        raise InputError(
            f"an overlap of {overlap} tokens does not go with chunks of {size}; it must be less, "
            "and 0 or more"
        )

    @lru_cache(_REMEMBERED)
    def count(text: str) -> int:
        # What is too long by its characters alone is not worth counting, and may be huge.
        if len(text) > size * LONGEST_TOKEN:
            return -(-len(text) // LONGEST_TOKEN)
        return count_tokens(text)

    cut = _pieces if by == "heading" else _windows
    chunks: list[Chunk] = []
    for document in documents:
        if not document.text:
            continue
        number = 0
        for metadata, (path, body) in _sections(document):
            titles = path if path[:1] == (document.title,) else (document.title, *path)
            titles = tuple(title for title in titles if title)
            head = _head(titles, size // 2, count)
            room = size - count(f"{head}\n\n") if head else size
            for piece in cut(body, max(1, room), overlap, count) if body else [""]:
                number += 1
                text = f"{head}\n\n{piece}".strip()
                if text:
                    chunks.append(
                        Chunk(
                            id=f"{document.id}#{number}",
                            document=document.id,
                            title=ARROW.join(titles),
                            text=text,
                            metadata=metadata,
                        )
                    )
    return chunks


def _sections(document: Document) -> Iterator[tuple[Metadata, tuple[tuple[str, ...], str]]]:
    """(metadata, section) of a document; its pages, where it has some, are cut one by one."""
    pages = document.text.split(PAGE_BREAK)
    if document.metadata.get(PAGES) != len(pages):
        pages = []
    for page, text in enumerate(pages, start=1):
        metadata: Metadata = {**document.metadata, "page": page}
        yield from ((metadata, section) for section in sections(text))
    if not pages:
        yield from ((document.metadata, section) for section in sections(document.text))


def sections(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(heading path, body) of each stretch of Markdown under one heading, in order.

    A heading with neither a body nor headings below it is given with an empty body: it may be
    all a page says of its subject. A heading that only holds others lives on in their paths.
    """
    found: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
    above: list[tuple[int, str]] = []
    fence = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        mark = _FENCE.match(line)
        title = None
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif mark:
            fence = mark[1]
        else:
            title = heading(line)
        if title is None:
            found[-1][1].append(line)
            continue
        above = [other for other in above if other[0] < title[0]]
        above.append(title)
        found.append((tuple(name for _, name in above if name), []))
    for at, (path, lines) in enumerate(found):
        body = "\n".join(lines).strip("\n").rstrip()
        below = found[at + 1][0] if at + 1 < len(found) else ()
        if body or (path and not (len(below) > len(path) and below[: len(path)] == path)):
            yield path, body


def _head(titles: tuple[str, ...], limit: int, count_tokens: Callable[[str], int]) -> str:
    """As much of the end of the heading path as `limit` tokens hold; perhaps nothing."""
    for start in range(len(titles)):
        head = ARROW.join(titles[start:])
        if count_tokens(head) <= limit:
            return head
    return ""


def _pieces(text: str, size: int, overlap: int, count_tokens: Callable[[str], int]) -> list[str]:
    """A body cut to pieces of at most `size` tokens: whole blocks as long as they fit."""
    if count_tokens(text) <= size:
        return [text]
    pieces: list[str] = []
    for kind, block in _blocks(text):
        joined = f"{pieces[-1]}\n\n{block}" if pieces else block
        if pieces and count_tokens(joined) <= size:
            pieces[-1] = joined
        elif count_tokens(block) <= size:
            pieces.append(block)
        elif kind == "table":
            pieces.extend(_table(block, size, overlap, count_tokens))
        else:
            pieces.extend(split_prose(block, size, overlap, count_tokens))
    return pieces


def _windows(text: str, size: int, overlap: int, count_tokens: Callable[[str], int]) -> list[str]:
    """A body as windows of sentences; a table or code that fits counts as one."""
    if count_tokens(text) <= size:
        return [text]
    units: list[str] = []
    for kind, block in _blocks(text):
        for unit in sentences(block) if kind == "prose" else [block]:
            if count_tokens(unit) <= size:
                units.append(unit)
            elif kind == "table":
                units += [f"{piece}\n\n" for piece in _table(unit, size, 0, count_tokens)]
            else:
                between = " " if kind == "prose" else "\n"
                units += [f"{piece}{between}" for piece in split_prose(unit, size, 0, count_tokens)]
        units[-1] = units[-1].rstrip() + "\n\n"
    return windows(units, size, overlap, count_tokens)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Tables, fenced code and the prose between them, as (kind, text)."""
    lines: list[str] = []
    kind, fence = "prose", ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        closes = bool(fence) and _closes(line, fence)
        now = "table" if line.lstrip().startswith("|") else "prose"
        if fence or mark:
            now = "code"
        if now != kind or (mark and not fence):
            if any(line.strip() for line in lines):
                yield kind, "\n".join(lines).strip("\n").rstrip()
            lines, kind = [], now
        lines.append(line)
        if closes:
            fence = ""
        elif mark and not fence:
            fence = mark[1]
    if any(line.strip() for line in lines):
        yield kind, "\n".join(lines).strip("\n").rstrip()


def _closes(line: str, fence: str) -> bool:
    """A fence ends at one of its own kind, as long or longer, with nothing behind it."""
    mark = line.strip()
    return mark.startswith(fence) and not mark.strip(fence[0])


def _table(text: str, size: int, overlap: int, count_tokens: Callable[[str], int]) -> list[str]:
    """A table too long for one chunk: rows together as they fit, each piece under the header."""
    rows = text.split("\n")
    has_header = len(rows) > 2 and _RULE.match(rows[1].strip())
    header = "\n".join(rows[:2]) + "\n" if has_header else ""
    if len(header) > size * LONGEST_TOKEN:  # repeated over every row, it would be quadratic
        header, has_header = "", None
    pieces: list[str] = []
    current: list[str] = []
    for row in rows[2:] if has_header else rows:
        if current and count_tokens(header + "\n".join([*current, row])) > size:
            pieces.append(header + "\n".join(current))
            current = []
        current.append(row)
    pieces.append(header + "\n".join(current))
    return [
        part
        for piece in pieces
        for part in (
            [piece]
            if count_tokens(piece) <= size
            else split_prose(piece, size, overlap, count_tokens)
        )
    ]
