"""The machine and the software of a run: what a figure depends on, and nothing about a person."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .sources.components import cuda_in_use

PACKAGES = (
    "wattune",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "sentence-transformers",
    "codecarbon",
)
FAISS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11")
"""faiss is published under several names."""


def environment() -> dict[str, Any]:
    """Hardware, software versions and platform, in plain JSON.

    ``hardware``: cpu, cores_physical, cores_logical, memory_bytes, gpus (names; only where torch
    has already initialised CUDA). ``software``: package -> version, or None where it is not
    installed. No user, host or folder is named.
    """
    import psutil

    return {
        "hardware": {
            "cpu": cpu_model(),
            "cores_physical": psutil.cpu_count(logical=False),
            "cores_logical": psutil.cpu_count(),
            "memory_bytes": int(psutil.virtual_memory().total),
            "gpus": _gpus(),
        },
        "software": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in PACKAGES},
            "faiss": next((found for found in map(version_of, FAISS) if found), None),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
    }


@functools.cache
def code_digest() -> str:
    """Digest of wattune's own source files: a version number does not tell of local changes."""
    package = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


@functools.cache
def cpu_model() -> str:
    """The processor's name as the system gives it, or its architecture where it gives none."""
    if sys.platform == "linux":
        with suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                field, _, value = line.partition(":")
                if field.strip().lower() in ("model name", "hardware", "cpu model"):
                    return value.strip()
    elif sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            found = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout
            if found.strip():
                return found.strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    if not cuda_in_use():
        return []
    cuda = sys.modules["torch"].cuda
    return [str(cuda.get_device_name(index)) for index in range(cuda.device_count())]


def version_of(package: str) -> str | None:
    """The version of a package that is installed, else None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
