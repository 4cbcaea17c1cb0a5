"""Records on disk with hostile answers, and a browser without a window, driven over a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.record import (
    Baseline,
    Bill,
    Energy,
    Phase,
    Record,
    Score,
    ScoredAnswer,
    StageRecord,
)
from wattune.measure.store import write_record

QUESTIONS = 40
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script><!--",
)
"""A model's answer and a passage, as an attacker would have them."""


def recorded(
    name: str,
    right: int,
    prepare_j: float,
    answer_j: float,
    *,
    trained: bool = False,
    metric: str = "contained",
    **more: Any,
) -> Record:
    """A run that was right on the first `right` questions, and what it cost."""
    scores = tuple(1.0 if number < right else 0.0 for number in range(QUESTIONS))
    share = right / QUESTIONS
    score = Score(value=share, low=max(0.0, share - 0.1), high=min(1.0, share + 0.1), n=QUESTIONS)
    half = score.model_copy(update={"n": QUESTIONS // 2})
    joules = answer_j * QUESTIONS
    parts = {"cpu": Energy(energy_j=joules, provenance="counter")}
    curves = {
        "losses": [[step, 3.0 / step] for step in range(1, 11)],
        "validation_losses": [[5, 1.0], [10, 0.8]],
        "energy_curve": [[step, prepare_j * step / 10] for step in range(1, 11)],
    }
    bill = Bill(energy_j=prepare_j, duration_s=9.0, net_energy_j=prepare_j / 2)
    stage = StageRecord(
        strategy=name, key=f"stage-{name}", reused=False, spent=bill, attributed=bill,
        details=curves if trained else {},
    )  # fmt: skip
    content: dict[str, Any] = {
        "name": name,
        "key": f"{len(name):02d}{name}-key-of-this-run",
        "created_at": "2026-01-02T03:04:05+00:00",
        "task": {
            "name": "ferry <b>boats</b>", "items": "0", "split": "test", "questions": QUESTIONS,
            "metrics": [metric],
        },
        "recipe": {"run": name},
        "stages": (stage,) if prepare_j else (),
        "phases": {
            "load": Phase(duration_s=1.0, energy_j=20.0, net_energy_j=5.0, repeats=2),
            "answer": Phase(
                duration_s=9.0, energy_j=joules, net_energy_j=joules / 4, components=parts
            ),
        },
        "baseline": Baseline(power_w={"cpu": 5.0}, duration_s=3.0, cpu_percent=0.5),
        "prepare": bill,
        "answers": QUESTIONS,
        "quality": {metric: score},
        "quality_by": {"fact": {metric: half}, "two_hop": {metric: half}},
        "scores": {metric: scores},
        "fingerprints": {"scorer": "s1", "items": "0"},
    }  # fmt: skip
    return Record.model_validate(content | more)


def answered(record: Record) -> list[ScoredAnswer]:
    """The answers of a record: the first ones are hostile."""
    ((metric, scores),) = record.scores.items()
    return [
        ScoredAnswer(
            id=f"q{number:02d}",
            question=f"Which <em>jetty</em> is number {number}?",
            answers=("jetty",),
            kind="fact" if number % 2 else "two_hop",
            text=HOSTILE[number % 2],
            passages=({"id": "page#1", "text": HOSTILE[1], "score": 0.5},),
            outcome="correct" if score else "wrong",
            tokens_in=5,
            tokens_out=5,
            scores={metric: score},
        )
        for number, score in enumerate(scores)
    ]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three runs. A tuned one has paid back against retrieval after some 400 answers
    (7,164 J more to prepare, 18 J less an answer); a plain one is cheap and misses 0.6."""
    folder = tmp_path_factory.mktemp("runs")
    for record in (
        recorded("plain", 10, 0.0, 1.5),
        recorded("retrieval", 32, 36.0, 20.0),
        recorded("tuned", 34, 7200.0, 2.0, trained=True),
    ):
        write_record(folder, record, answered(record))
    return folder


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """`recorded`, for tests that make their own."""
    return recorded


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write records with their answers; the folder they lie in."""

    def write(*records: Record) -> Path:
        for record in records:
            write_record(tmp_path / "runs", record, answered(record))
        return tmp_path / "runs"

    return write


class Browser:
    """Chromium without a window, spoken to over a pipe (Chrome DevTools Protocol)."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        start = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
            "os.execv(sys.argv[3], sys.argv[3:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, str(to_read), str(to_write), program, "--headless",
             "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._number, self._buffer, self._session = 0, b"", ""
        self.said: list[str] = []
        found = self.send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in found if target["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """What a command gives back; what the page said meanwhile is kept in `said`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer["method"] in (
                "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded",
                "Page.javascriptDialogOpening",
            ):  # fmt: skip
                self.said.append(json.dumps(answer["params"]))

    def _next(self) -> Any:
        until = time.monotonic() + 60
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, until - time.monotonic()))
            content = os.read(self._read, 1 << 20) if ready else b""
            assert content, "the browser is gone or says nothing"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, page: Path) -> None:
        """Open a file and wait until its charts are drawn."""
        self.said.clear()
        self.send("Page.navigate", url=page.as_uri())
        until = time.monotonic() + 60
        while not self.ask("document.documentElement?.dataset.drawn || ''"):
            assert time.monotonic() < until, self.said
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        code = {"ArrowLeft": 37, "ArrowRight": 39}[key]
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, AssertionError):
            self._session = ""
            self.send("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._read)
        os.close(self._write)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests; they are skipped where there is none."""
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        pytest.skip("there is no Chromium here")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
