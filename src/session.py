"""Session: a System opened in memory, through the pool in which answering weights live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CannotRun
from .measure.memory import available_memory_bytes
from .measure.work import Tally
from .models.account import Account
from .models.chat import chat_ids
from .models.devices import preferred_device, preferred_dtype
from .models.flops import Kind
from .models.loading import is_quantized, open_tokenizer
from .models.local import LocalModel
from .models.quiet import quiet_transformers
from .pool import Pool, model_folder
from .prompt import Message, Passage
from .system import EndpointSystem, IndexSource, System, TreeSource, with_weights
from .tasks.task import Example
from .values import Value

if TYPE_CHECKING:
    from .models.generation import Reply, Told


class Answer(Value):
    """What a System said, the passages it was given, and the tokens read, written and reused.

    Tokens are None where a server does not tell them; `failed` is why it gave no answer.
    """

    text: str
    passages: tuple[Passage, ...] = ()
    tokens_in: int | None
    tokens_out: int | None
    tokens_reused: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Rendered:
    """One question as the model is asked it."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]


class Session:
    """One System, opened: `generate` takes messages, `answer` takes questions."""

    def __init__(self, system: System, pool: Pool) -> None:
        self.system, self._pool = system, pool
        if not isinstance(system, EndpointSystem):
            self._folder = model_folder(system.model)
        self._retrievers: list[Callable[[Sequence[str]], list[list[Passage]]]] | None = None
        self._tokenizer: Any = None

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, without its weights."""
        if self._tokenizer is None:
            with_weights(self.system, "tokenising")
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
            shots = [
                shot
                for shot in self.system.shots
                if shot.id != example.id and shot.question != example.question
            ]
            messages = self.system.prompt.render(
                example.question, refusal=self.system.refusal, passages=passages, shots=shots
            )
            rendered.append(Rendered(messages=tuple(messages), passages=tuple(passages)))
        return rendered

    def generate(
        self, messages: Sequence[list[Message]], told: Told | None = None
    ) -> Sequence[Reply]:
        """What the model writes to each chat, decoded as the System says.

        `told` is called with the number of a chat and its reply as soon as that is there.
        """
        model = self._pool.model(self.system)
        return model.generate(messages, self.system.decoding, seed=self._pool.seed, told=told)

    def answer(
        self,
        questions: Sequence[Example | str],
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Answer]:
        """Answers in the order of the questions; `progress` is told how many of how many."""
        examples = [
            q if isinstance(q, Example) else Example(id="", question=q, answers=())
            for q in questions
        ]
        rendered = self.render(examples)
        done = 0

        def told(number: int, reply: Reply) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, len(examples))

        generations = self.generate([list(asked.messages) for asked in rendered], told)
        return [
            Answer(
                text=self.system.prompt.answer_in(made.text),
                passages=asked.passages,
                tokens_in=made.tokens_in,
                tokens_out=made.tokens_out,
                tokens_reused=made.tokens_reused,
                failed=made.failed,
            )
            for asked, made in zip(rendered, generations, strict=True)
        ]

    def training_model(self, *, trains_base: bool) -> tuple[Any, bool]:
        """A fresh copy of the weights to train, existing adapters merged; and whether in bfloat16.

        A base that is trained comes as float32 masters; a frozen one in the answering precision.
        `CannotRun` where the weights are quantised.
        """
        system = with_weights(self.system, "training")
        if system.quantization is not None:
            raise CannotRun(
                f"weights quantised by {system.quantization.method} cannot be trained, pruned "
                "or quantised again; put `quantize` last among the steps that change weights"
            )
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

    def book(self, model: Any, kind: Kind, tally: Tally) -> None:
        """Enter what `model` did outside of the pool, as it still stands, into the pool's work."""
        self._pool.accounts.append(Account(model, kind, tally))

    def save_weights(self, model: Any, folder: Path) -> None:
        """Write weights as safetensors with tokenizer, floats in the precision that answers."""
        import torch

        dtype = preferred_dtype(preferred_device())
        with quiet_transformers():
            if not is_quantized(model):
                model = model.to(getattr(torch, dtype))
            model.save_pretrained(str(folder))
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
