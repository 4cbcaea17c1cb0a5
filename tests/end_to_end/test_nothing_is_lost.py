"""Killed, interrupted, started twice, out of disk: what was finished stays, whole and once.

`WATTUNE_KILLS=100 python -m pytest tests/end_to_end/test_nothing_is_lost.py -s` kills a comparison
at a hundred random moments; by default it is two.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattune.measure.ledger import load_ledger
from wattune.measure.store import answers_path, load_records, record_path

KILLS = int(os.environ.get("WATTUNE_KILLS", "2"))
RUNS = ("zero-shot", "few-shot", "rag", "full")


class Comparison:
    """A comparison of four small runs, started as a program; its folders outlive it."""

    def __init__(self, folder: Path, recipe: Path) -> None:
        self.folder, self.recipe = folder, recipe
        self.runs = folder / "runs"
        self.cache = folder / "cache"

    def start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"WATTUNE_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "wattune", "compare", str(self.recipe),
                   "--runs", str(self.runs), "--no-progress"]  # fmt: skip
        return subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A program started in the background inherits that interrupts are ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finished(self) -> dict[str, bytes]:
        """The finished records by file, after checking that everything on disk is whole."""
        found: dict[str, bytes] = {}
        for path in self.runs.rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
        records = load_records(self.runs) if self.runs.is_dir() else []
        assert len({(record.name, record.key) for record in records}) == len(records)
        for record in records:
            path = record_path(self.runs / self.recipe.stem, record.name, record.key)
            lines = answers_path(path).read_text(encoding="utf-8").splitlines()
            assert len(lines) == record.answers > 0
            assert all("scores" in json.loads(line) for line in lines)
            found[path.name] = path.read_bytes()
        for stage in (self.cache / "stages").glob("*"):
            if stage.is_dir() and stage.suffix not in (".partial", ".unfinished"):
                assert (stage / "stage.json").is_file(), f"{stage} looks finished and is not"
        if self.runs.is_dir():
            load_ledger(self.runs)
        return found


@pytest.fixture
def comparison(tmp_path: Path, task_folder: Path, chat_model: Path, embedder: str) -> Comparison:
    recipe = tmp_path / "four.yaml"
    recipe.write_text(
        f"task: {task_folder}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 1\n"
        "baseline_s: 0\ndecoding: {max_tokens: 4}\nprompt: {shots: 1}\n"
        f"rag: {{embedder: {embedder}, chunk_tokens: 40, overlap_tokens: 4, k: 1}}\n"
        "full_fine_tuning: {num_train_epochs: 1}\n"
        "runs: {zero-shot: [], few-shot: [prompt], rag: [rag], full: [full_fine_tuning]}\n",
        encoding="utf-8",
    )
    return Comparison(tmp_path, recipe)


def rests(comparison: Comparison) -> None:
    """Started again it goes on, and ends with every run once."""
    before = comparison.finished()
    program = comparison.start()
    out, err = program.communicate(timeout=240)
    assert program.returncode == 0, out + err
    after = comparison.finished()
    assert len(after) == len(RUNS)
    assert {name: after[name] for name in before} == before
    assert not list((comparison.cache / "stages").glob("*.partial"))


@pytest.mark.timeout(3600)
def test_killed_at_random_moments_it_goes_on_where_it_was(comparison: Comparison) -> None:
    began = time.monotonic()
    program = comparison.start()
    out, err = program.communicate(timeout=240)
    assert program.returncode == 0, out + err
    length = time.monotonic() - began
    generator = random.Random(0)
    for number in range(KILLS):
        if len(comparison.finished()) == len(RUNS):  # begin anew, or there is nothing to kill
            for path in (comparison.runs / comparison.recipe.stem).glob("*.json"):
                path.unlink()
        before = comparison.finished()
        program = comparison.start()
        time.sleep(generator.uniform(0.05, 1.05) * length)
        program.kill()
        program.communicate()
        after = comparison.finished()
        assert {name: after.get(name) for name in before} == before, f"kill {number} lost a record"
    rests(comparison)


def test_two_at_once_share_the_work_and_double_nothing(comparison: Comparison) -> None:
    programs = [comparison.start(), comparison.start()]
    for program in programs:
        out, err = program.communicate(timeout=280)
        assert program.returncode == 0, out + err
    assert len(comparison.finished()) == len(RUNS)
    done = [entry for entry in load_ledger(comparison.runs) if entry.activity == "run"]
    assert sorted(entry.name for entry in done) == sorted(RUNS)  # no run was made twice


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_so_and_keeps_what_is_finished(
    comparison: Comparison, sent: signal.Signals, code: int
) -> None:
    program = comparison.start()
    while not comparison.finished():
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    program.send_signal(sent)
    out, err = program.communicate(timeout=120)
    assert program.returncode == code, out + err
    assert "finished runs are kept" in err
    assert "Traceback" not in err
    assert not [entry for entry in load_ledger(comparison.runs) if entry.status == "running"]
    rests(comparison)


def test_a_place_that_cannot_be_written_is_told_before_any_work(comparison: Comparison) -> None:
    comparison.runs.write_text("a file stands where the folder should be", encoding="utf-8")
    program = comparison.start()
    _, err = program.communicate(timeout=120)
    assert program.returncode == 2
    assert "cannot be written" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_told_and_what_is_finished_is_kept(comparison: Comparison) -> None:
    comparison.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(comparison.runs)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    try:
        program = comparison.start()
        _, err = program.communicate(timeout=240)
        assert program.returncode == 2
        assert "the disk is full" in err
        assert "Traceback" not in err
        kept = comparison.finished()
        assert 0 < len(kept) < len(RUNS)
        subprocess.run(["mount", "-o", "remount,size=4m", str(comparison.runs)], check=True)
        rests(comparison)
    finally:
        subprocess.run(["umount", "-l", str(comparison.runs)], check=True)
