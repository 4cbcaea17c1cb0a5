"""Several processes agree, fail and end together: real ones, over gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import InputError
from wattune.files import shipped_folder
from wattune.measure.processes import VARIABLES
from wattune.ranks import Ranks, _check_loading, joined

SCRIPT = Path(__file__).with_name("launched_ranks.py")


def _start(what: str, folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes as a launcher would start them, but with nobody who watches them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environ |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "HF_HOME": str(folder)}
    if sys.platform == "linux":
        environ["GLOO_SOCKET_IFNAME"] = "lo"
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), what, str(folder)],
            env={**environ, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """The script with each of its tasks: the exit code and standard error of both processes."""
    pytest.importorskip("torch.distributed")
    folder = tmp_path_factory.mktemp("ranks")
    started = {what: _start(what, folder) for what in ("agree", "killed", "stuck")}
    ended: dict[str, list[tuple[int, str]]] = {"folder": [(0, str(folder))]}
    try:
        for what, processes in started.items():
            errors = [process.communicate(timeout=120)[1] for process in processes]
            ended[what] = [(p.returncode, e) for p, e in zip(processes, errors, strict=True)]
    finally:
        for process in (one for processes in started.values() for one in processes):
            process.kill()
    return ended


@pytest.fixture(scope="module")
def found(launched: dict[str, list[tuple[int, str]]]) -> list[dict[str, Any]]:
    """What each of two processes got that agreed."""
    assert [code for code, _ in launched["agree"]] == [0, 0], launched["agree"]
    folder = Path(launched["folder"][0][1])
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_all_get_what_the_main_process_makes(found: list[dict[str, Any]]) -> None:
    assert [one["rank"] for one in found] == [0, 1]
    for one in found:
        assert one["size"] == 2
        assert one["again"]
        assert one["same"] == ["made", 0, 1]  # alone while it makes it
        assert one["each"] == [0, 10]
        assert one["merged"] == list("abcdefg")
        assert one["alone within same"] == ["alone"]
        assert one["at the end"] == [0, 1]  # still in step after all those errors
    assert [one["share"] for one in found] == [list("aceg"), list("bdf")]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("main cannot", ["CannotRun", "no room"]),
        ("last cannot", ["CannotRun", "too long"]),
        ("all fail", ["CannotRun", "nan 0"]),
        ("one fails where others meet", ["CannotRun", "before the others met"]),
    ],
)
def test_an_error_of_one_is_raised_on_all(
    found: list[dict[str, Any]], name: str, error: list[str]
) -> None:
    assert [one[name] for one in found] == [error, error]


def test_a_crash_of_one_says_where_it_was(found: list[dict[str, Any]]) -> None:
    assert found[0]["last breaks"] == ["RuntimeError", "process 1: KeyError: 'x'"]
    assert found[1]["last breaks"][0] == "KeyError"


def test_the_trainer_finds_the_processes_joined(found: list[dict[str, Any]]) -> None:
    for one in found:
        assert one["trainer"]["processes"] == 2
        assert one["trainer"]["mode"] == "ParallelMode.DISTRIBUTED"
        assert one["trainer"]["after"] == [0, 1]


def test_a_killed_process_ends_the_others_with_a_sentence(
    launched: dict[str, list[tuple[int, str]]],
) -> None:
    (code, said), (killed, _) = launched["killed"]
    assert killed == -9
    assert code == 1
    assert "process 0 ends, for another of the 2 is gone" in said
    assert "Traceback" not in said


def test_one_that_fails_among_talking_ones_ends_them(
    launched: dict[str, list[tuple[int, str]]],
) -> None:
    (waited, _), (failed, said) = launched["stuck"]
    assert failed == 1
    assert "process 1 failed while the others went on: ValueError: out of memory" in said
    assert waited == 1


def test_a_process_alone_is_trivial_and_imports_nothing() -> None:
    ranks = joined()
    assert (ranks.rank, ranks.size, ranks.main, ranks.measures) == (0, 1, True, True)
    assert ranks.same(lambda: 1) == 1
    assert ranks.each(lambda: 1) == [1]
    assert ranks.merged([ranks.share("abc")]) == list("abc")
    with pytest.raises(KeyError):
        ranks.together(lambda: os.environ[""])
    code = "import sys; from wattune.ranks import joined; joined(); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told.stdout == "False\n", told.stderr


def test_parts_of_different_length_are_put_together() -> None:
    parts: list[list[str | None]] = [["a", "d", None], ["b", "e"], ["c"]]
    assert Ranks().merged(parts) == ["a", "b", "c", "d", "e", None]


def test_weights_in_one_process_only_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    _check_loading()
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    with pytest.raises(InputError, match="set it to false"):
        _check_loading()


def test_other_verbs_are_for_one_process(
    wattune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, ("0", "0", "2", "2"), strict=True):
        monkeypatch.setenv(name, value)
    main = wattune("ls")
    assert main.code == 2
    assert "wattune ls runs in one process" in main.err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert wattune("ls") == (0, "", "")


@pytest.mark.parametrize(
    ("name", "chosen"), [("ddp", "multi_gpu"), ("fsdp2", "use_fsdp"), ("zero3", "use_deepspeed")]
)
def test_presets_are_what_accelerate_reads(name: str, chosen: str) -> None:
    launcher = pytest.importorskip("accelerate.commands.launch")
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    path = str(shipped_folder() / "accelerate" / f"{name}.yaml")
    loaded = config_args.load_config_from_file(path)  # refuses keys that it does not know
    assert loaded.num_processes == -1  # to be said at the launch
    parser = launcher.launch_command_parser()
    known = {action.dest for action in parser._actions}
    assert {*loaded.fsdp_config, *loaded.deepspeed_config} <= known
    given = parser.parse_args(["--config_file", path, "--num_processes", "3", "-m", "wattune"])
    made, _, _ = launcher._validate_launch_command(given)
    kinds = ("multi_gpu", "use_fsdp", "use_deepspeed")
    assert [kind for kind in kinds if getattr(made, kind)] == [chosen]
    assert made.num_processes == 3
    if name == "fsdp2":
        assert made.fsdp_version == 2
        assert made.fsdp_state_dict_type == "FULL_STATE_DICT"
    if name == "zero3":
        assert made.zero_stage == 3
        assert made.zero3_save_16bit_model is True
