"""Pool: what is open in memory (weights, clients of endpoints, embedders), between sessions.

Each opening is metered once, so that it can be charged to every run that needs it; and the work
that all of them did is booked here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..measure.memory import available_memory_bytes, release_memory
from ..measure.meter import Meter
from ..measure.network import transferred_bytes
from ..measure.record import Phase
from ..measure.work import NO_WORK, Mark, Tally, Work
from ..models.account import Account
from ..models.adapters import check_base
from ..models.classical import ClassicalModel, SparseAccount
from ..models.classical import warm_up as import_classical
from ..models.endpoint import remote_kind
from ..models.fetch import resolve
from ..models.local import LocalModel
from ..models.quantization import warm_up
from ..models.remote import RemoteModel
from ..models.served import Served
from ..ranks import Ranks
from ..stages import StageStore
from ..system import ClassicalSystem, Decoding, EndpointSystem, LocalSystem, ModelRef, System
from .first_costs import Recalled
from .responses import ResponseCache
from .vectors import CachedEmbedder, VectorCache

if TYPE_CHECKING:
    from pathlib import Path

    from ..models.embedder import Embedder
    from ..models.langchain_store import LangchainStore
    from ..models.reranker import Reranker


Opened = LocalModel | RemoteModel | ClassicalModel
Booked = Account | Served | SparseAccount


def model_folder(model: ModelRef) -> Path:
    """Where the weights of a System lie; `ModelError` if they are no longer those it names."""
    found = resolve(model.name, kind="causal_lm")
    if found.revision != model.revision:
        raise ModelError(
            f"{model.name} has revision {found.revision} now and {model.revision} is wanted; run "
            "the recipe again to use the new weights"
        )
    return found.folder


def _base_key(system: System) -> str:
    """Equal for Systems that share what is open, whatever adapters it wears."""
    parts = system.weights_key()
    return parts[0] if isinstance(system, LocalSystem) else "/".join(parts)


def _worn_key(system: System) -> str:
    """The same, of putting the System's adapters on; it ends in a stroke where it has none."""
    base, *adapters = system.weights_key()
    return f"{base}/{'/'.join(adapters)}"


class Pool:
    """Open weights and embedders. One set of weights at a time: memory is what runs out first.

    Adapters come and go on one base, which is not read anew. So what a System's opening costs is
    its base's and that of putting its adapters on.
    """

    def __init__(
        self,
        stages: StageStore,
        meter: Meter,
        seed: int = 0,
        responses: ResponseCache | None = None,
        vectors: VectorCache | None = None,
    ) -> None:
        self.stages, self.meter, self.seed, self.responses = stages, meter, seed, responses
        self.vectors = vectors
        self.loads: dict[str, Phase] = {}
        self._model: tuple[str, Opened] | None = None
        self._embedders: dict[str, Embedder] = {}
        self._rerankers: dict[str, Reranker] = {}
        self._stores: dict[str, LangchainStore] = {}
        self.accounts: list[Booked] = []
        self._warm = False

    def model(self, system: System) -> Opened:
        """What the System is answered with, opened unless it is in memory: its weights with its
        adapters on, the client of its endpoint, or its classifier."""
        key = _base_key(system)
        adapters: tuple[Path, ...] = ()
        if isinstance(system, LocalSystem):
            adapters = tuple(self.stages.folder(adapter) for adapter in system.adapters)
        opened = self._model[1] if self._model is not None and self._model[0] == key else None
        if isinstance(opened, LocalModel) and opened.adapters != adapters and not opened.adaptable:
            opened = None  # memory did not suffice to keep what the adapters on it changed
        if opened is None:
            self.drop_model()
            opened = self._open(system, key)
        if isinstance(opened, LocalModel) and opened.adapters != adapters:
            self._adapt(opened, adapters, system)
        return opened

    def _open(self, system: System, key: str) -> Opened:
        """What the System is answered with, without adapters; metered and booked."""
        opened: Opened
        if isinstance(system, EndpointSystem):
            kind = remote_kind(system.endpoint)
            with self.meter.phase("load") as phase:
                opened = kind(system.endpoint)
        elif isinstance(system, ClassicalSystem):
            import_classical()
            with self.meter.phase("load") as phase:
                opened = ClassicalModel.open(self.stages.folder(system.stage))
        else:
            folder = model_folder(system.model)
            if not self._warm:
                # The libraries import their code for a model when they first open and run one;
                # a process pays for that once, and no run is charged for it.
                with LocalModel.open(folder, available_bytes=available_memory_bytes()) as first:
                    first.generate(
                        [[{"role": "user", "content": "Hello"}]] * 2, Decoding(max_tokens=2)
                    )
                self._warm = True
            if system.quantization is not None:
                warm_up(system.quantization)
            with self.meter.phase("load") as phase:
                opened = LocalModel.open(
                    folder,
                    weights=self.stages.folder(system.weights) if system.weights else None,
                    available_bytes=available_memory_bytes(),
                )
        self.accounts.append(opened.account)
        self._model = (key, opened)
        self.loads[key] = phase.result
        return opened

    def _adapt(self, opened: LocalModel, adapters: tuple[Path, ...], system: System) -> None:
        """Let the open weights wear these adapters and no others; metered and booked.

        To take adapters off is spent, and no System's bill: who opens the base alone need not.
        """
        for adapter in adapters:  # imports PEFT, which a process pays for once
            check_base(adapter, system.revision)
        try:
            with self.meter.phase("load") as phase:
                opened.adapt(adapters)
        except BaseException:  # they may be half on
            self.drop_model()
            raise
        if opened.account not in self.accounts:
            self.accounts.append(opened.account)
        self.loads[_worn_key(system)] = phase.result

    def drop_model(self) -> None:
        """Free the weights in memory, before others are loaded or trained."""
        if self._model is not None:
            self._model[1].close()
            self._model = None
        release_memory()

    def embedder(self, name: str) -> Embedder:
        """An embedder by its name, opened once; what it made of documents before is found again,
        where there is a cache."""
        if name not in self._embedders:
            from ..models.embedder import open_embedder

            found = resolve(name, kind="embedder")
            if not self._embedders:  # as above: import first, meter then
                with open_embedder(found) as first:
                    first.encode_queries(["Hello"])
            with self.meter.phase("load") as phase:
                opened = open_embedder(found)
            account = opened.account
            if self.vectors is not None:
                if isinstance(account, Account):
                    _ = account.costs  # counted now, not in the phase of the first vectors
                opened = CachedEmbedder(opened, found.revision, self.vectors, self.meter)
            self._embedders[name] = opened
            self.accounts.append(account)
            self.loads[name] = phase.result
        return self._embedders[name]

    def reranker(self, name: str) -> Reranker:
        """A cross-encoder by its name, opened once; metered and booked as an embedder."""
        if name not in self._rerankers:
            from ..models.reranker import Reranker

            folder = resolve(name).folder
            if not self._rerankers:  # as above: import first, meter then
                with Reranker.open(folder) as first:
                    first.score([("Hello", "Hello")])
            with self.meter.phase("load") as phase:
                self._rerankers[name] = Reranker.open(folder)
            self.accounts.append(self._rerankers[name].account)
            self.loads[name] = phase.result
        return self._rerankers[name]

    def store(self, name: str) -> LangchainStore:
        """A LangChain store by its factory's name, opened once; metered and booked as above."""
        if name not in self._stores:
            from ..models.langchain_store import LangchainStore, import_store

            import_store(name)
            with self.meter.phase("load") as phase:
                self._stores[name] = LangchainStore(name)
            self.accounts.append(self._stores[name].account)
            self.loads[name] = phase.result
        return self._stores[name]

    def mark(self) -> Mark:
        """How much work was done until now, for `work_since`."""
        tallies = tuple(account.tally for account in self.accounts)
        replies = self.responses.mark() if self.responses is not None else 0
        vectors = self.vectors.mark() if self.vectors is not None else 0
        return Mark(tallies, transferred_bytes(), replies, vectors)

    def work_since(self, mark: Mark) -> Work:
        """The work that all models, embedders and trainings did since `mark`.

        Not to be asked within a metered phase: the first time it counts, which takes seconds.
        """
        now = transferred_bytes()
        before = itertools.chain(mark.tallies, itertools.repeat(Tally()))
        done = (account.work(tally) for account, tally in zip(self.accounts, before, strict=False))
        moved = 0 if now is None or mark.network_bytes is None else now - mark.network_bytes
        return sum(done, NO_WORK).model_copy(update={"bytes_transferred": max(0, moved)})

    def work_of_all(self, mark: Mark, ranks: Ranks) -> Work:
        """As `work_since`, of all processes together, which all ask; the network of each machine
        counts once."""

        def mine() -> Work:
            work = self.work_since(mark)
            return work if ranks.measures else work.model_copy(update={"bytes_transferred": 0})

        return sum(ranks.each(mine), NO_WORK)

    def recalled_since(self, mark: Mark) -> Recalled:
        """The replies and vectors that were taken from the caches since `mark`, with what they
        first cost; none where there is no cache. Not to be asked within a metered phase, as
        `work_since`."""
        found = self.responses.recalled_since(mark.replies) if self.responses else Recalled()
        return found.beside(self.vectors.recalled_since(mark.vectors)) if self.vectors else found

    def with_endpoints(self, phase: Phase, mark: Mark) -> Phase:
        """`phase` with the energy of a managed endpoint, modelled from its tokens since `mark`."""
        before = itertools.chain(mark.tallies, itertools.repeat(Tally()))
        for account, tally in zip(self.accounts, before, strict=False):
            if isinstance(account, Served):
                phase = account.billed(phase, tally)
        return phase

    def served(self) -> Counter[str]:
        """How all requests to endpoints went until now; see `plain_counts`."""
        counts = (account.counts for account in self.accounts if isinstance(account, Served))
        return sum(counts, Counter())

    def loads_of(self, system: System) -> list[str]:
        """The openings this System answers with, by their keys in `loads`, whenever they were."""
        keys = [_base_key(system)]
        if isinstance(system, LocalSystem) and system.adapters:
            keys.append(_worn_key(system))
        for source in system.sources:
            if source.type in ("index", "nearest_shots", "summary") and source.embedder is not None:
                keys.append(source.embedder)
            if source.type == "index" and source.search.reranker is not None:
                keys.append(source.search.reranker)
            if source.type == "langchain":
                keys += [source.factory, source.filling]
        return [key for key in dict.fromkeys(keys) if key in self.loads]

    def close(self) -> None:
        """Free everything."""
        self.drop_model()
        self._embedders.clear()
        self._rerankers.clear()
        self._stores.clear()
        for cache in (self.responses, self.vectors):
            if cache is not None:
                cache.close()
        release_memory()
