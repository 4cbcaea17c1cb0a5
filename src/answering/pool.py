"""Pool: what is open in memory (weights, clients of endpoints, embedders), between sessions.

Each opening is metered once, so that it can be charged to every run that needs it; and the work
that all of them did is booked here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..measure.accounts.endpoint_energy import with_endpoint_energy
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
from ..models.fetch import resolve, resolve_folder
from ..models.local import LocalModel
from ..models.quantization import warm_up
from ..models.remote import RemoteModel
from ..models.served import Served
from ..ranks import Ranks
from ..stages import StageStore
from ..system import ClassicalSystem, Decoding, EndpointSystem, LocalSystem, ModelRef, System
from .responses import Recalled, ResponseCache

if TYPE_CHECKING:
    from pathlib import Path

    from ..models.embedder import Embedder


Opened = LocalModel | RemoteModel | ClassicalModel


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
    ) -> None:
        self.stages, self.meter, self.seed, self.responses = stages, meter, seed, responses
        self.loads: dict[str, Phase] = {}
        self._model: tuple[str, Opened] | None = None
        self._embedders: dict[str, Embedder] = {}
        self.accounts: list[Account | Served | SparseAccount] = []
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
        """An embedder by its name, opened once."""
        if name not in self._embedders:
            from ..models.embedder import Embedder

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
        tallies = tuple(account.tally for account in self.accounts)
        replies = self.responses.mark() if self.responses is not None else 0
        return Mark(tallies, transferred_bytes(), replies)

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
        """The replies that were taken from the cache since `mark`, with what they first cost; none
        where there is no cache. Not to be asked within a metered phase, as `work_since`."""
        return self.responses.recalled_since(mark.replies) if self.responses else Recalled()

    def with_endpoints(self, phase: Phase, mark: Mark) -> Phase:
        """`phase` with the energy of a managed endpoint, modelled from its tokens since `mark`."""
        before = itertools.chain(mark.tallies, itertools.repeat(Tally()))
        for account, tally in zip(self.accounts, before, strict=False):
            if isinstance(account, Served) and account.managed and account.tally != tally:
                work = account.work(tally)
                phase = with_endpoint_energy(phase, work.tokens_in, work.tokens_out, account.energy)
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
        keys += [s.embedder for s in system.sources if s.type in ("index", "nearest_shots")]
        return [key for key in dict.fromkeys(keys) if key in self.loads]

    def close(self) -> None:
        """Free everything."""
        self.drop_model()
        self._embedders.clear()
        if self.responses is not None:
            self.responses.close()
        release_memory()
