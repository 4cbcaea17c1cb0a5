"""Long context: whole documents in every prompt, as many as fit; what people try before RAG."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ..answering.session import Session
from ..answering.window import fitting, pasted
from ..context_sources import DocumentsSource
from ..errors import CannotRun
from ..files import write_json
from ..prompt import Passage
from ..system import EndpointSystem, System
from ..tasks.task import Example, Task
from .base import Context, Part, Stage, Strategy

RESERVE_TOKENS = 32
"""Left free of the context window: the questions to come may be longer than all that are known."""
CHARACTERS_A_TOKEN = 4
"""Of English text, as OpenAI's guide to its tokenizers says; for models whose own is not here."""


class LongContext(Strategy):
    """Paste the task's documents into every prompt, each whole or not at all, as many as fit.

    They are taken from the first on, or the shortest (in characters) first, up to the one that has
    no room. `max_tokens` bounds the tokens of their texts; without it they get what the model's
    context window (or `decoding.context_tokens`, if that is less) leaves beside the longest
    training or validation question as the incoming System asks it, and the answer.
    """

    reads: ClassVar[frozenset[Part]] = frozenset(
        {"system", "decoding", "train", "validation", "documents"}
    )

    type: Literal["long_context"] = "long_context"
    max_tokens: int | None = Field(default=None, ge=1)
    order: Literal["given", "shortest_first"] = "given"

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """The task must have documents."""
        if not task.documents:
            raise CannotRun(
                "long_context needs documents and the task has none (`documents:` of a task folder)"
            )

    def warm_up(self, system: System, ctx: Context) -> None:
        """The library of the tokenizer."""
        import transformers  # noqa: F401

    def build(self, system: System, ctx: Context) -> None:
        """Choose the documents that fit."""
        pages = list(ctx.task.documents)
        if self.order == "shortest_first":
            pages.sort(key=lambda page: len(page.text))
        documents = pasted(pages)
        texts = [page.text for page in pages]
        if isinstance(system, EndpointSystem):
            tokens = [-(-len(text) // CHARACTERS_A_TOKEN) for text in texts]
            if self.max_tokens is None:
                raise CannotRun(
                    f"{system.endpoint.name} is asked through an endpoint, whose context window is "
                    "not known here; say how many tokens of documents it is to read "
                    "(`long_context: {max_tokens: 4000}`)"
                )
        else:
            tokens = ctx.open(system).count_tokens(texts)
        if self.max_tokens is not None:
            taken = sum(total <= self.max_tokens for total in itertools.accumulate(tokens))
            room = f"long_context.max_tokens is {self.max_tokens}"
        else:
            taken, room = self._fitting(documents, tokens, system, ctx)
        if not taken:
            hint = "; try `order: shortest_first`" if self.order == "given" else ""
            first = f"{pages[0].id} has {tokens[0]} tokens"
            raise CannotRun(f"not one document fits: {first}, {room}{hint}")
        write_json(ctx.workdir / "documents.json", [page.plain() for page in pages[:taken]])
        ctx.details.update(
            documents=taken,
            documents_of=len(pages),
            tokens=sum(tokens[:taken]),
            tokens_of=sum(tokens),
        )

    def attach(self, system: System, stage: Stage) -> System:
        """Let them stand before all else that the System is given."""
        return system.with_source(DocumentsSource(stage=stage.ref))

    def _fitting(
        self, documents: list[Passage], tokens: list[int], system: System, ctx: Context
    ) -> tuple[int, str]:
        """How many documents fit the context window, and what room there is, in words."""
        # Nothing is left out here: how long a prompt would be is the question.
        free = system.decoding.model_copy(update={"context_tokens": None})
        session = ctx.open(system.model_copy(update={"decoding": free}))
        window, written = session.context_window, system.decoding.max_tokens
        bounds = [system.decoding.context_tokens, window and window - written - RESERVE_TOKENS]
        known = [bound for bound in bounds if bound is not None]
        if not known:
            return len(documents), "the model names no limit"
        longest = _longest(session, ctx)

        def prompt_tokens(count: int) -> int:
            return len(session.encode(session.render([longest], documents[:count])[0].messages))

        room = min(known) - prompt_tokens(0)
        return (
            fitting(tokens, min(known), prompt_tokens),
            f"and beside the longest question there is room for {max(0, room)}",
        )


def _longest(session: Session, ctx: Context) -> Example:
    """The training or validation question whose prompt has the most tokens."""
    known = [*ctx.task.train, *ctx.task.validation] or [Example(id="", question="", answers=())]
    lengths = [len(session.encode(one.messages)) for one in session.render(known)]
    return known[lengths.index(max(lengths))]
