"""Who is charged with what: exact arithmetic on a machine whose clock stands still by itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from wattune.measure.record import Phase


def elsewhere(call: Callable[[], Any]) -> None:
    """Run in a thread of its own, to the end."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def figures(phase: Phase) -> tuple[float, float | None, float | None, float | None]:
    """Seconds and joules: inclusive, exclusive."""
    return (
        phase.duration_s,
        phase.energy_j,
        phase.exclusive_duration_s,
        phase.exclusive_energy_j,
    )


def test_a_phase_within_is_left_out_of_the_exclusive_figures(world: Any) -> None:
    meter = world.meter()
    with meter.phase("outer") as outer:
        world.go(1)  # 13 W
        with meter.phase("inner") as inner:
            world.go(2, cpu=20)  # 23 W
        world.go(4, cpu=10)
    assert figures(inner.result) == pytest.approx((2, 46, 2, 46))
    assert figures(outer.result) == pytest.approx((7, 13 + 46 + 52, 5, 65))
    assert (outer.result.parent, inner.result.parent) == (None, "outer")
    assert not outer.result.overlapped
    assert not inner.result.overlapped
    assert figures(meter.total()) == pytest.approx((7, 111, 7, 111))
    assert meter.phases == {"outer": outer.result, "inner": inner.result}


def test_time_between_phases_is_nobodys(world: Any) -> None:
    meter = world.meter()
    with meter.phase("one"):
        world.go(1)
    world.go(100)
    with meter.phase("two"):
        world.go(2)
    assert figures(meter.total()) == pytest.approx((3, 39, 3, 39))


def test_phases_of_two_threads_share_equally_and_are_not_summed_twice(world: Any) -> None:
    meter = world.meter()
    other = meter.phase("other")
    with meter.phase("main") as main:
        world.go(1)
        elsewhere(other.__enter__)
        world.go(2)
    world.go(3)
    elsewhere(lambda: other.__exit__(None, None, None))
    assert figures(main.result) == pytest.approx((3, 39, 2, 26))
    assert figures(other.result) == pytest.approx((5, 65, 4, 52))
    assert main.result.overlapped
    assert other.result.overlapped
    assert other.result.parent is None  # a new thread knows nothing of its maker's phase
    assert figures(meter.total()) == pytest.approx((6, 78, 6, 78))


def test_a_copied_context_and_a_task_have_the_phase_as_parent(world: Any) -> None:
    meter = world.meter()

    def work(name: str) -> None:
        with meter.phase(name):
            world.go(1)

    async def task(name: str, turn: asyncio.Event, done: asyncio.Event) -> None:
        with meter.phase(name):
            world.go(1)
            done.set()
            await turn.wait()

    async def both() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        tasks = [
            asyncio.create_task(task("task 1", second, first)),
            asyncio.create_task(task("task 2", first, second)),
        ]
        await asyncio.gather(*tasks)

    with meter.phase("outer") as outer:
        context = contextvars.copy_context()
        elsewhere(lambda: context.run(work, "thread"))
        asyncio.run(both())
    late = meter.phase("late")
    context.run(late.__enter__)  # its "outer" is closed by now
    context.run(late.__exit__, None, None, None)
    assert {name: phase.parent for name, phase in meter.phases.items()} == {
        "outer": None, "thread": "outer", "task 1": "outer", "task 2": "outer", "late": None,
    }  # fmt: skip
    assert meter.phases["task 1"].overlapped
    assert not outer.result.overlapped
    assert outer.result.exclusive_duration_s == 0.0
    assert outer.result.exclusive_energy_j == 0.0
    assert meter.phases["thread"].exclusive_energy_j == pytest.approx(13)


def test_a_name_open_several_times_counts_once(world: Any) -> None:
    meter = world.meter()

    def recurse(depth: int) -> None:
        with meter.phase("f"):
            world.go(1)
            if depth:
                recurse(depth - 1)

    recurse(3)
    assert figures(meter.phases["f"]) == pytest.approx((4, 52, 4, 52))
    assert meter.phases["f"].repeats == 4
    assert meter.phases["f"].parent is None
    assert not meter.phases["f"].overlapped
    other = meter.phase("f")
    with meter.phase("f") as first:
        world.go(1)
        elsewhere(other.__enter__)
        world.go(1)
    assert figures(meter.phases["f"]) == pytest.approx((6, 78, 6, 78))  # as of the last close
    world.go(1)
    other.__exit__(None, None, None)
    assert figures(first.result) == pytest.approx((2, 26, 1.5, 19.5))
    assert figures(other.result) == pytest.approx((2, 26, 1.5, 19.5))
    assert figures(meter.phases["f"]) == pytest.approx((7, 91, 7, 91))
    assert meter.phases["f"].overlapped
    assert meter.phases["f"].repeats == 6


def test_closed_out_of_order(world: Any) -> None:
    meter = world.meter()
    outer, inner = meter.phase("outer"), meter.phase("inner")
    outer.__enter__()
    inner.__enter__()
    world.go(1)
    outer.__exit__(None, None, None)
    with meter.phase("within inner"):
        world.go(1)
    world.go(1)
    inner.__exit__(None, None, None)
    with meter.phase("after"):
        world.go(1)
    assert figures(outer.result) == pytest.approx((1, 13, 0, 0))
    assert figures(inner.result) == pytest.approx((3, 39, 2, 26))
    assert meter.phases["within inner"].parent == "inner"
    assert meter.phases["after"].parent is None
    assert figures(meter.total()) == pytest.approx((4, 52, 4, 52))


def test_begun_in_one_thread_and_ended_in_another(world: Any) -> None:
    meter = world.meter()
    handle = meter.phase("moving")
    elsewhere(handle.__enter__)
    world.go(1)
    handle.__exit__(None, None, None)
    handle.__exit__(None, None, None)  # twice changes nothing
    assert figures(handle.result) == pytest.approx((1, 13, 1, 13))
    here = meter.phase("here")
    here.__enter__()
    elsewhere(lambda: here.__exit__(None, None, None))
    with meter.phase("next") as following:
        world.go(1)
    assert following.result.parent is None
    assert meter.phases["moving"] == handle.result


def test_a_handle_may_be_entered_again(world: Any) -> None:
    meter = world.meter()
    handle = meter.phase("again")
    with handle, handle:
        world.go(1)
    with handle:
        world.go(1)
    assert handle.result.duration_s == 1
    assert figures(meter.phases["again"]) == pytest.approx((2, 26, 2, 26))


def test_a_phase_never_closed_does_not_break_the_others(world: Any) -> None:
    meter = world.meter()
    lost = meter.phase("lost")
    lost.__enter__()
    world.go(1)
    with meter.phase("next") as following:
        world.go(1)
    assert figures(following.result) == pytest.approx((1, 13, 1, 13))
    assert "lost" not in meter.phases
    assert figures(lost.so_far()) == pytest.approx((2, 26, 1, 13))
    assert figures(meter.total()) == pytest.approx((2, 26, 2, 26))
    meter.close()
    assert following.result.parent == "lost"


def test_two_meters_at_once(world: Any) -> None:
    one, two = world.meter(), world.meter()
    with one.phase("one"):
        world.go(1)
        with two.phase("two"):
            world.go(1)
    assert figures(one.phases["one"]) == pytest.approx((2, 26, 2, 26))
    assert figures(two.phases["two"]) == pytest.approx((1, 13, 1, 13))
    assert two.phases["two"].parent is None
    assert not one.phases["one"].overlapped


def test_figures_so_far_come_from_any_thread_and_leave_no_trace(world: Any) -> None:
    meter = world.meter()
    with pytest.raises(RuntimeError, match="has not ended"):
        meter.phase("unopened").so_far()
    seen: list[Phase] = []
    with meter.phase("outer") as outer, meter.phase("inner") as inner:
        world.go(1)
        elsewhere(lambda: seen.extend([outer.so_far(), inner.so_far(), meter.total()]))
        world.trackers[0].broken = OSError("busy")
        elsewhere(lambda: seen.append(inner.so_far()))
        world.trackers[0].broken = None
        world.go(1)
    assert [figures(phase) for phase in seen[:3]] == [
        pytest.approx((1, 13, 0, 0)),
        pytest.approx((1, 13, 1, 13)),
        pytest.approx((1, 13, 1, 13)),
    ]
    assert seen[3].energy_j is None
    assert "busy" in seen[3].components["cpu"].detail
    assert seen[0].peak_memory_bytes
    assert figures(inner.result) == pytest.approx((2, 26, 2, 26))
    assert inner.so_far() == inner.result
