"""The meter on this machine, with codecarbon's own tracker."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from wattune.errors import InputError
from wattune.measure.meter import Meter
from wattune.measure.record import Phase
from wattune.measure.tracker import Capture, Tracker, TrackerFactory, offline_tracker


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.fixture(scope="module")
def meter() -> Iterator[Meter]:
    with Meter() as shared:
        shared.describe()  # the cold start is paid here
        yield shared


def fresh(capture: Capture) -> Tracker:
    """A tracker of its own, not the one that the meters of this process share."""
    return offline_tracker(capture)


def joules(phase: Phase) -> float:
    assert phase.energy_j is not None, phase
    return phase.energy_j


def test_phase_has_time_energy_memory_and_provenance(meter: Meter) -> None:
    with meter.phase("work") as phase:
        busy(0.3)
    result = phase.result
    assert meter.phases["work"] == result
    assert 0.3 <= result.duration_s < 1.0
    assert not result.below_resolution
    assert result.error is None
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 10 << 20
    assert {"cpu", "ram"} <= result.components.keys()
    assert result.components["ram"].provenance in ("constant", "integrated_power")
    for energy in result.components.values():
        assert energy.provenance != "failed"
        assert energy.energy_j is not None
        assert energy.energy_j > 0
        assert energy.detail
    assert joules(result) == pytest.approx(
        sum(energy.energy_j or 0.0 for energy in result.components.values())
    )


def test_constant_power_gives_watts_times_seconds_and_so_kwh_are_joules(meter: Meter) -> None:
    with meter.phase("constant") as phase:
        time.sleep(0.5)
    ram = phase.result.components["ram"]
    if ram.provenance != "constant":
        pytest.skip("this machine measures its memory's power")
    watts = float(meter.describe()["ram_model"].split()[0])
    assert ram.energy_j == pytest.approx(watts * phase.result.duration_s, rel=0.05)


def test_phases_sum_to_the_phase_around_them(meter: Meter) -> None:
    with meter.phase("outer") as outer:
        with meter.phase("first") as first:
            busy(0.3)
        with meter.phase("second") as second:
            time.sleep(0.3)
    parts = joules(first.result) + joules(second.result)
    assert parts == pytest.approx(joules(outer.result), rel=0.05)
    assert outer.result.duration_s >= first.result.duration_s + second.result.duration_s


def test_work_of_a_child_process_that_has_exited_is_counted(meter: Meter) -> None:
    if meter.describe().get("cpu_mode") != "cpu_load":
        pytest.skip("the counters of this machine see every process anyway")
    script = "import time\nend = time.time() + 0.6\nwhile time.time() < end: pass"
    with meter.phase("children") as children:
        running = [
            subprocess.Popen([sys.executable, "-ISc", script]) for _ in range(os.cpu_count() or 1)
        ]
        for child in running:
            child.wait()
    watts = (children.result.components["cpu"].energy_j or 0.0) / children.result.duration_s
    assert watts > 0.4 * meter.describe()["cpu_tdp_w"]  # idle is 0.1, and every core was busy


def test_an_exception_closes_the_phase_and_goes_on(meter: Meter) -> None:
    with pytest.raises(ValueError, match="boom"), meter.phase("raising"):  # noqa: PT012
        busy(0.12)
        raise ValueError("boom\nwith more lines")
    phase = meter.phases["raising"]
    assert phase.error == "ValueError: boom"
    assert joules(phase) > 0


def test_an_open_phase_has_no_result(meter: Meter) -> None:
    with meter.phase("open") as phase, pytest.raises(RuntimeError, match="still open"):
        _ = phase.result


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.04])
def test_short_phases_are_marked(meter: Meter, seconds: float) -> None:
    with meter.phase(f"short {seconds}") as phase:
        time.sleep(seconds)
    assert phase.result.below_resolution
    assert joules(phase.result) >= 0


def test_a_short_phase_does_not_leak_into_the_next(meter: Meter) -> None:
    if meter.describe()["ram_model"].split()[-1] != "constant":
        pytest.skip("needs a component of constant power")
    with meter.phase("leak 1") as first:
        time.sleep(0.03)
    with meter.phase("leak 2") as second:
        time.sleep(0.2)
    watts = float(meter.describe()["ram_model"].split()[0])
    for phase in (first, second):
        seconds = (phase.result.components["ram"].energy_j or 0.0) / watts
        assert seconds == pytest.approx(phase.result.duration_s, abs=0.02)


def test_a_name_used_again_is_added(meter: Meter) -> None:
    with meter.phase("twice") as first:
        time.sleep(0.11)
    with meter.phase("twice") as second:
        time.sleep(0.11)
    total = meter.phases["twice"]
    assert total.duration_s == pytest.approx(first.result.duration_s + second.result.duration_s)
    assert joules(total) == pytest.approx(joules(first.result) + joules(second.result))


def test_phases_of_several_threads_each_see_the_machine(meter: Meter) -> None:
    def work(name: str) -> None:
        with meter.phase(name):
            time.sleep(0.3)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [meter.phases[f"thread {n}"].components["ram"].energy_j or 0.0 for n in range(3)]
    assert min(found) > 0
    assert max(found) == pytest.approx(min(found), rel=0.15)


def test_description(meter: Meter) -> None:
    described = meter.describe()
    assert described["cpu"]
    assert isinstance(described["gpus"], list)
    if described["cpu_mode"] == "cpu_load":
        assert described["cpu_tdp_w"] > 0
        assert "TDP" in described["cpu_tdp_source"]
        with meter.phase("described") as phase:
            time.sleep(0.11)
        cpu = phase.result.components["cpu"]
        assert cpu.provenance == "modelled_load"
        assert described["cpu"] in cpu.detail
        assert described["cpu_tdp_source"] in cpu.detail


@pytest.mark.parametrize("factory", [offline_tracker, fresh])
def test_double_close_and_metering_again(factory: TrackerFactory) -> None:
    meter = Meter(tracker_factory=factory)
    meter.close()  # before anything was metered
    with meter.phase("one"):
        time.sleep(0.11)
    meter.close()
    meter.close()
    with meter.phase("two") as phase:
        time.sleep(0.11)
    meter.close()
    assert joules(phase.result) > 0
    assert set(meter.phases) == {"one", "two"}


def test_closing_one_meter_leaves_the_other_running(meter: Meter) -> None:
    other = Meter()
    with other.phase("theirs"):
        pass
    with meter.phase("ours") as phase:
        other.close()
        time.sleep(0.11)
    assert joules(phase.result) > 0


def test_a_meter_closed_within_its_phase_says_so() -> None:
    meter = Meter(tracker_factory=fresh)
    with meter.phase("cut") as phase:
        meter.close()
        time.sleep(0.11)
    assert phase.result.energy_j is None
    assert {energy.provenance for energy in phase.result.components.values()} == {"failed"}


def test_start_up_is_outside_the_first_phase() -> None:
    with Meter(tracker_factory=fresh) as meter:
        with meter.phase("first") as phase:
            pass
        assert phase.result.duration_s < 0.2


def test_the_place_is_kept_and_checked() -> None:
    carbon = Meter("FRA").carbon
    assert carbon is not None
    assert carbon.place == "FRA"
    assert Meter().carbon is None
    with pytest.raises(InputError, match="FRA"):
        Meter("FR")


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


@pytest.mark.parametrize("broken", [False, True])
def test_configuration_of_codecarbon_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
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
    lines = [f"{key} = {value}" for key, value in LEAKS.items()]
    config = "no section\n" if broken else "\n".join(["[codecarbon]", *lines])
    (tmp_path / ".codecarbon.config").write_text(config)
    for key, value in LEAKS.items():
        monkeypatch.setenv(f"CODECARBON_{key.upper()}", value)
    before = dict(os.environ)
    found, leaked = measured()
    assert found == expected
    assert leaked == pytest.approx(watts, rel=0.05)
    assert dict(os.environ) == before
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_no_network_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(*arguments: object, **_: object) -> NoReturn:
        asked.append(repr(arguments))
        raise OSError("the network is blocked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with Meter(tracker_factory=fresh) as meter, meter.phase("offline") as phase:
        time.sleep(0.11)
    assert joules(phase.result) > 0
    assert asked == []


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


def test_a_fresh_process_stays_quiet_offline_and_tidy(tmp_path: Path) -> None:
    """The cold start: first import of codecarbon, in a folder that cannot be written."""
    script = textwrap.dedent(
        """
        import json, logging, os, signal, socket, sys, threading, time

        def refuse(*_, **__):
            raise SystemExit("network")

        socket.socket.connect = socket.getaddrinfo = refuse
        logging.basicConfig(level=logging.DEBUG)
        root = logging.getLogger()
        before = (root.level, list(root.handlers), dict(os.environ), os.getcwd())
        hooks = (sys.excepthook, threading.excepthook)
        from wattune.measure.meter import Meter

        light = [name for name in ("codecarbon", "torch", "pandas") if name in sys.modules]
        with Meter() as meter:
            with meter.phase("work") as phase:
                time.sleep(1.2)
        handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        print(json.dumps({
            "light": light,
            "same": (root.level, list(root.handlers), dict(os.environ), os.getcwd()) == before,
            "hooks": (sys.excepthook, threading.excepthook) == hooks,
            "signals": handlers == [signal.default_int_handler, signal.SIG_DFL],
            "energy_j": phase.result.energy_j,
            "duration_s": phase.result.duration_s,
        }))
        """
    )
    folder = tmp_path / "readonly"
    folder.mkdir()
    folder.chmod(0o555)
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["light"] == []
    assert report["same"]
    assert report["hooks"]
    assert report["signals"]
    assert report["energy_j"] > 0
    assert 1.2 <= report["duration_s"] < 2.0
    assert list(folder.iterdir()) == []
