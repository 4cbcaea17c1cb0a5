"""When a row of a batch has said enough, and what it said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def written_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of generated tokens, as written: special tokens left out, no spaces tidied."""
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class RowEnds:
    """Ends each row at an end token, or once a stop string stands in its text.

    White space before any text does not stop. `rows` holds the tokens of each row, up to and
    including the one that ended it. Decoding a row at every step would cost more than all else in
    Python, so a row is read only when its newest token may have completed a stop string. Each token
    is decoded once, alone, to know that. It presumes that a token adds its own characters after
    those before it, as tokenizers do but for two things: a character of several bytes is there
    with its last byte, and a space may hang on the neighbours.
    """

    def __init__(
        self, tokenizer: Any, rows: int, *, ends: frozenset[int], stop: Sequence[str]
    ) -> None:
        self.rows: list[list[int]] = [[] for _ in range(rows)]
        self._tokenizer = tokenizer
        self._ends = ends
        self._stop = tuple(stop)
        # By which token a row has text for sure: more than white space and parts of characters.
        self._begins: list[int | None] = [None] * rows
        # A token writes at least one byte, so a stop string that the newest token completes lies
        # within as many tokens as it has bytes. Some more cover tokens that decode to nothing and
        # the first of a window, which some tokenizers strip.
        self._span = max((len(text.encode()) for text in self._stop), default=0) + 8
        self._last = {text[-1] for text in self._stop}
        # What such stop strings end with depends on more than the newest token.
        self._read_always = any(text[-1] == " " or REPLACEMENT in text for text in self._stop)
        self._pieces: dict[int, str] = {}
        self._completes: dict[int, bool] = {}

    def add(self, row: int, token: int) -> bool:
        """Remember the newest token of a row; whether the row is done."""
        ids = self.rows[row]
        ids.append(token)
        if token in self._ends:
            return True
        if not self._stop:
            return False
        if self._begins[row] is not None:
            completes = self._completes.get(token)
            if completes is None:
                completes = self._completes[token] = self._may_complete(token)
            if not completes:
                return False
        return self._stopped(row)

    def _stopped(self, row: int) -> bool:
        """Whether a stop string stands in the text of a row."""
        ids, begin = self.rows[row], self._begins[row]
        if begin is not None:
            first = len(ids) - self._span
            while first > begin and not self._whole(ids[first]):  # not inside a character
                first -= 1
            if first > begin:
                text = written_text(self._tokenizer, ids[first:])
                return any(stop in text for stop in self._stop)
        text = self._piece(ids[0]) if len(ids) == 1 else written_text(self._tokenizer, ids)
        text = text.lstrip()  # many models open with a newline
        if begin is None and text.replace(REPLACEMENT, "").strip():
            self._begins[row] = len(ids) - 1
        return any(stop in text for stop in self._stop)

    def _may_complete(self, token: int) -> bool:
        """Whether a stop string may end with this token."""
        piece = self._piece(token)
        return self._read_always or not self._whole(token) or not self._last.isdisjoint(piece)

    def _whole(self, token: int) -> bool:
        """Whether a token alone shows what it writes: neither nothing nor a part of a character."""
        piece = self._piece(token)
        return bool(piece) and REPLACEMENT not in piece

    def _piece(self, token: int) -> str:
        """The text of a token alone, decoded once."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = written_text(self._tokenizer, [token])
        return piece

    def text(self, row: int) -> str:
        """The text of a row, cut before the earliest stop string and stripped."""
        text = written_text(self._tokenizer, self.rows[row]).lstrip()
        cuts = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        return text[: min(cuts, default=len(text))].strip()
