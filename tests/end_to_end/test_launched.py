"""Two processes under torchrun do what one does: same losses, same answers, one record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch

from wattune.files import write_json
from wattune.measure.environment import cpu_model
from wattune.measure.ledger import load_ledger
from wattune.measure.processes import VARIABLES
from wattune.measure.record import Record
from wattune.measure.store import load_records
from wattune.values import digest

QUESTIONS = 480
SHARED = {("lora", "answer"): 0.05, ("rag", "answer"): 0.3}
"""How much more two processes may compute: what prompts share is read once by each of them, and of
few passages to many questions that is much."""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = (
    "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
    "--main_process_port", "0",
)  # fmt: skip


def _environ(folder: Path) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environ |= {"OMP_NUM_THREADS": "1", "WATTUNE_CACHE": str(folder / "cache")}
    environ["HF_HOME"] = str(folder)  # accelerate's settings lie there
    if sys.platform == "linux":
        environ["GLOO_SOCKET_IFNAME"] = "lo"
    return environ


def _in_float32(cache: Path) -> None:
    """Keep the verdict of a race that bfloat16 has lost: in bfloat16 two ways of batching differ in
    some answers, for its rounding is coarse (docs/generation.md)."""
    race = digest([cpu_model(), torch.__version__])
    write_json(cache / "machine" / f"{race}.json", {"bfloat16_speedup": 0.0})


def _start(launcher: Sequence[str], folder: Path, *given: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    _in_float32(folder / "cache")
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "wattune", *given, "--runs", str(folder / "runs")],
        env=_environ(folder),
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Made(NamedTuple):
    """What a launch left."""

    out: str
    err: str
    folder: Path

    def record(self, name: str) -> Record:
        """The one record of a run."""
        (found,) = [r for r in load_records(self.folder / "runs") if r.name == name]
        return found

    def answers(self, name: str) -> list[tuple[str, str]]:
        """The answers beside it."""
        (path,) = (self.folder / "runs").rglob(f"{name}-*.answers.jsonl")
        rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        return [(row["id"], row["text"]) for row in rows]


@pytest.fixture
def recipe(task_folder: Path, chat_model: Path, embedder: str) -> Path:
    """One run that trains and one that retrieves, and many questions."""
    rows = [
        {"id": f"q{n}", "question": f"At which jetty do I board boat {n}?", "answers": ["jetty 1"]}
        for n in range(QUESTIONS)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (task_folder / "test.jsonl").write_text(text, encoding="utf-8")
    path = task_folder.parent / "duo.yaml"
    path.write_text(
        f"task: {task_folder.name}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 1\n"
        "baseline_s: 0\ndecoding: {max_tokens: 4}\nruns:\n"
        "  lora: [{lora: {r: 4, num_train_epochs: 2, per_device_train_batch_size: 2,"
        # With it one process too computes what the rows of a batch share for each of them.
        " gradient_checkpointing: true, warmup_steps: 1}}]\n"
        f"  rag: [{{rag: {{k: 1, embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 8}}}}]\n",
        encoding="utf-8",
    )
    return path


def _run(launcher: Sequence[str], folder: Path, *given: str, code: int = 0) -> Made:
    process = _start(launcher, folder, *given)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code, err[-3000:]
    return Made(out, err, folder)


def _sum_of(record: Record, phase: str) -> dict[str, float]:
    return {
        name: part.energy_j
        for name, part in record.phases[phase].components.items()
        if part.energy_j is not None
    }


def _ram_w(record: Record, phase: str) -> float:
    """Power of memory, which is modelled as constant: the load of the test machine is no part."""
    return _sum_of(record, phase)["ram"] / record.phases[phase].duration_s


def test_two_processes_do_what_one_does(recipe: Path, tmp_path: Path) -> None:
    twice = ("run", str(recipe), "lora.gradient_accumulation_steps=2")
    one = _run((), tmp_path / "one", *twice)
    two = _run(TORCHRUN, tmp_path / "two", "run", str(recipe))
    assert two.out.count("is the best of its column") == 1  # printed by one
    assert two.err.count("lora: done") == 1
    for name in ("lora", "rag"):
        assert two.answers(name) == one.answers(name)
        alone, both = one.record(name), two.record(name)
        assert alone.status == both.status == "done"
        assert alone.environment["machine"]["processes"] == 1
        assert both.environment["machine"]["processes"] == 2
        assert alone.key != both.key
        for part in ("prepare", "answer"):
            work, shared = alone.work[part], both.work[part]
            assert (shared.tokens_in, shared.tokens_out) == (work.tokens_in, work.tokens_out)
            assert shared.flops == pytest.approx(work.flops, rel=SHARED.get((name, part), 0.01))
        # The machine's memory draws what it draws, however many processes look at it.
        assert _ram_w(both, "answer") == pytest.approx(_ram_w(alone, "answer"), rel=0.15)
        whole = sum(_sum_of(both, "answer").values())
        assert both.phases["answer"].energy_j == pytest.approx(whole)
    trained = [made.record("lora").stages[0].details for made in (one, two)]
    losses = [[loss for _, loss in details["losses"]] for details in trained]
    assert len(losses[0]) == len(losses[1]) > 10
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    entries = load_ledger(two.folder / "runs")
    assert sorted((entry.name, entry.status) for entry in entries) == [
        ("lora", "done"), ("rag", "done"),
    ]  # fmt: skip
    again = _run(ACCELERATE, tmp_path / "two", "compare", str(recipe))
    assert "2 of 2 runs were finished before" in again.err  # as with torchrun
    assert len(load_records(two.folder / "runs")) == 2


def test_what_is_wrong_is_said_once(recipe: Path, tmp_path: Path) -> None:
    made = _run(TORCHRUN, tmp_path / "wrong", "run", str(recipe), "lora.rr=3", code=1)
    said = [line for line in made.err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert 'unknown key "lora.rr"' in said[0]
    assert "exitcode  : 2" in made.err  # the launcher's own report, of the main process


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_launch(recipe: Path, tmp_path: Path, rank: int) -> None:
    given = ("run", str(recipe), "lora.num_train_epochs=2000")
    process = _start(TORCHRUN, tmp_path / "killed", *given)
    try:
        _kill(process.pid, rank, tmp_path / "killed" / "runs")
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Signal 9 (SIGKILL)" in err  # torchrun's word for it
    ours = err.partition("ChildFailedError")[0]
    assert "wattune/" not in ours  # no traceback of ours
    assert not list((tmp_path / "killed" / "runs").rglob("lora-*.json"))


def _kill(launcher: int, rank: int, runs: Path) -> None:
    """Kill one of the processes once the run has begun."""
    deadline = time.monotonic() + 120
    while not list(runs.rglob("ledger/*.json")):
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.2)
    for child in psutil.Process(launcher).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            child.send_signal(signal.SIGKILL)
            return
    raise AssertionError(f"no process of rank {rank}")
