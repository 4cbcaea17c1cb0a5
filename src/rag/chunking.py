"""Documents cut into chunks that stand on their own feet: each opens with its heading path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ..errors import InputError
from ..tasks.task import Document
from ..values import Value

ARROW = " › "
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:\s+(.*?))?\s*#*\s*$")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_SEPARATORS = ["\n\n", "\n", ". ", "? ", "! ", "。", " ", ""]


class Chunk(Value):
    """A piece of a document: what is embedded and what is shown to the model.

    `id` is the document's id, ``#`` and a number from 1; `title` is the document's title and the
    headings above the piece, joined by ``›``; `text` opens with that title.
    """

    id: str
    document: str
    title: str
    text: str


def chunk_documents(
    documents: Iterable[Document],
    *,
    size: int,
    overlap: int,
    count_tokens: Callable[[str], int],
    max_tokens: int | None = None,
) -> list[Chunk]:
    """Cut documents into chunks of at most `size` tokens, headings included, as `count_tokens`
    counts them; deterministic.

    Markdown is cut at headings first (``#`` in fenced code is none). A section that is too long is
    cut at paragraphs, lines, sentences, then words, with `overlap` tokens shared by neighbours.
    Tables and fenced code stay whole where they fit; a table that does not is cut between rows and
    each piece repeats the header. `max_tokens` is what the embedder reads of a text; it drops the
    rest silently.

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
    chunks: list[Chunk] = []
    for document in documents:
        number = 0
        for path, body in sections(document.text):
            titles = path if path[:1] == (document.title,) else (document.title, *path)
            titles = tuple(title for title in titles if title)
            head = _head(titles, size // 2, count_tokens)
            room = size - count_tokens(f"{head}\n\n") if head else size
            for piece in _pieces(body, max(1, room), overlap, count_tokens) if body else [""]:
                number += 1
                text = f"{head}\n\n{piece}".strip()
                if text:
                    chunks.append(
                        Chunk(
                            id=f"{document.id}#{number}",
                            document=document.id,
                            title=ARROW.join(titles),
                            text=text,
                        )
                    )
    return chunks


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
        heading = None
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif mark:
            fence = mark[1]
        else:
            heading = _HEADING.match(line)
        if heading is None:
            found[-1][1].append(line)
            continue
        level = len(heading[1])
        above = [(other, title) for other, title in above if other < level]
        above.append((level, (heading[2] or "").strip()))
        found.append((tuple(title for _, title in above if title), []))
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
            pieces.extend(_split(block, size, overlap, count_tokens))
    return pieces


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
    has_header = len(rows) > 2 and _RULE.match(rows[1])
    header = "\n".join(rows[:2]) + "\n" if has_header else ""
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
            [piece] if count_tokens(piece) <= size else _split(piece, size, overlap, count_tokens)
        )
    ]


def _split(text: str, size: int, overlap: int, count_tokens: Callable[[str], int]) -> list[str]:
    """Prose cut at the coarsest separator that makes pieces small enough."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    limit = size
    while True:
        splitter = RecursiveCharacterTextSplitter(
            separators=_SEPARATORS,
            keep_separator="end",
            strip_whitespace=False,
            chunk_size=limit,
            chunk_overlap=min(overlap, limit - 1),
            length_function=count_tokens,
        )
        pieces = [piece.strip("\n").rstrip() for piece in splitter.split_text(text)]
        pieces = [piece for piece in pieces if piece]
        longest = max(map(count_tokens, pieces), default=0)
        # The splitter adds up the counts of parts; tokens of the joined text can be a few more.
        if longest <= size or limit == 1:
            return pieces
        limit = max(1, limit - max(1, longest - size))
