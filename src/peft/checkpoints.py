"""Checkpoints that say themselves whether they are whole.

transformers writes weights, optimizer, schedule and random numbers; the last file to come is ours,
with the size and SHA-256 of all others. A checkpoint without it, or that does not agree with it, is
damaged, and the one before is taken.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import CannotRun, StorageError
from ..files import file_digest, folder_bytes, read_text, storage, write_text
from ..measure.record import Bill
from ..measure.work import Tally
from ..values import Value, digest
from .batches import TokenisedExample
from .memory import FLOAT32_BYTES
from .settings import TrainingSettings

SEAL = "checkpoint.json"
PREFIX = "checkpoint-"
KEPT = 2
"""Checkpoints that are kept besides the best one."""
UNUSED = ("training_args.bin",)
"""What transformers adds and nobody reads: a pickle, with paths in it."""


class Done(Value):
    """What one process has done up to a checkpoint."""

    tokens: int = 0
    tally: Tally = Tally()
    validation_tally: Tally = Tally()


class Seal(Value):
    """Our file in a checkpoint: of which training it is, its files, and what it had cost.

    `best` is the checkpoint with the best weights by then, empty where none is wanted back;
    `files` are name -> (bytes, SHA-256), `done` the processes' doings by rank. The curves lie in
    transformers' own ``trainer_state.json``, which is among the files.
    """

    training: str
    step: int
    files: dict[str, tuple[int, str]]
    done: tuple[Done, ...]
    spent: Bill | None = None
    paused_s: float = 0.0
    best: str = ""


def training_digest(
    settings: TrainingSettings,
    examples: Sequence[TokenisedExample],
    validation: Sequence[TokenisedExample],
    **more: Any,
) -> str:
    """What names a training: its settings and its examples by id and lengths."""

    def data(some: Sequence[TokenisedExample]) -> list[list[Any]]:
        return [[one.id, len(one.prompt), len(one.answer)] for one in some]

    return digest([settings.plain(), data(examples), data(validation), more])


def check_space(folder: Path, model: Any) -> None:
    """Raise `CannotRun` where the checkpoints of `model` do not fit on the disk of `folder`: those
    kept, the best one, and the one that is being written."""
    from peft import PeftModel

    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    saved = trained if isinstance(model, PeftModel) else weights
    moments = sum(2 * FLOAT32_BYTES * weight.numel() for weight in trained)  # Adam's two
    count = KEPT + 2
    needed = count * (sum(weight.nbytes for weight in saved) + moments)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free + sum(map(folder_bytes, found(folder)))
    if needed > free:
        raise CannotRun(
            f"{count} checkpoints need {needed / 1e6:,.2f} MB and {free / 1e6:,.2f} MB is free on "
            f"the disk of {folder}; free some space (`wattune cache prune` removes prepared "
            "weights)"
        )


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, whole or not, the newest first."""
    steps = {
        int(path.name.removeprefix(PREFIX)): path
        for path in folder.glob(f"{PREFIX}*")
        if path.is_dir() and path.name.removeprefix(PREFIX).isdecimal()
    }
    return [steps[step] for step in sorted(steps, reverse=True)]


def newest(folder: Path, training: str) -> tuple[Path | None, Seal | None, tuple[str, ...]]:
    """The newest whole checkpoint of `training`, its seal, and what is to be said of the others.

    Damaged ones and those of another training are removed: nothing can be done with them.
    """
    whole: list[tuple[Path, Seal]] = []
    notes: list[str] = []
    for path in found(folder):
        seal, fault = _read(path)
        if seal is not None and seal.training != training:
            fault = "is of other settings or data"
        if fault or seal is None:
            notes.append(f"{path.name} {fault}; it was left out")
            shutil.rmtree(path, ignore_errors=True)
        else:
            whole.append((path, seal))
    names = {path.name for path, _ in whole}
    for path, seal in [pair for pair in whole if pair[1].best and pair[1].best not in names]:
        notes.append(f"{path.name} was left out: the best weights by then are damaged")
        shutil.rmtree(path, ignore_errors=True)
        whole.remove((path, seal))
    return (*whole[0], tuple(notes)) if whole else (None, None, tuple(notes))


def _read(checkpoint: Path) -> tuple[Seal | None, str]:
    try:
        seal = Seal.model_validate_json(read_text(checkpoint / SEAL))
    except (StorageError, ValidationError, OSError):
        return None, "was not written to its end"
    for name, (size, sha) in seal.files.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size or file_digest(path) != sha:
            return seal, f"is damaged ({name} is not what was written)"
    return seal, ""


def sealed(checkpoint: Path, seal: Seal) -> None:
    """Write `seal`, filled with the checkpoint's files, into it."""
    for name in UNUSED:
        (checkpoint / name).unlink(missing_ok=True)
    with storage(checkpoint):
        files = {
            path.relative_to(checkpoint).as_posix(): (path.stat().st_size, file_digest(path))
            for path in sorted(checkpoint.rglob("*"))
            if path.is_file() and path.name != SEAL
        }
    text = seal.model_copy(update={"files": files}).model_dump_json(indent=2)
    write_text(checkpoint / SEAL, text + "\n")


def rotate(folder: Path, best: Path | None) -> None:
    """Keep the newest checkpoints and the best one."""
    for path in found(folder)[KEPT:]:
        if best is None or path.name != best.name:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def saving(checkpoint: Path) -> Iterator[None]:
    """Nothing is left of a checkpoint that could not be saved; `StorageError` for a full disk."""
    try:
        with storage(checkpoint):
            try:
                yield
            except RuntimeError as error:
                # torch.save tells of a full disk by the place in its C++ where it noticed.
                if "inline_container.cc" in str(error) or "PytorchStreamWriter" in str(error):
                    raise OSError(errno.ENOSPC, str(error)) from error
                raise
    except BaseException:
        shutil.rmtree(checkpoint, ignore_errors=True)
        raise
