"""Session: a System opened in memory. The only place where answering weights live.

`Pool` keeps what is open (weights, embedders) between sessions, meters each opening once, and so
can charge it to every run that needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError
from .measure.memory import available_memory_bytes, release_memory
from .measure.meter import Meter
from .measure.network import transferred_bytes
from .measure.record import Phase
from .measure.work import NO_WORK, Mark, Tally, Work
from .models.account import Account
from .models.chat import chat_ids
from .models.devices import preferred_device, preferred_dtype
from .models.fetch import resolve, resolve_folder
from .models.local import LocalModel, open_tokenizer
from .models.quiet import quiet_transformers
from .prompt import Message, Passage
from .stages import StageStore
from .system import IndexSource, ModelRef, System, TreeSource
from .tasks.task import Example
from .values import Value

if TYPE_CHECKING:
    from .models.embedder import Embedder
    from .models.generation import Generation

Told = Callable[[int, int], None]
"""Told how many of how many questions are answered."""


class Answer(Value):
    """What a System said, the passages it was given, and the tokens read, written and reused."""

    text: str
    passages: tuple[Passage, ...] = ()
    tokens_in: int
    tokens_out: int
    tokens_reused: int = 0


@dataclass(frozen=True)
class Rendered:
    """One question as the model is asked it."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]


def model_folder(model: ModelRef) -> Path:
    """Where the weights of a System lie; `ModelError` if they are no longer those it names."""
    found = resolve(model.name, kind="causal_lm")
    if found.revision != model.revision:
        raise ModelError(
            f"{model.name} has revision {found.revision} now and {model.revision} is wanted; run "
            "the recipe again to use the new weights"
        )
    return found.folder


class Pool:
    """Open weights and embedders. One set of weights at a time: memory is what runs out first."""

    def __init__(self, stages: StageStore, meter: Meter, seed: int = 0) -> None:
        self.stages, self.meter, self.seed = stages, meter, seed
        self.loads: dict[str, Phase] = {}
        self._model: tuple[str, LocalModel] | None = None
        self._embedders: dict[str, Embedder] = {}
        self.accounts: list[Account] = []
        self._warm = False

    def open(self, system: System) -> Session:
        """A Session; weights are loaded when it first answers."""
        return Session(system, self)

    def model(self, system: System) -> LocalModel:
        """The System's weights, loaded unless they are those in memory."""
        key = "/".join(system.weights_key())
        if self._model is None or self._model[0] != key:
            self.drop_model()
            folder = model_folder(system.model)
            if not self._warm:
                # The libraries import their code for a model when they first open and run one;
                # a process pays for that once, and no run is charged for it.
                with LocalModel.open(folder, available_bytes=available_memory_bytes()) as first:
                    first.generate([[{"role": "user", "content": "Hello"}]] * 2, max_tokens=2)
                self._warm = True
            with self.meter.phase("load") as phase:
                opened = LocalModel.open(
                    folder,
                    weights=self.stages.folder(system.weights) if system.weights else None,
                    adapters=[self.stages.folder(adapter) for adapter in system.adapters],
                    available_bytes=available_memory_bytes(),
                )
            self.accounts.append(opened.account)
            self._model = (key, opened)
            self.loads[key] = phase.result
        return self._model[1]

    def drop_model(self) -> None:
        """Free the weights in memory, before others are loaded or trained."""
        if self._model is not None:
            self._model[1].close()
            self._model = None
        release_memory()

    def embedder(self, name: str) -> Embedder:
        """An embedder by its name, opened once."""
        if name not in self._embedders:
            from .models.embedder import Embedder

            folder = resolve_folder(name, kind="embedder")
            if not self._embedders:  # as above: import first, meter then
                with Embedder.open(folder) as first:
                    first.encode_queries(["Hello"])
            with self.meter.phase("load") as phase:
                self._embedders[name] = Embedder.open(folder)
            self.accounts.append(self._embedders[name].account)
            self.loads[name] = phase.result
        return self._embedders[name]

    def mark(self) -> Mark:
        """How much work was done until now, for `work_since`."""
        return Mark(tuple(account.tally for account in self.accounts), transferred_bytes())

    def work_since(self, mark: Mark) -> Work:
        """The work that all models, embedders and trainings did since `mark`.

        Not to be asked within a metered phase: the first time it counts, which takes seconds.
        """
        now = transferred_bytes()
        before = itertools.chain(mark.tallies, itertools.repeat(Tally()))
        done = (account.work(tally) for account, tally in zip(self.accounts, before, strict=False))
        moved = 0 if now is None or mark.network_bytes is None else now - mark.network_bytes
        return sum(done, NO_WORK).model_copy(update={"bytes_transferred": max(0, moved)})

    def loads_of(self, system: System) -> list[Phase]:
        """The metered openings this System answers with, whenever they happened."""
        keys = ["/".join(system.weights_key())]
        keys += [source.embedder for source in system.sources if source.type == "index"]
        return [self.loads[key] for key in dict.fromkeys(keys) if key in self.loads]

    def close(self) -> None:
        """Free everything."""
        self.drop_model()
        self._embedders.clear()
        release_memory()


class Session:
    """One System, opened: `generate` takes messages, `answer` takes questions."""

    def __init__(self, system: System, pool: Pool) -> None:
        self.system, self._pool = system, pool
        self._folder = model_folder(system.model)
        self._retrievers: list[Callable[[Sequence[str]], list[list[Passage]]]] | None = None
        self._tokenizer: Any = None

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, without its weights."""
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self._folder)
        return self._tokenizer

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the answer begins."""
        return chat_ids(self.tokenizer, messages, add_generation_prompt=True)

    def load(self) -> None:
        """Open all that answering needs: weights, index, embedder."""
        self._pool.model(self.system)
        self._open_sources()

    def render(self, examples: Sequence[Example]) -> list[Rendered]:
        """Each question with its passages and shots, as messages.

        An example is left out of its own shots, or training on it would learn to copy.
        """
        questions = [example.question for example in examples]
        found: list[list[Passage]] = [[] for _ in questions]
        for retrieve in self._open_sources():
            for passages, more in zip(found, retrieve(questions), strict=True):
                passages.extend(more)
        rendered = []
        for example, passages in zip(examples, found, strict=True):
            shots = [shot for shot in self.system.shots if shot.id != example.id]
            messages = self.system.prompt.render(
                example.question, refusal=self.system.refusal, passages=passages, shots=shots
            )
            rendered.append(Rendered(messages=tuple(messages), passages=tuple(passages)))
        return rendered

    def generate(
        self, messages: Sequence[list[Message]], progress: Callable[[int], None] | None = None
    ) -> list[Generation]:
        """What the model writes to each chat, decoded as the System says."""
        decoding = self.system.decoding
        return self._pool.model(self.system).generate(
            messages,
            max_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            stop=decoding.stop,
            seed=self._pool.seed,
            progress=progress,
        )

    def answer(
        self, questions: Sequence[Example | str], progress: Told | None = None
    ) -> list[Answer]:
        """Answers in the order of the questions."""
        examples = [
            q if isinstance(q, Example) else Example(id="", question=q, answers=())
            for q in questions
        ]
        rendered = self.render(examples)
        done = 0

        def told(more: int) -> None:
            nonlocal done
            done += more
            if progress is not None:
                progress(done, len(examples))

        generations = self.generate([list(asked.messages) for asked in rendered], told)
        return [
            Answer(
                text=made.text,
                passages=asked.passages,
                tokens_in=made.tokens_in,
                tokens_out=made.tokens_out,
                tokens_reused=made.tokens_reused,
            )
            for asked, made in zip(rendered, generations, strict=True)
        ]

    def training_model(self, *, trains_base: bool) -> tuple[Any, bool]:
        """A fresh copy of the weights to train, existing adapters merged; and whether in bfloat16.

        A base that is trained comes as float32 masters; a frozen one in the answering precision.
        """
        self._pool.drop_model()
        stages, system = self._pool.stages, self.system
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

    def book_training(self, model: Any, tally: Tally) -> None:
        """Enter what a training of `model` did, as it still stands, into the pool's work."""
        self._pool.accounts.append(Account(model, "training", tally))

    def save_weights(self, model: Any, folder: Path) -> None:
        """Write trained weights in the precision that answers, as safetensors with tokenizer."""
        import torch

        dtype = preferred_dtype(preferred_device())
        with quiet_transformers():
            model.to(getattr(torch, dtype)).save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))

    def _open_sources(self) -> list[Callable[[Sequence[str]], list[list[Passage]]]]:
        if self._retrievers is None:
            self._retrievers = []
            # The tree first: the sentence that places an entity stands before the prose about it.
            for source in sorted(self.system.sources, key=lambda source: source.type != "tree"):
                if isinstance(source, IndexSource):
                    self._retrievers.append(self._index(source))
                elif isinstance(source, TreeSource):
                    self._retrievers.append(self._tree(source))
        return self._retrievers

    def _index(self, source: IndexSource) -> Callable[[Sequence[str]], list[list[Passage]]]:
        from .rag.index import VectorIndex
        from .rag.retriever import Retriever

        embedder = self._pool.embedder(source.embedder)
        index = VectorIndex.load(self._pool.stages.folder(source.stage), embedder=source.embedder)
        retriever = Retriever(index, embedder.encode_queries)
        return lambda questions: retriever.retrieve(questions, source.k)

    def _tree(self, source: TreeSource) -> Callable[[Sequence[str]], list[list[Passage]]]:
        from .rag.entity_tree import EntityTree

        tree = EntityTree.load(self._pool.stages.folder(source.stage) / "tree.json")
        return lambda questions: [tree.describe(q, source.max_words) for q in questions]
