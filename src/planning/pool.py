"""The pool of a plan: what is open are models that weigh nothing, and stand-ins for embedders.

The same `Session`, `Sources` and strategies ask it as they ask the real one. An embedder's stand-in
cuts texts with the real tokenizer and tallies the passes; its vectors count letters, so that what
is near is about the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..answering.pool import Pool, model_folder
from ..measure.memory import available_memory_bytes
from ..measure.meter import Meter
from ..models.classical import ClassicalModel
from ..models.devices import preferred_device, preferred_dtype
from ..models.fetch import resolve
from ..models.loading import open_tokenizer, tokenizer_folder
from ..stages import StageStore
from ..system import ClassicalSystem, EndpointSystem, LocalSystem, System
from .embedding import PlannedEmbedder, planned_embedder
from .lengths import Lengths, Taught
from .planned import NotPlanned
from .remote import PlannedEndpoint
from .skeletons import bare_model
from .weightless import Account3, Ways, WeightlessModel

if TYPE_CHECKING:
    from ..models.embedder import Embedder
    from ..models.langchain_store import LangchainStore
    from ..models.reranker import Reranker

Mark3 = tuple[Ways, ...]


class PlannedPool(Pool):
    """Weightless models by their weights' keys; `skeletons` are those that stages will make, by
    their keys.

    `lengths` and `taught` are set for each run. `dry_s` are seconds that planning itself took where
    a run would compute something else.
    """

    def __init__(self, stages: StageStore) -> None:
        super().__init__(stages, Meter())
        self.skeletons: dict[str, Any] = {}
        self.lengths = Lengths({}, {})
        self.taught: Taught = "plain"
        self.dry_s = 0.0
        self.planned: list[Account3] = []
        self._weightless: dict[tuple[str, ...], WeightlessModel] = {}
        self._vectors: dict[str, PlannedEmbedder] = {}

    def model(self, system: System) -> Any:
        """A model that weighs nothing, with what is known of the run's answers."""
        with self.in_place_of_work():
            return self._opened(system)

    def _opened(self, system: System) -> Any:
        key = system.weights_key()
        if isinstance(system, ClassicalSystem):
            return self._classical(system)
        if isinstance(system, EndpointSystem):
            return self._endpoint(system)
        if key not in self._weightless:
            own = self.stages.folder(system.weights) if system.weights else None
            device = preferred_device()
            model = self.skeleton(system)
            made = WeightlessModel(
                model,
                open_tokenizer(tokenizer_folder(model_folder(system.model), own)),
                self.lengths,
                device=device,
                itemsize=4 if preferred_dtype(device) == "float32" else 2,
                free_bytes=available_memory_bytes(),
            )
            self.planned.append(made.account)
            self._weightless[key] = made
        opened = self._weightless[key]
        opened.lengths, opened.taught = self.lengths, self.taught
        return _Timed(opened, self)

    def skeleton(self, system: LocalSystem) -> Any:
        """The structure of what answers, without weights: adapters are merged, but for learnt
        prompts."""
        for adapter in reversed(system.adapters):
            if (kept := self.skeletons.get(adapter.key)) is not None:
                return kept
        if system.weights is not None and system.weights.key in self.skeletons:
            return self.skeletons[system.weights.key]
        key = f"base/{system.model.revision}"
        if key not in self.skeletons:
            self.skeletons[key] = bare_model(model_folder(system.model))
        return self.skeletons[key]

    def weightless(self, system: System) -> WeightlessModel | None:
        """The model of a System that was asked; None where it is not one of this machine."""
        return self._weightless.get(system.weights_key())

    def _classical(self, system: ClassicalSystem) -> Any:
        key = "/".join(system.weights_key())
        if self._model is None or self._model[0] != key:
            self._model = (key, ClassicalModel.open(self.stages.folder(system.stage)))
        return self._model[1]

    def _endpoint(self, system: EndpointSystem) -> Any:
        key = system.weights_key()
        if key not in self._weightless:
            made = PlannedEndpoint(system.endpoint, self.lengths)
            self.planned.append(made.account)
            self._weightless[key] = made  # type: ignore[assignment]
        opened: Any = self._weightless[key]
        opened.lengths, opened.taught = self.lengths, self.taught
        return _Timed(opened, self)

    def embedder(self, name: str) -> Embedder:
        """A stand-in, or a static embedder itself: looking up costs next to nothing."""
        if name not in self._vectors:
            made = planned_embedder(resolve(name, kind="embedder"))
            self._vectors[name] = made
            self.planned.append(made.planned)
        self._vectors[name].pool = self
        return self._vectors[name]

    def reranker(self, name: str) -> Reranker:
        """`NotPlanned`: what a cross-encoder reads depends on what is found."""
        raise NotPlanned(f"what the reranker {name} will read is not planned yet")

    def store(self, name: str) -> LangchainStore:
        """`NotPlanned`: what a store will give is not known before it is asked."""
        raise NotPlanned(
            f"{name} is a LangChain store, and what it will give is not known before it is asked"
        )

    def marks(self) -> Mark3:
        """A moment, for `since`."""
        return tuple(account.ways for account in self.planned)

    def since(self, mark: Mark3) -> list[tuple[Account3, Ways]]:
        """What each model would have done since a moment."""
        found = []
        for number, account in enumerate(self.planned):
            before = mark[number] if number < len(mark) else Ways()
            done = account.ways.minus(before)
            if done != Ways():
                found.append((account, done))
        return found

    @contextmanager
    def in_place_of_work(self) -> Iterator[None]:
        """What runs within stands for something that costs another time."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.dry_s += time.perf_counter() - began


class _Timed:
    """A weightless model whose own time is not taken for the run's."""

    def __init__(self, model: Any, pool: PlannedPool) -> None:
        self._model, self._pool = model, pool

    def generate(self, *args: Any, **named: Any) -> Sequence[Any]:
        """As the model does."""
        import torch

        with self._pool.in_place_of_work(), torch.inference_mode():
            made: Sequence[Any] = self._model.generate(*args, **named)
        return made
