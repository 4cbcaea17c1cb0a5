"""Metering leaves no trace: no network, file, log line, print, handler, thread or setting."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.meter import Meter
from wattune.measure.record import Phase
from wattune.measure.sources.tracker import Capture, Tracker, offline_tracker


def fresh(capture: Capture) -> Tracker:
    """A tracker of its own, not the one that the meters of this process share."""
    return offline_tracker(capture)


def ram_watts(phase: Phase) -> float:
    return (phase.components["ram"].energy_j or 0.0) / phase.duration_s


LEAKS = {
    "force_cpu_power": "1000",
    "force_ram_power": "500",
    "pue": "3",
    "tracking_mode": "process",
    "co2_signal_api_token": "secret",
    "save_to_file": "true",
    "output_dir": "/nowhere",
    "force_mode_cpu_load": "true",
}


def test_a_broken_configuration_of_codecarbon_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured() -> tuple[dict[str, Any], float]:
        with Meter(tracker_factory=fresh) as meter:
            with meter.phase("work") as phase:
                time.sleep(0.2)
            ram = phase.result.components["ram"].energy_j or 0.0
            return meter.describe(), ram / phase.result.duration_s

    expected, watts = measured()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".codecarbon.config").write_text("no section\n")
    for key, value in LEAKS.items():
        monkeypatch.setenv(f"CODECARBON_{key.upper()}", value)
    before = dict(os.environ)
    found, leaked = measured()
    assert found == expected
    assert leaked == pytest.approx(watts, rel=0.05)
    assert dict(os.environ) == before
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_logging_and_signals_are_left_alone(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def state() -> list[object]:
        loggers = [logging.getLogger(), logging.getLogger("codecarbon")]
        return [
            *((log.level, log.propagate, list(log.handlers), list(log.filters)) for log in loggers),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        ]

    with Meter() as first:
        first.describe()  # so that codecarbon is imported
    logger = logging.getLogger("codecarbon")
    old = (list(logger.handlers), logger.level, logger.propagate)
    mine = logging.NullHandler()
    logger.handlers, logger.propagate = [mine], True
    logger.setLevel(logging.DEBUG)
    try:
        before = state()
        with Meter(tracker_factory=fresh) as meter, meter.phase("quiet"):
            time.sleep(1.2)  # long enough for codecarbon's own timer
            logger.debug("the user's own line")
        assert state() == before
    finally:
        logger.handlers, logger.propagate = old[0], old[2]
        logger.setLevel(old[1])
    # The user's lines pass while ours, at every level, do not.
    seen = [record.message for record in caplog.records if record.name == "codecarbon"]
    assert seen == ["the user's own line"]
    assert capfd.readouterr() == ("", "")


WATCHED = """
import json, logging, os, signal, sys, threading, time

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MOVES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
         "os.chmod", "os.utime", "shutil.", "tempfile.", "os.chdir")
seen = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        if arguments[0] != os.devnull and not isinstance(arguments[0], int):  # no pipe
            seen.append([event, str(arguments[0])])
    elif event.startswith(MOVES):
        seen.append([event, str(arguments)])
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo",
                   "socket.gethostbyname", "urllib.Request"):
        seen.append([event, str(arguments)])
        raise OSError("the network is blocked")

def state():
    names = ["", "mine", "codecarbon", "py.warnings"]
    loggers = [logging.getLogger(name) for name in names]
    return [
        [[log.level, log.propagate, log.disabled, list(log.handlers), list(log.filters)]
         for log in loggers],
        [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        signal.getitimer(signal.ITIMER_REAL),
        (sys.excepthook, threading.excepthook, sys.stdout, sys.stderr, sys.unraisablehook),
        dict(os.environ), os.getcwd(), os.umask(0o22), logging.root.manager.disable,
    ]

signal.signal(signal.SIGTERM, lambda *_: None)
logging.basicConfig(level=logging.DEBUG)
mine = logging.getLogger("mine")
mine.addHandler(logging.StreamHandler())
theirs = logging.getLogger("codecarbon")
theirs.setLevel(logging.INFO)
theirs.addHandler(logging.StreamHandler())
before = state()
from wattune.measure.meter import Meter

light = [name for name in ("codecarbon", "torch", "pandas") if name in sys.modules]
sys.addaudithook(watch)
meter = Meter()
constructed = [threading.active_count(), "codecarbon" in sys.modules]
with meter:
    with meter.phase("work") as phase:
        time.sleep(1.2)
        inside = state()[0][1:]
    meter.measure_baseline(0.1)
for _ in range(200):  # a timer that was cancelled needs a moment to end
    if threading.active_count() == 1:
        break
    time.sleep(0.05)
after = state()
print(json.dumps({
    "light": light,
    "constructed": constructed,
    "changed": [i for i, (one, two) in enumerate(zip(before, after)) if one != two],
    "threads": [thread.name for thread in threading.enumerate()],
    "seen": seen,
    "energy_j": phase.result.energy_j,
    "duration_s": phase.result.duration_s,
    "ram_w": phase.result.components["ram"].energy_j / phase.result.duration_s,
    "described": meter.describe(),
}))
"""


def run_watched(folder: Path, **environment: str) -> dict[str, Any]:
    """The script in a fresh process, with a home, a temporary and a working folder of its own."""
    homes = {name: folder / name.lower() for name in ("HOME", "TMPDIR", "CWD")}
    for path in homes.values():
        path.mkdir(exist_ok=True)
    before = sorted(folder.rglob("*"))
    for path in homes.values():
        path.chmod(0o555)
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
        **{name: str(path) for name, path in homes.items()},
        **environment,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=homes["CWD"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for path in homes.values():
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, lines[:-1]  # ours is the only line
    assert sorted(folder.rglob("*")) == before
    report: dict[str, Any] = json.loads(lines[0])
    return report


def strange(report: dict[str, Any], folder: Path) -> list[list[str]]:
    """What was written or asked for, but for two things that codecarbon's imports do once: the
    standard library tries whether the temporary folder can be written, with a file that it removes
    at once, and urllib3 whether this machine has IPv6, by an unconnected socket on loopback."""
    folder = folder / "tmpdir"
    return [
        [event, what]
        for event, what in report["seen"]
        if not (event in ("open", "os.remove") and re.search(rf"{folder}/[a-z0-9_]{{8}}\b", what))
        and not (event == "socket.bind" and what.endswith("('::1', 0))"))
    ]


def test_a_fresh_process_stays_quiet_offline_and_tidy(tmp_path: Path) -> None:
    """The cold start: first import of codecarbon, in folders that cannot be written, with sockets
    blocked and every write watched; then the same with all of codecarbon's settings set."""
    report = run_watched(tmp_path)
    assert report["light"] == []
    assert report["constructed"] == [1, False]
    assert report["changed"] == []
    assert report["threads"] == ["MainThread"]
    assert strange(report, tmp_path) == []
    assert report["energy_j"] > 0
    assert report["duration_s"] >= 1.2
    lines = ["[codecarbon]", *(f"{key} = {value}" for key, value in LEAKS.items())]
    for place in ("home", "cwd"):
        (tmp_path / place / ".codecarbon.config").write_text("\n".join(lines))
    again = run_watched(tmp_path, **{f"CODECARBON_{key.upper()}": v for key, v in LEAKS.items()})
    assert again["described"] == report["described"]
    assert again["ram_w"] == pytest.approx(report["ram_w"], rel=0.05)
    assert (again["changed"], strange(again, tmp_path)) == ([], [])


def test_what_a_starting_tracker_prints_is_dropped_and_nothing_else(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """AMD's library prints when it is imported without its driver."""

    def printing(capture: Capture) -> Tracker:
        sys.stdout.write("Unable to find libamd_smi.so\n")
        sys.stderr.write("noise\n")
        other = threading.Thread(target=lambda: sys.stdout.write("another thread\n"))
        other.start()
        other.join()
        tracker: Tracker = world.tracker(capture)
        return tracker

    before = (sys.stdout, sys.stderr)
    with Meter(tracker_factory=printing) as meter:
        meter.describe()
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("another thread\n", "")
