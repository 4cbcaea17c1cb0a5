"""Session: a System opened in memory, through the pool in which answering weights live."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CannotRun, InputError
from ..measure.memory import available_memory_bytes
from ..measure.work import Tally
from ..models.account import Account
from ..models.chat import chat_ids
from ..models.devices import preferred_device, preferred_dtype
from ..models.flops import Kind
from ..models.generation import PromptTooLong
from ..models.loading import context_window, is_quantized, open_tokenizer, tokenizer_folder
from ..models.local import LocalModel
from ..models.quiet import quiet_transformers
from ..prompt import Message, Passage
from ..ranks import Ranks
from ..system import (
    ClassicalSystem,
    EndpointSystem,
    LocalSystem,
    System,
    with_float_weights,
    with_weights,
)
from ..tasks.task import Example
from .answer import Answer, Rendered
from .pool import Booked, Pool, model_folder
from .recall import recall
from .sources import Sources
from .voting import voted
from .window import Bound

if TYPE_CHECKING:
    from ..models.generation import Reply, Told
    from ..rag.retriever import Retriever


class Session:
    """One System, opened: `generate` takes messages, `answer` takes questions."""

    def __init__(self, system: System, pool: Pool) -> None:
        self.system, self._pool, self._responses = system, pool, pool.responses
        if isinstance(system, LocalSystem):
            self._folder = model_folder(system.model)
        elif isinstance(system, ClassicalSystem):
            system.check_alone()
        self._sources = Sources(system, pool)
        self._tokenizer: Any = None
        self._bounded: Bound | None = None

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, without its weights."""
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self._texts("tokenising"))
        return self._tokenizer

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the answer begins."""
        return chat_ids(self.tokenizer, messages, add_generation_prompt=True)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of plain texts, without special tokens."""
        made = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in made["input_ids"]]

    @property
    def context_window(self) -> int | None:
        """The most tokens of prompt and answer together; None where the model names no limit."""
        return context_window(self._texts("looking at the context window"))

    def _texts(self, step: str) -> Path:
        """Where tokenizer and context window are read; `CannotRun` for a `step` without a model."""
        weights = with_weights(self.system, step).weights
        own = self._pool.stages.folder(weights) if weights else None
        return tokenizer_folder(self._folder, own)

    def uncached(self) -> Session:
        """This session, as it is open, but the model is asked every time."""
        other = copy.copy(self)
        other._responses = None
        return other

    def load(self) -> None:
        """Open all that answering needs: weights, index, embedder."""
        self._pool.model(self.system)
        self._sources.open()

    def render(
        self,
        examples: Sequence[Example],
        documents: Sequence[Passage] = (),
        *,
        chosen: Sequence[Sequence[Passage]] | None = None,
    ) -> list[Rendered]:
        """Each question with its passages and shots, as messages; `documents` before all others,
        and `chosen` in the place of what the index would find.

        An example is left out of its own shots, or training on it would learn to copy. Passages
        that do not fit into `decoding.context_tokens` are left out; see `Bound`.
        """
        found = self._sources.passages(examples, chosen)
        shown = self._sources.shots(examples)
        bound = self._bound()
        rendered = []
        for example, retrieved, shots in zip(examples, found, shown, strict=True):
            passages = [*documents, *retrieved]
            chat = functools.partial(
                self.system.prompt.render,
                example.question,
                refusal=self.system.refusal,
                shots=shots,
                history=[Message(role=turn.role, content=turn.text) for turn in example.history],
            )
            kept = bound.kept(example.question, passages, chat) if bound else passages
            messages = chat(passages=self._sources.in_prompt(kept))
            rendered.append(Rendered(tuple(messages), tuple(kept)))
        return rendered

    @property
    def retriever(self) -> Retriever:
        """That of the System's one index of chunks, opened."""
        return self._sources.retriever

    def generate(
        self, messages: Sequence[list[Message]], told: Told | None = None
    ) -> Sequence[Reply]:
        """What the model writes to each chat, decoded as the System says; see `recall` for what it
        wrote before.

        `told` is called with the number of a chat and its reply as soon as that is there.
        """
        if self._responses is not None:
            return recall(self.system, self._pool, self._responses, messages, told)
        model = self._pool.model(self.system)
        return model.generate(messages, self.system.decoding, seed=self._pool.seed, told=told)

    def answer(
        self,
        questions: Sequence[Example | str],
        progress: Callable[[int, int], None] | None = None,
        ranks: Ranks | None = None,
    ) -> list[Answer]:
        """Answers in the order of the questions; `progress` is told how many of how many.

        Several `ranks` that all ask the same are each given a part, see `_answer_part`.
        """
        if ranks is not None and ranks.size > 1:
            return self._answer_part(questions, progress, ranks)
        asked_at = time.perf_counter()
        examples = [
            q if isinstance(q, Example) else Example(id="", question=q, answers=())
            for q in questions
        ]
        rendered = self.render(examples)
        rendering_s = time.perf_counter() - asked_at
        samples = self.system.decoding.samples
        waiting, done = [samples] * len(examples), 0

        def told(number: int, reply: Reply) -> None:
            nonlocal done
            waiting[number // samples] -= 1
            done += waiting[number // samples] == 0
            if progress is not None and waiting[number // samples] == 0:
                progress(done, len(examples))

        chats = [list(asked.messages) for asked in rendered for _ in range(samples)]
        try:
            replies = self.generate(chats, told)
        except PromptTooLong as error:
            name = examples[chats.index(list(error.chat)) // samples].id
            raise InputError(f"{error} (question {name})" if name else str(error)) from error
        elected = [
            voted(replies[at : at + samples], self.system.prompt.answer_in)
            for at in range(0, len(replies), samples)
        ]
        return [
            Answer(
                text=made.text,
                passages=asked.passages,
                tokens_in=made.tokens_in,
                tokens_out=made.tokens_out,
                tokens_reused=made.tokens_reused,
                first_token_s=(
                    None if made.first_token_s is None else rendering_s + made.first_token_s
                ),
                failed=made.failed,
                votes=votes,
            )
            for asked, (made, votes) in zip(rendered, elected, strict=True)
        ]

    def _answer_part(
        self,
        questions: Sequence[Example | str],
        progress: Callable[[int, int], None] | None,
        ranks: Ranks,
    ) -> list[Answer]:
        """All answers on all processes, each of which answers its part, with weights of its own.

        No replies are kept or found: a process does not know the joules of its machine's others.
        An endpoint is asked by the main process alone; its server shares the work out.
        """
        if isinstance(self.system, EndpointSystem):
            return ranks.same(lambda: self.answer(questions, progress))
        mine = ranks.share(questions)

        def told(done: int, of: int) -> None:
            if progress is not None:
                progress(min(done * ranks.size, len(questions)), len(questions))

        return ranks.merged(ranks.each(lambda: self.uncached().answer(mine, told) if mine else []))

    def training_model(self, *, trains_base: bool) -> tuple[Any, bool]:
        """A fresh copy of the weights to train, existing adapters merged; and whether in bfloat16.

        A base that is trained comes as float32 masters; a frozen one in the answering precision.
        `CannotRun` where the weights are quantised.
        """
        system = with_float_weights(self.system, "training")
        self._pool.drop_model()
        stages = self._pool.stages
        device = preferred_device()
        dtype = preferred_dtype(device)
        opened = LocalModel.open(
            self._folder,
            weights=stages.folder(system.weights) if system.weights else None,
            adapters=[stages.folder(adapter) for adapter in system.adapters],
            dtype="float32" if trains_base else dtype,
            device=device,
            available_bytes=available_memory_bytes(),
        )
        return opened.model, dtype == "bfloat16"

    def free(self) -> None:
        """Free the weights in memory, before others are made."""
        self._pool.drop_model()

    def book(self, model: Any, kind: Kind, tally: Tally) -> None:
        """Enter what `model` did outside of the pool, as it still stands, into the pool's work."""
        self._pool.accounts.append(Account(model, kind, tally))

    def book_account(self, account: Booked) -> None:
        """The same by an account that there is: a classifier's, an embedder's."""
        self._pool.accounts.append(account)

    def save_weights(self, model: Any, folder: Path) -> None:
        """Write weights as safetensors with tokenizer, floats in the precision that answers."""
        import torch

        dtype = preferred_dtype(preferred_device())
        with quiet_transformers():
            if not is_quantized(model):
                model = model.to(getattr(torch, dtype))
            model.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))

    def _bound(self) -> Bound | None:
        """What holds prompts to `decoding.context_tokens`, where that is set."""
        tokens = self.system.decoding.context_tokens
        if tokens is None:
            return None
        if isinstance(self.system, EndpointSystem):
            raise CannotRun(
                "decoding.context_tokens is counted by the model's tokenizer, and "
                f"{self.system.endpoint.name} is asked through an endpoint, so there is none here; "
                "leave it out, or take a model of this machine"
            )
        self._bounded = self._bounded or Bound(tokens, self.encode, self.count_tokens)
        return self._bounded
