"""What a record says about the machine."""

from __future__ import annotations

import getpass
import json
import platform
import socket
import subprocess
import sys
from pathlib import Path

from wattune.measure.environment import environment


def test_hardware_and_software_are_named() -> None:
    found = environment()
    hardware, software = found["hardware"], found["software"]
    assert hardware["cpu"]
    assert hardware["cores_logical"] >= 1
    assert hardware["memory_bytes"] > 1 << 28
    assert isinstance(hardware["gpus"], list)
    assert software["python"] == platform.python_version()
    for package in ("torch", "transformers", "codecarbon", "wattune", "faiss"):
        assert software[package][0].isdigit()


def test_nothing_personal_is_in_it() -> None:
    text = json.dumps(environment())
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert socket.gethostname() not in text
    assert str(Path.cwd()) not in text
    user = getpass.getuser()
    assert f'"{user}"' not in text


def test_it_imports_none_of_the_packages() -> None:
    script = (
        "import sys; from wattune.measure.environment import environment; environment();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'codecarbon', 'faiss')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
