"""Builder: a killed build is gone on with, and of several processes one decides and writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from filelock import FileLock

from wattune.answering.pool import Pool
from wattune.builder import Builder
from wattune.effort import NOTE, Noted
from wattune.errors import CannotRun
from wattune.job import Job
from wattune.measure.meter import Meter
from wattune.measure.processes import Launch
from wattune.measure.record import Bill, StageRecord
from wattune.measure.refresh import How
from wattune.ranks import Ranks
from wattune.stages import StageStore
from wattune.strategies import Context, Stage, Strategy
from wattune.strategies.base import Part, Previous, no_progress
from wattune.system import System
from wattune.tasks.task import Task


class Steps(Strategy):
    """Works in two steps, keeps a checkpoint after the first, and is killed behind that once."""

    type: Literal["steps"] = "steps"

    def build(self, system: System, ctx: Context) -> None:
        kept = ctx.effort.folder / "checkpoint.json"
        if kept.exists():
            ctx.effort.carry(Bill.model_validate_json(kept.read_text()))
            work(0.12)
        else:
            work(0.12)
            ctx.effort.note()
            kept.write_text(ctx.effort.spent().model_dump_json())
            work(0.12)
            ctx.effort.note()
            raise KeyboardInterrupt
        (ctx.workdir / "weights").write_text("whole")

    def attach(self, system: System, stage: Stage) -> System:
        return system


class Alone(Strategy):
    """Says who built it."""

    type: Literal["alone"] = "alone"
    fails: bool = False
    builders: ClassVar[list[int]] = []

    def build(self, system: System, ctx: Context) -> None:
        self.builders.append(ctx.ranks.rank)
        assert ctx.ranks.size == (2 if self.distributed else 1)
        if self.fails and ctx.ranks.main:
            raise CannotRun("too large")
        if ctx.ranks.main:
            (ctx.workdir / "weights").write_text("whole")
        ctx.effort.note()

    def attach(self, system: System, stage: Stage) -> System:
        assert (stage.folder / "weights").read_text() == "whole"
        return system


class Together(Alone):
    """Is built by all processes."""

    type: Literal["together"] = "together"  # type: ignore[assignment]
    distributed: ClassVar[bool] = True


class Followed(Together):
    """Follows the training questions, from what it had made for the older ones."""

    type: Literal["followed"] = "followed"  # type: ignore[assignment]
    reads: ClassVar[frozenset[Part]] = frozenset({"train"})

    def refreshes(self, system: System, task: Task, previous: Previous) -> How:
        return "updated"

    def build(self, system: System, ctx: Context) -> None:
        super().build(system, ctx)
        if ctx.previous is not None:
            assert (ctx.previous.folder / "weights").is_file()
            assert len(ctx.previous.task.train) > len(ctx.task.train)
            assert ctx.previous.task.test == ()
            ctx.details["older"] = ctx.previous.key


def work(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.fixture
def job(ferry: Any, base: Any) -> Callable[..., Job]:
    return lambda *steps: Job(name="it", strategies=steps, task=ferry, system=base)


def test_a_killed_build_is_gone_on_with_and_billed_once(
    runner: Any, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattune.effort.NOTE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        runner.builder.prepare(job(Steps()))
    (left,) = runner.stages.unfinished()
    carried = Bill.model_validate_json((left / "checkpoint.json").read_text())
    noted = Noted.model_validate_json((left / NOTE).read_text()).spent
    _, (record,) = runner.builder.prepare(job(Steps()))
    assert record.attributed == carried + record.spent
    assert record.details["attempts"] == 2
    lost = Bill.model_validate(record.details["lost"])
    assert lost.duration_s == pytest.approx(noted.duration_s - carried.duration_s)
    assert lost.duration_s > 0
    assert noted.energy_j is not None
    assert carried.energy_j is not None
    assert lost.energy_j == pytest.approx(noted.energy_j - carried.energy_j)
    assert runner.stages.unfinished() == []
    _, (again,) = runner.builder.prepare(job(Steps()))
    assert again == record.model_copy(update={"reused": True, "spent": Bill()})


class Threads(Ranks):
    """Two processes as two threads, which exchange over a board."""

    def __init__(self, rank: int, barrier: threading.Barrier, board: list[Any]) -> None:
        stand = Launch(rank=rank, local_rank=rank, world_size=2, local_world_size=2)
        super().__init__(stand, group=board)
        self._barrier, self._board = barrier, board

    def _exchange(self, mine: Any, error: Exception | None = None, patience: Any = None) -> Any:
        self._board[self.rank] = (mine, error)
        self._barrier.wait(30)
        met = list(self._board)
        self._barrier.wait(30)
        for _, failed in met:
            if failed is not None:
                self._told = failed
                raise failed
        return [mine for mine, _ in met]


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[[Job], list[list[StageRecord] | Exception]]]:
    """Prepare a job on two processes, and refresh it where its task is revised; what each of them
    got last, or the error it raised."""

    def prepare(job: Job) -> list[list[StageRecord] | Exception]:
        barrier, board = threading.Barrier(2), [None, None]
        got: list[Any] = [None, None]

        def process(rank: int) -> None:
            stages = StageStore(tmp_path / "stages")
            with Meter() as meter:
                ranks = Threads(rank, barrier, board)
                builder = Builder(meter, Pool(stages, meter), stages, no_progress, ranks=ranks)
                try:
                    got[rank] = builder.prepare(job)[1]
                    if job.revision is not None:
                        got[rank] = builder.refresh()[1]
                except CannotRun as error:
                    got[rank] = error

        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return got

    Alone.builders.clear()
    yield prepare
    Alone.builders.clear()


@pytest.mark.parametrize(("step", "builders"), [(Alone(), [0]), (Together(), [0, 1])])
def test_the_main_process_alone_locks_and_writes(
    launched: Callable[[Job], list[Any]],
    job: Callable[..., Job],
    step: Strategy,
    builders: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    locked: list[Any] = []
    acquire = FileLock.acquire

    def watched(self: FileLock, *args: Any, **more: Any) -> Any:
        locked.append(self.lock_file)
        return acquire(self, *args, **more)

    monkeypatch.setattr(FileLock, "acquire", watched)
    (main,), (other,) = launched(job(step))
    assert other == main.model_copy(update={"spent": other.spent})  # each tells of itself
    assert sorted(Alone.builders) == builders
    assert len(locked) == 1
    assert [path.name for path in (tmp_path / "stages").iterdir() if path.is_dir()] == [main.key]
    found, also = launched(job(step))
    assert found == also == [main.model_copy(update={"reused": True, "spent": Bill()})]
    assert sorted(Alone.builders) == builders


@pytest.mark.parametrize("kind", [Alone, Together])
def test_an_error_of_the_main_process_is_raised_on_all(
    launched: Callable[[Job], list[Any]], job: Callable[..., Job], kind: type[Alone]
) -> None:
    errors = launched(job(kind(fails=True)))
    assert [str(error) for error in errors] == ["too large"] * 2


def test_all_processes_are_given_what_a_step_had_made_before(
    launched: Callable[[Job], list[Any]], job: Callable[..., Job], tmp_path: Path
) -> None:
    first = job(Followed())
    (one,), (other,) = launched(replace(first, revision=replace(first.task, train=())))
    assert sorted(Alone.builders) == [0, 0, 1, 1]
    assert one.how == other.how == "updated"
    assert one.key == other.key != one.details["older"]
    stages = StageStore(tmp_path / "stages")
    manifest = stages.manifest(one.key)
    assert manifest is not None
    assert manifest.inputs["previous"] == one.details["older"]
