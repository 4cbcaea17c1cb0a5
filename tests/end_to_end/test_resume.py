"""Killed while it trains and started again, a run ends as if nothing had happened, and says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.effort import NOTE
from wattune.measure.ledger import load_ledger
from wattune.measure.record import Bill, Record
from wattune.measure.store import load_records
from wattune.peft.checkpoints import SEAL

STEPS = 140
EVERY = 20


class Training:
    """A LoRA training of a tiny model, started as a program; its folders outlive it."""

    def __init__(self, folder: Path, recipe: Path) -> None:
        self.folder, self.recipe = folder, recipe
        self.runs, self.stages = folder / "runs", folder / "cache" / "stages"

    def start(self, *options: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "WATTUNE_CACHE": str(self.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "wattune", "run", str(self.recipe),
                   "--runs", str(self.runs), *options]  # fmt: skip
        return subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints of the stage that is being built, oldest first."""
        found = [seal.parent for seal in self.stages.glob(f"*.unfinished/checkpoint-*/{SEAL}")]
        return sorted(found, key=step_of)

    def kill_at(self, step: int) -> Bill:
        """Start it and kill it once it has a checkpoint at `step` or later; what it had noted."""
        program = self.start("--no-progress")
        self.wait_for(step, program)
        program.kill()
        program.communicate()
        (note,) = self.stages.glob(f"*.unfinished/{NOTE}")
        return Bill.model_validate(json.loads(note.read_text())["spent"])

    def wait_for(self, step: int, program: subprocess.Popen[str]) -> None:
        """Wait until it has a whole checkpoint at `step` or later."""
        while max(map(step_of, self.checkpoints()), default=0) < step:
            assert program.poll() is None, program.communicate()
            time.sleep(0.005)

    def copy(self, name: str) -> Training:
        """The same, as it stands, in a folder of its own."""
        other = Training(self.folder.parent / name, self.recipe)
        shutil.copytree(self.folder, other.folder)
        return other

    def record(self) -> Record:
        (record,) = load_records(self.runs)
        return record


@pytest.fixture
def training(tmp_path: Path, task_folder: Path, chat_model: Path) -> Training:
    recipe = tmp_path / "tuned.yaml"
    recipe.write_text(
        f"task: {task_folder}\nmodel: {chat_model}\nplace: FRA\nrealtime_questions: 0\n"
        "baseline_s: 0\ndecoding: {max_tokens: 4}\nstrategies: [lora]\n"
        f"lora: {{r: 4, max_steps: {STEPS}, save_steps: {EVERY}, eval_strategy: 'no',\n"
        "  lora_dropout: 0.1, per_device_train_batch_size: 4, learning_rate: 5.0e-3}\n",
        encoding="utf-8",
    )
    (tmp_path / "first").mkdir()
    return Training(tmp_path / "first", recipe)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def ended(*trainings: Training) -> list[Record]:
    """Start all at once and wait until they are done."""
    programs = [each.start("--no-progress") for each in trainings]
    for program in programs:
        out, err = program.communicate(timeout=240)
        assert program.returncode == 0, out + err
    return [each.record() for each in trainings]


def truncate_newest(training: Training) -> None:
    """Damage the newest checkpoint as a disk does that lost its last blocks."""
    largest = max(training.checkpoints()[-1].rglob("*"), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def check_books(record: Record, noted: Bill) -> dict[str, Any]:
    """What was carried and what was lost are what the killed attempt had noted; its details."""
    (stage,) = record.stages
    lost = Bill.model_validate(stage.details["lost"])
    assert stage.details["attempts"] == 2
    assert noted.energy_j is not None
    assert lost.energy_j is not None
    assert stage.spent.energy_j is not None
    assert stage.attributed.energy_j is not None
    assert lost.duration_s >= 0
    assert lost.energy_j >= 0
    assert stage.attributed.duration_s - stage.spent.duration_s > 0
    # A checkpoint may be newer than the last note, by a second at most.
    for all_noted, carried, gone, power in [
        (noted.duration_s, stage.attributed.duration_s - stage.spent.duration_s,
         lost.duration_s, 1.0),
        (noted.energy_j, stage.attributed.energy_j - stage.spent.energy_j, lost.energy_j,
         noted.energy_j / noted.duration_s),
    ]:  # fmt: skip
        if gone:
            assert carried + gone == pytest.approx(all_noted)
        else:
            assert all_noted <= carried * (1 + 1e-9)
            assert carried <= all_noted + 2 * power
    return stage.details


@pytest.mark.timeout(600)
def test_killed_in_training_it_goes_on_to_the_same_end(
    training: Training, wattune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = training.copy("undisturbed")
    noted = training.kill_at(3 * EVERY)
    *_, older, newer = map(step_of, training.checkpoints())
    damaged = training.copy("damaged")
    truncate_newest(damaged)
    whole, fallen_back, calm = ended(training, damaged, undisturbed)

    (never_killed,) = calm.stages
    assert never_killed.details["resumed_from_step"] is None
    assert not {"attempts", "lost"} & set(never_killed.details)
    assert never_killed.spent == never_killed.attributed

    for record, step in ((whole, newer), (fallen_back, older)):
        assert record.status == "done"
        details = check_books(record, noted)
        assert details["resumed_from_step"] == step
        assert details["steps"] == STEPS
        assert details["final_loss"] == pytest.approx(never_killed.details["final_loss"], abs=1e-4)
        assert [step for step, _ in details["losses"]] == list(range(1, STEPS + 1))
        assert record.stages[0].work.flops == pytest.approx(never_killed.work.flops, rel=0.02)
        assert record.scores == calm.scores
    assert not list(training.stages.glob("*.unfinished"))

    monkeypatch.setattr("wattune.measure.ledger.BEAT_S", 0.0)  # it is silent for long enough now
    entries = [entry for entry in load_ledger(training.runs) if entry.activity == "run"]
    assert [entry.status for entry in entries] == ["killed", "done"]
    assert whole.stages[0].spent.duration_s < entries[1].bill.duration_s
    assert whole.spent.duration_s < entries[1].bill.duration_s
    assert "killed" in wattune("ledger", training.runs).out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.timeout(600)
def test_a_signal_pauses_it_and_another_lets_it_go_on(training: Training) -> None:
    program = training.start()
    assert program.stderr is not None
    training.wait_for(EVERY, program)
    program.send_signal(signal.SIGUSR1)
    assert "paused: SIGUSR1" in next(line for line in program.stderr if "paused" in line)
    last: list[Path] = []
    while (now := training.checkpoints()) != last:  # a pause keeps one more, and then nothing moves
        last = now
        time.sleep(2.0)
    assert last
    assert program.poll() is None
    program.send_signal(signal.SIGUSR2)
    out, err = program.communicate(timeout=240)
    assert program.returncode == 0, out + err
    assert "going on after a pause" in err
    (stage,) = training.record().stages
    assert stage.details["steps"] == STEPS
    assert stage.details["paused_s"] > 0
    assert stage.spent == stage.attributed
