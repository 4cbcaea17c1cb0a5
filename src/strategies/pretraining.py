"""Continued pretraining: the model reads the task's documents, as it once read its own corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..answering.session import Session
from ..errors import CannotRun
from ..peft.batches import TokenisedExample
from ..tasks.task import Document
from .base import Context, Part
from .tuning import Material, WeightTuning

HELD_OUT_EVERY = 20
"""One window of so many is held out for validation: 5 %."""


class ContinuedPretraining(WeightTuning):
    """Train all weights, as float32 masters, to predict the documents token by token.

    Documents stand one after another, each closed by the end-of-text token, cut into windows of
    `max_length` tokens. Every twentieth window is held out for validation, where there are 20.
    """

    reads: ClassVar[frozenset[Part]] = frozenset({"system", "documents", "seed", "machine"})

    type: Literal["continued_pretraining"] = "continued_pretraining"
    learning_rate: float = Field(default=1e-4, gt=0)

    def _material(self, session: Session, ctx: Context) -> Material:
        if not ctx.task.documents:
            raise CannotRun(
                f"{self.type} needs documents and the task has none (`documents:` of a task folder)"
            )
        length = min(self.max_length, session.context_window or self.max_length)
        made = windows(ctx.task.documents, session.tokenizer, length)
        last = HELD_OUT_EVERY - 1 if self.eval_strategy != "no" else None
        held = [w for n, w in enumerate(made) if n % HELD_OUT_EVERY == last]
        read = [w for n, w in enumerate(made) if n % HELD_OUT_EVERY != last]
        report = {
            "documents": len(ctx.task.documents),
            "windows": len(read),
            "held_out": len(held),
            "tokens": sum(window.length for window in read),
        }
        return Material(read, held, report)


def full_text(document: Document) -> str:
    """A document as it is read: title, empty line, text."""
    return f"{document.title}\n\n{document.text}" if document.title else document.text


def windows(documents: Sequence[Document], tokenizer: Any, length: int) -> list[TokenisedExample]:
    """The documents as one stream of tokens, cut every `length` of them; the last may be shorter.

    Cut by tokens, so that no text is lost and nothing is padded. A window without a token to
    predict is left out.
    """
    stream: list[int] = []
    for document in documents:
        stream += tokenizer(full_text(document), add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        stream.append(tokenizer.eos_token_id)
    cut = (stream[at : at + length] for at in range(0, len(stream), length))
    return [
        TokenisedExample((), tuple(ids), f"window-{number}")
        for number, ids in enumerate(cut, start=1)
        if len(ids) > 1
    ]
