"""Prose too long for one chunk, cut by langchain-text-splitters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_SEPARATORS = ["\n\n", "\n", ". ", "? ", "! ", "。", " ", ""]
_STRETCH = 1_000_000
"""Characters handed to the splitter at once; it needs some hundred bytes for each."""


def split_prose(
    text: str, size: int, overlap: int, count_tokens: Callable[[str], int]
) -> list[str]:
    """Prose cut at the coarsest separator that makes pieces of at most `size` tokens; neighbours
    share `overlap` tokens."""
    return [
        piece
        for stretch in _stretches(text)
        for piece in _split_stretch(stretch, size, overlap, count_tokens)
    ]


def _stretches(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _STRETCH:
        end = start + _STRETCH
        for separator in ("\n\n", "\n", " "):
            at = text.rfind(separator, start + _STRETCH // 2, end)
            if at > 0:
                end = at + len(separator)
                break
        yield text[start:end]
        start = end
    yield text[start:]


def _split_stretch(
    text: str, size: int, overlap: int, count_tokens: Callable[[str], int]
) -> list[str]:
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
