"""Two real processes over gloo train as one process with twice the accumulation does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.processes import VARIABLES

SCRIPT = Path(__file__).with_name("launched_training.py")
SAME = 1e-5
"""Two processes add the same float32 numbers in another order."""


@pytest.fixture(scope="module")
def launched(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One process of four rows a step; and two of two rows, which were cut off and went on."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    commands = {"one": ([], "2", "0"), "two": (torchrun, "1", "4")}
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environ["OMP_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        environ["GLOO_SOCKET_IFNAME"] = "lo"
    folders = {name: tmp_path_factory.mktemp(name) for name in commands}
    started = {}
    try:
        for name, (launcher, accumulation, cut) in commands.items():
            folder = folders[name]
            given = [str(tiny), str(folder), "full", accumulation, cut]
            with (folder / "output.txt").open("wb") as output:
                started[name] = subprocess.Popen(
                    [sys.executable, *launcher, str(SCRIPT), *given],
                    env={**environ, "HF_HOME": str(folder)},
                    cwd=folder,
                    stdout=output,
                    stderr=output,
                )
        for name, process in started.items():
            code = process.wait(timeout=300)
            assert code == 0, f"{name}: {(folders[name] / 'output.txt').read_text()[-3000:]}"
    finally:
        for process in started.values():
            process.terminate()
            process.wait(timeout=30)
    return folders


def ranks(folder: Path) -> list[Any]:
    """What the processes wrote, by rank."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank-*.json"))]


def test_two_processes_train_as_one(launched: dict[str, Path]) -> None:
    import torch
    from safetensors.torch import load_file

    (alone,), both = ranks(launched["one"]), ranks(launched["two"])
    one = alone["result"]
    assert len(both) == 2
    for rank in both:
        for curve in ("losses", "validation_losses"):
            assert [step for step, _ in rank["result"][curve]] == [s for s, _ in one[curve]]
            assert [loss for _, loss in rank["result"][curve]] == pytest.approx(
                [loss for _, loss in one[curve]], rel=SAME
            )
        assert rank["result"]["resumed_from_step"] == 3
    assert all(rank["result"]["tokens"] == one["tokens"] for rank in both)
    # Each tallies its own work; together they did no more.
    read = [rank["result"]["tally"]["tokens_in"] for rank in both]
    assert sum(read) == one["tally"]["tokens_in"]
    assert sum(rank["result"]["tally"]["passes"] for rank in both) == one["tally"]["passes"]
    assert both[0]["kept"] == [["LlamaForCausalLM", False]]
    assert both[1]["kept"] == []
    mine, theirs = (load_file(launched[n] / "weights.safetensors") for n in ("one", "two"))
    assert all(torch.allclose(mine[key], theirs[key], rtol=0, atol=SAME) for key in mine)
