"""The machine and the software that answers and energies depend on; keys of all kinds hold them."""

from __future__ import annotations

from typing import Any

from .measure.environment import environment
from .models.devices import preferred_device, preferred_dtype

DECISIVE = ("wattune", "torch", "transformers", "peft", "trl", "sentence-transformers", "faiss")


def machine() -> dict[str, Any]:
    """What of the machine changes the answers: device, precision, number of processes."""
    device = preferred_device()
    dtype = preferred_dtype(device)
    return {"device": device, "dtype": dtype, "processes": 1}


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
