"""Several real processes over gloo, under torchrun and under accelerate launch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.processes import VARIABLES, Launch
from wattune.measure.record import Phase

SCRIPT = Path(__file__).with_name("launched_meter.py")
PROCESSES = {"alone": 1, "torchrun": 2, "accelerate": 2, "two nodes": 2}


@dataclass(frozen=True)
class Rank:
    """What one launched process wrote."""

    launch: Launch
    own: dict[str, Phase]
    gathered: dict[str, Phase]


def _commands(port: int) -> dict[str, list[list[str]]]:
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    # With --cpu, accelerate starts one process whatever --num_processes says (but by mpirun);
    # --multi_gpu is its way to torchrun, and asks for no GPU.
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    node = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1"]
    return {
        "alone": [[sys.executable]],
        "torchrun": [[*torchrun, "--standalone", "--nproc_per_node", "2"]],
        "accelerate": [[*accelerate, "--num_processes", "2", "--main_process_port", "0"]],
        "two nodes": [
            [*torchrun, *node, "--master_port", str(port), "--node_rank", str(number)]
            for number in range(2)
        ],
    }


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Rank]]:
    """The script under every launcher, all at once: name -> its ranks."""
    pytest.importorskip("torch.distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environ["OMP_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        environ["GLOO_SOCKET_IFNAME"] = "lo"
    started: list[tuple[str, subprocess.Popen[bytes]]] = []
    folders = {name: tmp_path_factory.mktemp(name.replace(" ", "-")) for name in PROCESSES}
    try:
        for name, commands in _commands(port).items():
            folder = folders[name]
            with (folder / "output.txt").open("wb") as output:
                for command in commands:
                    process = subprocess.Popen(
                        [*command, str(SCRIPT), str(folder)],
                        env={**environ, "HF_HOME": str(folder)},  # accelerate's settings lie there
                        cwd=folder,
                        stdout=output,
                        stderr=output,
                    )
                    started.append((name, process))
        for name, process in started:
            code = process.wait(timeout=240)
            assert code == 0, f"{name}: {(folders[name] / 'output.txt').read_text()[-3000:]}"
    finally:
        for _, process in started:
            process.terminate()
            process.wait(timeout=30)
    return {
        name: [_rank(json.loads(file.read_text())) for file in sorted(folder.glob("rank-*.json"))]
        for name, folder in folders.items()
    }


def _rank(content: dict[str, Any]) -> Rank:
    return Rank(
        Launch.model_validate(content["launch"]),
        {name: Phase.model_validate(row) for name, row in content["own"].items()},
        {name: Phase.model_validate(row) for name, row in content["gathered"].items()},
    )


def _ram(found: Phase) -> float:
    """Joules of memory, which is modelled as a constant power: the load of the test machine is no
    part of it."""
    joules = found.components["ram"].energy_j
    assert joules is not None
    return joules


@pytest.mark.parametrize("name", PROCESSES)
def test_every_rank_is_given_the_same(launched: dict[str, list[Rank]], name: str) -> None:
    found = launched[name]
    assert [rank.launch.rank for rank in found] == list(range(PROCESSES[name]))
    assert all(rank.gathered == found[0].gathered for rank in found)
    assert all(rank.gathered["wait"].energy_j is not None for rank in found)
    longest = max(rank.own["wait"].duration_s for rank in found)
    assert found[0].gathered["wait"].duration_s == longest


@pytest.mark.parametrize("name", ["torchrun", "accelerate"])
def test_two_processes_are_one_machine(launched: dict[str, list[Rank]], name: str) -> None:
    first, second = launched[name]
    assert second.own["wait"].components == {}
    assert second.own["wait"].energy_j is None
    gathered = first.gathered["wait"]
    assert gathered.components == first.own["wait"].components
    assert gathered.energy_j == pytest.approx(first.own["wait"].energy_j)
    # By power, as one process alone sees it: once, not twice.
    (alone,) = launched["alone"]
    watts = _ram(alone.own["wait"]) / alone.own["wait"].duration_s
    assert _ram(gathered) / first.own["wait"].duration_s == pytest.approx(watts, rel=0.1)
    assert gathered.peak_memory_bytes is not None
    assert gathered.peak_memory_bytes == sum(
        rank.own["wait"].peak_memory_bytes or 0 for rank in (first, second)
    )


def test_two_nodes_are_two_machines(launched: dict[str, list[Rank]]) -> None:
    found = launched["two nodes"]
    assert [rank.launch.measures for rank in found] == [True, True]
    gathered = found[0].gathered["wait"]
    assert _ram(gathered) == pytest.approx(sum(_ram(rank.own["wait"]) for rank in found))
    (alone,) = launched["alone"]
    watts = _ram(alone.own["wait"]) / alone.own["wait"].duration_s
    seconds = sum(rank.own["wait"].duration_s for rank in found) / 2
    assert _ram(gathered) / seconds == pytest.approx(2 * watts, rel=0.1)


def test_a_phase_of_one_rank_is_kept(launched: dict[str, list[Rank]]) -> None:
    unmeasured = launched["torchrun"][0].gathered["only rank 1"]
    assert (unmeasured.energy_j, unmeasured.components) == (None, {})
    measured = launched["two nodes"][0].gathered["only rank 1"]
    assert measured == launched["two nodes"][1].own["only rank 1"]
