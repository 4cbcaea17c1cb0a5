"""Load: keeps every core, and the GPU if there is one, busy at a constant level.

meter.py starts this file as processes of their own, one a core and one for the GPU. They run at
the lowest priority: every core is busy all the time, and whoever measures is not kept waiting.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

WARM_GPU_S = 10.0
"""A GPU that has just begun draws another power than one at its working temperature."""


@contextmanager
def steady_load() -> Iterator[list[str]]:
    """Every core and the GPU are busy inside; gives what is, as words."""
    ours = getattr(os, "sched_getaffinity", None)
    cores = len(ours(0)) if ours else os.cpu_count() or 1
    busy: list[str] = []
    spinners: list[subprocess.Popen[str]] = []
    try:
        for kind in ["cpu"] * cores + ["gpu"]:
            spinners.append(
                subprocess.Popen(
                    [sys.executable, __file__, kind],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        for spinner in spinners:
            assert spinner.stdout is not None
            busy.append(spinner.stdout.readline().strip())  # "" of one that has nothing to load
        yield sorted(f"{busy.count(one)} x {one}" for one in set(busy) if one)
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def spin(kind: str) -> None:
    """Work until the process that started this one is gone."""
    parent = os.getppid()
    if hasattr(os, "nice"):
        os.nice(19)
    if kind == "cpu":
        sys.stdout.write("core spinning\n")
        sys.stdout.flush()
        while os.getppid() == parent:
            for _ in range(100_000):
                pass
        return
    import torch

    if not torch.cuda.is_available():
        return
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    began, said = time.monotonic(), False
    while os.getppid() == parent:
        for _ in range(10):
            torch.mm(square, square)
        torch.cuda.synchronize()
        if not said and time.monotonic() - began > WARM_GPU_S:
            sys.stdout.write(f"{torch.cuda.get_device_name()} multiplying matrices\n")
            sys.stdout.flush()
            said = True


if __name__ == "__main__":
    spin(sys.argv[1])
