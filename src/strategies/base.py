"""Strategy: one step of customisation, from System to System.

    prepare(system, ctx) = attach(system, the stage that build made)

`build` is the expensive part: it writes files into a stage folder, once for all runs that need the
same stage. `attach` is the cheap part: it returns the System that uses them. What a stage depends
on is declared in `reads`; the spine hashes exactly that, so `[lora]` and `[lora, tree_rag]` share
one training, and `rag` and `tree_rag` one index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from ..effort import Effort
from ..measure.refresh import How
from ..ranks import Ranks
from ..stages import StageRef
from ..system import System
from ..tasks.task import Task
from ..values import Value

if TYPE_CHECKING:
    from ..answering.session import Session
    from ..models.embedder import Embedder
    from ..models.langchain_store import LangchainStore

Part = Literal[
    "system",
    "decoding",
    "train",
    "validation",
    "documents",
    "hierarchy",
    "seed",
    "machine",
    "scoring",
]
"""What a stage can depend on. ``system``: the incoming one, but for its decoding; ``machine``:
precision, kind of device and number of processes; ``scoring``: the task's metrics, in order."""


class Progress(Protocol):
    """Told how far a piece of work is: `done` of `total` steps of `what`. With a `total` of 0
    `what` is a remark that stays."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Stage:
    """A finished stage: its reference for the System, its folder for `attach`."""

    ref: StageRef
    folder: Path


@dataclass(frozen=True)
class Previous:
    """What a step had made before the task was revised: `system` as it was after the step, the
    `folder` of its stage, the `task` of then (without test split), and the stage's `inputs`: all
    that determined it."""

    system: System
    folder: Path
    task: Task
    inputs: dict[str, Any]

    @property
    def key(self) -> str:
        """The key of its stage."""
        return self.folder.name


@dataclass(frozen=True)
class Context:
    """All that a step may use.

    `task` has no test split. `workdir` is the stage folder being built. `open` gives a pooled
    Session of a System, `embedder` a pooled embedder, `store` a pooled LangChain store by the name
    of its factory, `stage` the finished stage of a strategy,
    `fold` prepares further strategies for a strategy that holds some. `details` is copied into
    the Record. What `build` keeps in `effort.folder` outlives it when it is killed. `hold` says why
    to pause now, or "". `ranks` are the processes that take part in this step. `previous` is there
    where the task was revised and the step's `refreshes` says "updated".
    """

    task: Task
    seed: int
    workdir: Path
    open: Callable[[System], Session]
    embedder: Callable[[str], Embedder]
    store: Callable[[str], LangchainStore]
    stage: Callable[[Strategy, System], Stage]
    fold: Callable[[System, Sequence[Strategy]], System]
    progress: Progress
    details: dict[str, Any]
    effort: Effort
    hold: Callable[[], str]
    ranks: Ranks
    previous: Previous | None = None


class Strategy(Value):
    """A frozen, validated configuration; subclasses carry a `type` tag.

    Raise `version` when the same configuration would build something else than before.
    """

    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[Part]] = frozenset()
    settings_that_build: ClassVar[frozenset[str] | None] = None
    """The fields that `build` depends on; None means all of them."""
    distributed: ClassVar[bool] = False
    """Whether all processes of a launch build together. Otherwise the main one builds alone; only
    it ever writes into `ctx.workdir`."""

    type: str

    def identity(self) -> dict[str, Any]:
        """What makes the step this one, for hashing: settings and version, models by revision."""
        return {**self.plain(), "version": self.version}

    def depends_on(self) -> frozenset[Part]:
        """What this configuration's stage depends on: all of `reads`, or less."""
        return self.reads

    def check(self, system: System, task: Task, before: Sequence[Strategy]) -> None:
        """Raise `CannotRun` where it is known before anything is built that this cannot be done.

        `system` is as the steps `before` will leave it, with stages that may not be there yet.
        """

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        """What to do with the stage of an older task, something that it reads having changed: keep
        it, let `build` update it (`ctx.previous`), or build anew."""
        return "rebuilt"

    def prepare(self, system: System, ctx: Context) -> System:
        """The customised System; what is expensive is built once and found again later."""
        return self.attach(system, ctx.stage(self, system))

    def warm_up(self, system: System, ctx: Context) -> None:
        """Import and open what `build` needs, before it is metered: a process pays that once."""

    def build(self, system: System, ctx: Context) -> None:
        """Write what the stage is made of into `ctx.workdir`."""
        raise NotImplementedError

    def attach(self, system: System, stage: Stage) -> System:
        """The System that uses the finished stage."""
        raise NotImplementedError
