"""The machine and the software that answers and energies depend on; keys of all kinds hold them."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .errors import InputError
from .files import cache_folder, write_text
from .measure.environment import environment
from .measure.processes import launch
from .models.devices import preferred_device, preferred_dtype
from .ranks import Ranks

SEEN_WITHIN_S = 10.0
"""A network's file system may show a new file some seconds late."""
DECISIVE = ("wattune", "torch", "transformers", "peft", "trl", "sentence-transformers", "faiss")


def machine() -> dict[str, Any]:
    """What of the machine changes the answers: device, precision, number of processes."""
    device = preferred_device()
    dtype = preferred_dtype(device)
    return {"device": device, "dtype": dtype, "processes": launch().world_size}


def hardware() -> dict[str, Any]:
    """What of the machine changes the energies: a record of another machine is another record."""
    facts = environment()["hardware"]
    known = {name: facts[name] for name in ("cpu", "cores_logical")}
    if preferred_device() == "cuda":
        import torch

        known["gpu"] = torch.cuda.get_device_name()
    return known


def software() -> dict[str, str | None]:
    """The versions that answers and energies depend on: with others a run is another run."""
    versions = environment()["software"]
    return {name: versions[name] for name in DECISIVE if name in versions}


def check_alike(ranks: Ranks) -> None:
    """Raise `InputError` on all processes unless all would answer alike and share one cache."""
    if ranks.size == 1:
        return
    ranks.same(machine)  # may let float32 and bfloat16 race: in one process, with nothing beside it
    found = ranks.each(machine)
    for rank, other in enumerate(found):
        if other != found[0]:
            raise InputError(
                f"process 0 answers in {found[0]['dtype']} on {found[0]['device']}, process {rank} "
                f"in {other['dtype']} on {other['device']}; launch on machines of one kind"
            )

    def left() -> str:
        note = f"launch-{secrets.token_hex(8)}"
        write_text(cache_folder() / note, "")
        return note

    def seen() -> bool:
        deadline = time.monotonic() + SEEN_WITHIN_S
        while not (there := note.is_file()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return there

    note = cache_folder() / ranks.same(left)
    blind = [rank for rank, there in enumerate(ranks.each(seen)) if not there]
    ranks.same(lambda: note.unlink(missing_ok=True))
    if blind:
        raise InputError(
            f"process {blind[0]} does not see the cache folder of process 0, so it cannot use what "
            "that prepares; set WATTUNE_CACHE to a folder that all machines share"
        )
