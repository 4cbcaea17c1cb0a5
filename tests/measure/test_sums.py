"""Random schedules of nested and threaded phases: nothing is lost and nothing is given twice."""

from __future__ import annotations

import contextvars
import random
import threading
from typing import Any

import pytest

from wattune.measure.meter import Meter


def actors(seed: int, world: Any, meter: Meter) -> tuple[dict[str, float], dict[str, float], float]:
    """A random schedule of four simulated threads, and its bill by brute force: exclusive joules
    by name, inclusive joules by name, joules of all."""
    dice = random.Random(seed)
    contexts = [contextvars.Context() for _ in range(4)]
    stacks: list[list[tuple[str, Any]]] = [[] for _ in contexts]
    exclusive: dict[str, float] = dict.fromkeys("abc", 0.0)
    inclusive: dict[str, float] = dict.fromkeys("abc", 0.0)
    union = 0.0
    for _ in range(60):
        seconds = dice.choice([0.0, 0.001, 0.03, 1.0]) * dice.random()
        world.go(seconds, cpu=dice.uniform(1, 50))
        joules = world.watts * seconds
        tops = [stack[-1][0] for stack in stacks if stack]
        for name in tops:
            exclusive[name] += joules / len(tops)
        for name in {name for stack in stacks for name, _ in stack}:
            inclusive[name] += joules
        union += joules if tops else 0.0
        actor = dice.randrange(4)
        if stacks[actor] and dice.random() < 0.5:
            contexts[actor].run(stacks[actor].pop()[1].__exit__, None, None, None)
        else:
            name = dice.choice("abc")
            handle = meter.phase(name)
            contexts[actor].run(handle.__enter__)
            stacks[actor].append((name, handle))
    while any(stacks):
        stack = dice.choice([stack for stack in stacks if stack])
        contexts[stacks.index(stack)].run(stack.pop()[1].__exit__, None, None, None)
    return exclusive, inclusive, union


@pytest.mark.parametrize("seed", range(12))
def test_exclusive_figures_add_up_to_what_was_drawn(world: Any, seed: int) -> None:
    meter = world.meter()
    exclusive, inclusive, union = actors(seed, world, meter)
    phases, total = meter.phases, meter.total()
    for name, phase in phases.items():
        assert phase.exclusive_energy_j == pytest.approx(exclusive[name], rel=1e-9)
        assert phase.energy_j == pytest.approx(inclusive[name], rel=1e-9)
        assert (phase.exclusive_duration_s or 0) <= phase.duration_s + 1e-9
    assert sum(p.exclusive_energy_j or 0 for p in phases.values()) == pytest.approx(union, rel=1e-9)
    assert total.energy_j == pytest.approx(union, rel=1e-9)
    assert total.exclusive_energy_j == pytest.approx(union, rel=1e-9)
    seconds = sum(p.exclusive_duration_s or 0 for p in phases.values())
    assert total.duration_s == pytest.approx(seconds, rel=1e-9)


def test_threads_at_full_tilt(world: Any) -> None:
    meter = world.meter()
    lock, start = threading.Lock(), threading.Barrier(6)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        start.wait()
        for _ in range(15):
            with meter.phase(dice.choice("abc")):
                with lock:
                    world.go(dice.random())
                with meter.phase(dice.choice("abc")) as inner:
                    assert inner.so_far().duration_s >= 0

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(phase.exclusive_energy_j or 0 for phase in meter.phases.values())
    assert total == pytest.approx(meter.total().energy_j, rel=1e-9)
    assert sum(phase.repeats for phase in meter.phases.values()) == 6 * 15 * 2
