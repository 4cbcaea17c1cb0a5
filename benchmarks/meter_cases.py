"""Cases: what one peer measures in one fresh process, which meter.py starts.

    python benchmarks/meter_cases.py nested zeus figures.json [--quick]

A case writes its figures as JSON: the joules that the peer told, beside the true seconds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from meter_peers import PEERS, Figure, Peer, joules_of, offline_codecarbon, peer_of


def stay(seconds: float) -> tuple[float, float]:
    """Let time pass (the load runs elsewhere); gives its true begin and end."""
    began = time.perf_counter()
    time.sleep(seconds)
    return began, time.perf_counter()


def warm(peer: Peer) -> None:
    """Let what is paid once be paid: two phases that are thrown away."""
    for number in range(2):
        with peer.phase(Figure(f"warm-up {number}")):
            time.sleep(0.1)
    peer.forget()


def single(peer: Peer, seconds: float, times: int) -> list[Figure]:
    """Phases one after the other."""
    figures = []
    for number in range(times):
        figure = Figure(f"phase {number}")
        with peer.phase(figure):
            began, ended = stay(seconds)
        figure.true_s, figure.part = ended - began, "alone"
        figures.append(figure)
    return figures


def nested(peer: Peer) -> list[Figure]:
    """A phase of 1.5 s, with one of 0.5 s from 0.3 s on."""
    outer, inner = Figure("outer"), Figure("inner")
    with peer.phase(outer):
        began, _ = stay(0.3)
        with peer.phase(inner):
            inner_began, inner_ended = stay(0.5)
        _, ended = stay(0.7)
    outer.true_s, inner.true_s = ended - began, inner_ended - inner_began
    outer.others = {
        "the inner phase": inner.true_s,
        "the outer less the inner": outer.true_s - inner.true_s,
        "the rest after the inner phase": ended - inner_ended,
    }
    inner.others = {
        "the outer, closed by the inner": inner_ended - began,
        "the outer phase": outer.true_s,
    }
    return [outer, inner]


def threads(peer: Peer) -> list[Figure]:
    """Phases of 1 s in two threads, the second 0.4 s after the first, and both as one."""
    figures = [Figure("first"), Figure("second")]
    times: dict[str, tuple[float, float]] = {}

    def work(figure: Figure, after_s: float) -> None:
        time.sleep(after_s)
        with peer.phase(figure):
            times[figure.part] = stay(1.0)

    workers = [
        threading.Thread(target=work, args=pair) for pair in zip(figures, (0.0, 0.4), strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (first, end_of_first), (second, end) = times["first"], times["second"]
    both = Figure("together", true_s=end - first)
    both.joules, both.said = peer.together(figures)
    figures[0].true_s, figures[1].true_s = end_of_first - first, end - second
    for figure in figures:
        figure.others = {"both threads": both.true_s, "the time of both": end_of_first - second}
    both.others = {
        "the overlap counted twice": figures[0].true_s + figures[1].true_s,
        "one of the two": figures[0].true_s,
    }
    return [*figures, both]


def processes(make: str) -> list[Figure]:
    """The same second in two processes on one machine, as one figure."""
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=timedelta(minutes=1))
    peer, figure = peer_of(make), Figure("sum")
    warm(peer)
    dist.barrier()
    with peer.phase(figure):
        began, ended = stay(1.0)
    figure.joules, figure.said = peer.gathered(figure)
    figure.true_s = ended - began
    peer.close()
    dist.destroy_process_group()
    return [figure]


def overhead(make: str, times: int) -> dict[str, Any]:
    """Milliseconds of empty phases, and the seconds until the first one is through."""
    began = time.perf_counter()
    peer = peer_of(make)
    with peer.phase(Figure("cold")):
        pass
    cold_s = time.perf_counter() - began
    warm(peer)
    figures = [Figure(f"empty {number}") for number in range(times)]
    spent_ms = []
    for figure in figures:
        at = time.perf_counter()
        with peer.phase(figure):
            pass
        spent_ms.append(1000 * (time.perf_counter() - at))
    peer.close()
    return {"cold_s": cold_s, "spent_ms": spent_ms, "measured": figures[-1].joules is not None}


def reference(window_s: float) -> dict[str, Any]:
    """The steady power by component: codecarbon's plain tracker (no tasks) over a long window.
    Beside it what wattune's meter says that the components are."""
    import psutil

    from wattune.measure.meter import Meter

    tracker = offline_codecarbon()
    tracker.start()
    psutil.cpu_percent()
    began, ended = stay(window_s)
    load_percent = psutil.cpu_percent()
    tracker.stop()
    joules = joules_of(tracker.final_emissions_data)
    with Meter() as meter:
        with meter.phase("what there is") as phase:
            time.sleep(0.2)
        described = meter.describe()
    return {
        "watts": {name: one / (ended - began) for name, one in joules.items() if one > 0},
        "load_percent": load_percent,
        "components": {name: part.plain() for name, part in phase.result.components.items()},
        "cpu": described.get("cpu", "unknown processor"),
        "versions": {
            name: version(name) for name in PEERS if importlib.util.find_spec(name) is not None
        },
    }


def run(make: str, blocks: int, steps: int) -> dict[str, Any]:
    """The same matrix products without (A) and with (B) a phase every half second: ABBA."""
    import numpy as np

    square = np.random.default_rng(0).random((384, 384))

    def step(times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            np.matmul(square, square)
        return time.perf_counter() - began

    step(200)
    times = max(1, round(0.5 * 200 / step(200)))
    taken: dict[str, list[tuple[float, float]]] = {"A": [], "B": []}
    for kind in "ABBA" * blocks:
        peer = peer_of(make) if kind == "B" else None
        if peer:
            warm(peer)
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(steps):
            with peer.phase(Figure(f"step {number}")) if peer else nullcontext():
                step(times)
        taken[kind].append((time.perf_counter() - began, time.process_time() - cpu))
        if peer:
            peer.close()
    return {"plain_s_and_cpu_s": taken["A"], "metered_s_and_cpu_s": taken["B"]}


def main(case: str, make: str, path: str, *options: str) -> None:
    quick = "--quick" in options
    result: Any
    if case == "processes":
        result = [asdict(figure) for figure in processes(make)]
    elif case == "overhead":
        result = overhead(make, 50 if quick else 300)
    elif case == "reference":
        result = reference(3.0 if quick else 10.0)
    elif case == "run":
        result = run(make, 1, 2) if quick else run(make, 4, 10)
    else:
        peer = peer_of(make)
        warm(peer)
        if case.startswith("single"):
            seconds = float(case.split()[1])
            figures = single(peer, seconds, max(1, round((1.0 if quick else 3.0) / seconds)))
        else:
            figures = {"nested": nested, "threads": threads}[case](peer)
        peer.close()
        result = [asdict(figure) for figure in figures]
    if os.environ.get("RANK", "0") == "0":
        Path(path).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
