"""The tables that codecarbon ships, read from its folder: importing codecarbon starts programs."""

from __future__ import annotations

import functools
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InputError

COUNTRIES = "data/private_infra/global_energy_mix.json"
STATES = "data/private_infra/2023/usa_emissions.json"
CLOUDS = "data/cloud/impact.csv"


def bundled_file(path: str) -> Path:
    """Where the table `path` of codecarbon lies; `InputError` where codecarbon is missing."""
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "codecarbon is not installed, so its table of places is missing; install it, or give "
            "the intensity in g/kWh"
        )
    return Path(next(iter(spec.submodule_search_locations))) / path


@functools.cache
def bundled_json(path: str) -> dict[str, Any]:
    """The JSON object in the table `path`."""
    content: dict[str, Any] = json.loads(bundled_file(path).read_text(encoding="utf-8"))
    return content


def bundled_source(path: str, what: str) -> str:
    """One line that names the table, its version, and what its figure is."""
    return f"codecarbon {version('codecarbon')}, {path.rpartition('/')[2]}: {what}"
