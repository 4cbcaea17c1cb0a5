"""Summaries written by the System's own model; where it writes none, sentences stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..answering.session import Session
from ..errors import CannotRun
from ..prompt import Message
from ..rag.extractive import Below, Extractive, shortened
from ..system import LocalSystem, System

INSTRUCTION = (
    "Summarise the text in a few sentences. Keep names, numbers and what is said of them. "
    "Write the summary only."
)
RESERVE_TOKENS = 16
"""Left free of the context window for what a chat template adds to one more text."""


class WrittenSummaries:
    """Asks the model of a System for each summary; `details` tells what became of it.

    Where it fails or writes nothing the `extractive` summary stands in, which is not worth keeping:
    another time it may not fail. `count_tokens` counts as the embedder does, which reads no more.
    """

    def __init__(
        self,
        system: System,
        open_: Callable[[System], Session],
        tokens: int,
        extractive: Extractive,
        count_tokens: Callable[[str], int],
    ) -> None:
        self._extractive, self._count = extractive, count_tokens
        self._session = open_(summariser(system, tokens)).uncached()
        self._local = isinstance(system, LocalSystem)
        self._bound = self._room(tokens) if self._local else None
        self.details: dict[str, Any] = {"written": 0, "stood_in": 0, "shortened_input": 0}

    def __call__(self, nodes: Sequence[Below]) -> list[tuple[str, bool]]:
        """The summary of each node, and whether the model wrote it."""
        replies = self._session.generate([self._chat(node.texts) for node in nodes])
        made: list[tuple[str, bool]] = []
        for node, reply in zip(nodes, replies, strict=True):
            written = "" if reply.failed else reply.text.strip()
            if written:
                self.details["written"] += 1
                made.append((shortened(written, node.tokens, self._count), True))
                continue
            self.details["stood_in"] += 1
            self.details.setdefault("first_failure", reply.failed or "the reply was empty")
            made.append((self._extractive([node])[0], False))
        return made

    def check(self) -> None:
        """Raise `CannotRun` where the model was asked and wrote no summary at all."""
        if self.details["stood_in"] and not self.details["written"]:
            raise CannotRun(
                f"the model wrote none of {self.details['stood_in']} summaries "
                f"({self.details['first_failure']}); take `summaries: extractive`"
            )

    def _chat(self, texts: Sequence[str]) -> list[Message]:
        """The chat that asks for a summary, each text cut alike where the window is too small."""
        share = 1.0
        while True:
            cut = [text[: max(1, int(len(text) * share))] for text in texts]
            asked = f"{INSTRUCTION}\n\n" + "\n\n".join(cut)
            chat: list[Message] = [{"role": "user", "content": asked}]
            if self._bound is None or share < 0.01:
                return chat
            length = len(self._session.encode(chat))
            if length <= self._bound:
                self.details["shortened_input"] += share < 1
                return chat
            share *= min(0.95, self._bound / length)

    def _room(self, tokens: int) -> int | None:
        """Tokens of a prompt that leave room for the summary; None where there is no limit."""
        window = self._session.context_window
        bounds = [self._session.system.decoding.context_tokens, window and window - tokens]
        known = [bound for bound in bounds if bound is not None]
        return min(known) - RESERVE_TOKENS if known else None


def summariser(system: System, tokens: int) -> System:
    """The System that writes summaries: its model without its sources, greedy, until it ends."""
    plain = {"temperature": 0.0, "samples": 1, "stop": (), "choices": (), "max_tokens": tokens}
    decoding = system.decoding.model_copy(update=plain)
    return system.model_copy(update={"sources": (), "decoding": decoding})
