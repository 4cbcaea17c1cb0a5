"""A real server with the real model: `transformers serve` on loopback, asked by a recipe."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattune.machine import machine
from wattune.measure.store import load_answers
from wattune.models.fetch import resolve
from wattune.recipe import parse_recipe
from wattune.run import run_recipe

START_S = 120


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `transformers serve`, up and well."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("transformers serve needs fastapi, uvicorn and openai")
    port = free_port()
    log = tmp_path / "serve.log"
    with log.open("w", encoding="utf-8") as out:
        server = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("transformers")), "serve",
                "--host", "127.0.0.1", "--port", str(port),
                "--device", "cpu", "--dtype", str(machine()["dtype"]),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.real_model
@pytest.mark.parametrize("stream", [False, True])
def test_a_real_server_answers_as_the_same_model_here(
    tmp_path: Path, served: str, stream: bool
) -> None:
    """The same prompts of the same tokens, and but for near-ties the same greedy answers."""
    folder = resolve("smollm2-135m-q4", kind="causal_lm").folder
    sides = {
        "here": "smollm2-135m-q4",
        "there": {"endpoint": served, "model": str(folder), "timeout_s": 300, "stream": stream},
    }
    answers = {}
    for side, model in sides.items():
        recipe = parse_recipe(
            {"task": "harbour", "model": model, "limit": {"questions": 4}, "baseline_s": 0,
             "realtime_questions": 1, "runs": {"few": [{"prompt": {"shots": 2}}]}},
            name=side,
        )  # fmt: skip
        (record,) = run_recipe(recipe, tmp_path / side)
        assert record.status == "done", record.reason
        answers[side] = load_answers(tmp_path / side, record)
    assert record.environment["endpoint"]["requests"] >= 5
    assert record.environment["endpoint"]["failed"] == 0
    assert "endpoint" not in record.phases["answer"].components  # the meter sees this machine
    pairs = list(zip(answers["here"], answers["there"], strict=True))
    assert [there.tokens_in for _, there in pairs] == [here.tokens_in for here, _ in pairs]
    assert all(there.tokens_out for _, there in pairs)
    assert sum(here.text == there.text for here, there in pairs) >= 3
