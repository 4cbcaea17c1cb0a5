"""Ranks: the processes of one launch, what each of them does, and how they agree.

    accelerate launch --num_processes 4 -m wattune run lora.yaml

    same    the main process makes it, the others wait for it     what is read, decided, written
    each    all do it, and all know what each of them got         answering its part, loading
    share   this process's part of some items; merged puts all parts together again

All meet in one kind of exchange, of "what I have" or "what went wrong with me". So a process in
which something fails is heard wherever the others wait, all raise the same error, and none waits
for one that will not come. An error that all know is not told again on its way out.

What is said goes over gloo, also where training goes over nccl: a processor waits for it without
spinning, and a process that dies is noticed at once, for its connections break.
"""

from __future__ import annotations

import atexit
import datetime
import itertools
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .errors import InputError, ProcessLost, WattuneError
from .measure.processes import Launch, launch

T = TypeVar("T")

PATIENT = datetime.timedelta(days=1)
"""How long one process waits for another: an index may take hours, and death is noticed anyway."""
IMPATIENT = datetime.timedelta(minutes=2)
"""How long a process that failed `together` waits for the others to fail as well."""


class Ranks:
    """The processes of one launch, seen from one of them; `joined` makes it.

    Without a group it is a process alone, and every method is trivial. While the main process
    makes something for all, it is alone too: nobody else is there to meet.
    """

    def __init__(self, stand: Launch | None = None, group: Any = None) -> None:
        self._launch, self._group = stand or Launch(), group
        self._alone = group is None
        self._told: Exception | None = None
        self.lost = False

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return 0 if self._alone else self._launch.rank

    @property
    def size(self) -> int:
        """How many processes there are."""
        return 1 if self._alone else self._launch.world_size

    @property
    def main(self) -> bool:
        """Whether this process decides, writes and speaks."""
        return self.rank == 0

    @property
    def measures(self) -> bool:
        """Whether this process measures its machine: the first one on it does."""
        return self._launch.measures

    def same(self, make: Callable[[], T]) -> T:
        """What the main process makes, on all; `make` is called there alone.

        An error of it is raised on all: a `WattuneError` as itself, any other as a `RuntimeError`
        that names it. What is made is sent, so it is a value and no open thing.
        """
        if self.size == 1:
            return make()
        if not self.main:
            return self._exchange(None)[0]  # type: ignore[no-any-return]

        def alone() -> T:
            self._alone = True
            try:
                return make()
            finally:
                self._alone = False

        return self.each(alone)[0]

    def each(self, do: Callable[[], T]) -> list[T]:
        """All do it; what each of them got, by rank. Errors as in `same`, the first by rank."""
        return self._met(do, PATIENT)

    def together(self, do: Callable[[], T]) -> list[T]:
        """As `each`, for work in which the processes talk to one another, such as training.

        There one that fails cannot be heard by those that wait for its numbers. It gives the
        others two minutes to fail too; if they do not, it ends, and by that they end as well.
        """
        return self._met(do, IMPATIENT)

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part: every `size`-th item, from its own number on."""
        return list(items[self.rank :: self.size])

    def merged(self, parts: Sequence[Sequence[T]]) -> list[T]:
        """The items in their order, of the parts of all processes by rank."""
        turns = itertools.zip_longest(*parts, fillvalue=_NOTHING)
        return [item for turn in turns for item in turn if item is not _NOTHING]

    def _met(self, do: Callable[[], T], patience: datetime.timedelta) -> list[T]:
        if self.size == 1:
            return [do()]
        try:
            mine = do()
        except Exception as error:
            if isinstance(error, ProcessLost) or self._is_told(error):
                raise
            self._exchange(None, error, patience)
            raise  # not reached: an exchange with an error in it raises
        return self._exchange(mine)

    def _exchange(
        self,
        mine: Any,
        error: Exception | None = None,
        patience: datetime.timedelta = PATIENT,
    ) -> list[Any]:
        """What all have, by rank; or the first error among them, raised on all."""
        from torch import distributed

        kind = type(error) if isinstance(error, WattuneError) else None
        text = "" if error is None else str(error) if kind else f"{type(error).__name__}: {error}"
        all_of_them: list[Any] = [None] * self.size
        try:
            distributed.barrier(group=self._group, async_op=True).wait(patience)
            distributed.all_gather_object(
                all_of_them, (mine, error is not None, kind, text), group=self._group
            )
        except RuntimeError as lost:
            self.lost = True
            raise ProcessLost(self._obituary(text)) from (error or lost)
        for rank, (_, failed, kind, text) in enumerate(all_of_them):
            if failed:
                if rank == self.rank and error is not None:
                    self._told = error
                else:
                    self._told = kind(text) if kind else RuntimeError(f"process {rank}: {text}")
                raise self._told
        return [mine for mine, *_ in all_of_them]

    def _is_told(self, error: BaseException | None) -> bool:
        """Whether all know this error, or the one it was made from."""
        while error is not None:
            if error is self._told:
                return True
            error = error.__cause__
        return False

    def _obituary(self, text: str) -> str:
        if text:
            return f"process {self.rank} failed while the others went on: {text}"
        return (
            f"process {self.rank} ends, for another of the {self.size} is gone; finished runs and "
            "stages are kept, the same command goes on"
        )


_NOTHING: Any = object()
_joined: dict[Launch, Ranks] = {}


def joined() -> Ranks:
    """The processes that were launched with this one, joined on the first call: it meets them all.

    Joins through accelerate's `PartialState`, which sets this process's GPU and which the trainer
    finds in place. Without a launcher nothing is imported. Raises `InputError` for a launch that
    does not fit the machine.
    """
    stand = launch()
    if stand.world_size == 1:
        return Ranks()
    if stand not in _joined:
        _joined[stand] = Ranks(stand, _group(stand))
        atexit.register(_leave)
    return _joined[stand]


def told_to_all(error: Exception) -> bool:
    """Whether all processes of this launch know this error."""
    return any(ranks._is_told(error) for ranks in _joined.values())


def _leave() -> None:
    """At the end of this process; not where others are gone, for they could be waited for."""
    from torch import distributed

    if distributed.is_initialized() and not any(ranks.lost for ranks in _joined.values()):
        distributed.destroy_process_group()


def _group(stand: Launch) -> Any:
    import torch
    from accelerate import PartialState  # type: ignore[import-untyped]

    on_gpu = torch.cuda.is_available()
    if on_gpu and stand.local_world_size > (count := torch.cuda.device_count()):
        raise InputError(
            f"{stand.local_world_size} processes on a machine of {count} GPU(s): each needs one of "
            f"its own; launch {count}, or set CUDA_VISIBLE_DEVICES= to use the processor"
        )
    _check_loading()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # accelerate's advice on threads; they are set below
        PartialState(cpu=not on_gpu, timeout=PATIENT)
    if not on_gpu:
        _use_cores(stand)
    return torch.distributed.new_group(backend="gloo", timeout=PATIENT)


def _check_loading() -> None:
    """Refuse a setting of FSDP with which transformers leaves weights empty on all but the first
    process of a machine: those that answer would answer with noise."""
    names = "ACCELERATE_USE_FSDP", "FSDP_CPU_RAM_EFFICIENT_LOADING"
    if all(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in names):
        raise InputError(
            "fsdp_cpu_ram_efficient_loading is on, which loads weights in one process only, and "
            "every process answers with its own; set it to false, as recipes/accelerate/fsdp2.yaml "
            "does"
        )


def _use_cores(stand: Launch) -> None:
    """Give each process its part of the cores. Launchers set OMP_NUM_THREADS=1 where nobody chose;
    any other number is the user's."""
    import psutil
    import torch

    if os.environ.get("OMP_NUM_THREADS", "1") == "1":
        cores = psutil.cpu_count(logical=False) or 1
        if hasattr(os, "sched_getaffinity"):
            cores = min(cores, len(os.sched_getaffinity(0)))
        torch.set_num_threads(max(1, cores // stand.local_world_size))
