"""The whole way with the real model: seven runs on a slice of harbour, through the command line."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wattune.measure.store import load_answers, load_records

SLICE = (
    "limit.questions=8",
    "limit.train=16",
    "realtime_questions=1",
    "lora.num_train_epochs=1",
    "full_fine_tuning.num_train_epochs=1",
    "full_fine_tuning.learning_rate=2.0e-5",  # one step without warm-up: a larger one ruins it
)
RUNS = ["zero-shot", "few-shot", "rag", "tree-rag", "lora", "full", "t-rag"]
QUALITY = ("token_f1", "exact_match", "contained")
COST = (
    "prepare_s", "load_j", "answer_wh_per_1000", "emissions_g_prepare_load_1000_answers",
    "realtime_latency_p50_s", "peak_memory_answer_gb", "artefact_mb",
)  # fmt: skip


@pytest.fixture
def own_stages(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual models, fetched once, and stages of this test's own: it trains every time and
    leaves no weights behind."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (cache / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models").symlink_to(cache / "models", target_is_directory=True)
    monkeypatch.setenv("WATTUNE_CACHE", str(folder))


def wattune(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, away from the checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "wattune", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.real_model
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("own_stages")
def test_the_quickstart_on_a_slice(tmp_path: Path) -> None:
    compare = ("compare", "quickstart", *SLICE, "--runs", tmp_path / "runs", "--format", "json")
    first = wattune(*compare, folder=tmp_path)
    rows = json.loads(first.stdout)
    assert [row["run"] for row in rows] == RUNS
    assert [row["status"] for row in rows] == ["done"] * len(RUNS), rows
    for row in rows:
        assert all(0 <= row[metric] <= 1 for metric in QUALITY)
        assert all(math.isfinite(row[cost]) and row[cost] >= 0 for cost in COST), row
        assert row["answer_wh_per_1000"] > 0
        assert row["peak_memory_answer_gb"] > 0.1
    # A real model, asked eight answerable and unanswerable questions in seven ways.
    assert max(row["token_f1"] for row in rows) > 0
    records = {record.name: record for record in load_records(tmp_path / "runs")}
    assert set(records) == set(RUNS)
    for name, record in records.items():
        answers = load_answers(tmp_path / "runs" / "quickstart", record)
        assert len(answers) == 8
        assert any(answer.text for answer in answers), name
        assert any(answer.passages for answer in answers) is ("rag" in name)
    training = {s.strategy: s for s in records["lora"].stages}["lora"]
    shared = {s.strategy: s for s in records["t-rag"].stages}["lora"]
    assert shared.key == training.key
    assert (training.reused, shared.reused) == (False, True)
    assert shared.spent.duration_s == 0
    assert shared.attributed == training.attributed
    assert training.details["losses"]

    second = wattune(*compare, folder=tmp_path)
    assert "7 of 7 runs were finished before and are reused" in " ".join(second.stderr.split())
    assert json.loads(second.stdout) == rows

    question = "Who heads the Marine Division?"
    asked = wattune("ask", tmp_path / "runs", question, folder=tmp_path)
    assert all(name in asked.stdout for name in (*RUNS, question))
    assert "(1) " in asked.stdout
