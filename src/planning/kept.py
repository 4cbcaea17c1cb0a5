"""The calibration of this machine: found in the cache, or made now and kept there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ..errors import InputError
from ..files import cache_folder, storage, write_json
from ..machine import hardware, machine, software
from ..measure.calibration import Calibration, load_calibration
from ..models.fetch import resolve
from ..values import digest
from .measuring import EMBEDDER, calibrate

SECONDS = 10.0


def kept_calibration(
    model: str,
    *,
    seconds: float = SECONDS,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """The calibration of this machine and its versions with `model`, made now where there is none
    or a `fresh` one is asked for. Raises as `calibrate`."""
    import torch

    revision = resolve(model, kind="causal_lm").revision
    told = [revision, machine(), hardware(), software(), torch.get_num_threads()]
    path = cache_folder() / "machine" / f"calibration-{digest(told)}.json"
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # two at once would measure each other
        if path.is_file() and not fresh:
            try:
                return load_calibration(path)
            except InputError:  # of an older schema, or damaged: made anew
                pass
        made = calibrate(model, seconds=seconds, embedder=EMBEDDER, say=say)
        keep_calibration(path, made)
        return made


def keep_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON. Raises `StorageError`."""
    write_json(path, calibration.plain())
