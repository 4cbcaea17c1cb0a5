"""What the hub says of a model, asked for by name: its card, its configuration and a few facts of
its page. No weights are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..measure.model_facts import ModelFacts
from .card_metadata import CARD
from .catalogue import CATALOGUE
from .facts import PRECISIONS, facts_here, gathered
from .hub import HUB_ID, HubUnreachable, fetch_files, hub_info
from .quiet import quiet_hub

WANTED = (CARD, "config.json", "sentence_bert_config.json")


def facts_online(name: str) -> ModelFacts:
    """The facts of a model, its card and configuration fetched from the hub.

    A catalogue name asks for the repository that its weights are from; one that is not from the hub
    is taken as it lies here. Raises `ModelError` for a name that is no hub id, a model that the hub
    does not know or give, and a hub that does not answer.
    """
    entry = CATALOGUE.get(name)
    if entry is not None and entry.hub is None:
        return facts_here(name)
    asked = f"{entry.hub.repo}@{entry.hub.revision}" if entry and entry.hub else name
    match = HUB_ID.fullmatch(asked)
    if match is None or Path(name).expanduser().is_dir():
        raise ModelError(f'"{name}" is no hub id (org/name), so there is nothing to ask online')
    with quiet_hub():
        try:
            info = hub_info(match["repo"], match["revision"], asked)
        except HubUnreachable as error:
            raise ModelError(
                f'the Hugging Face hub cannot be reached ({error}), so "{asked}" stays unknown'
            ) from error
        there = {sibling.rfilename for sibling in info.siblings or ()}
        wanted = [file for file in WANTED if file in there]
        folder = fetch_files(match["repo"], match["revision"], wanted) if wanted else None
    return gathered(name, str(info.sha), folder, _page(info))


def _page(info: Any) -> dict[str, Any]:
    """The facts of the hub's page: sizes of the weights and dates."""
    weights = getattr(info, "safetensors", None)
    by_type = dict(getattr(weights, "parameters", None) or {})
    most = max(by_type, key=lambda kind: by_type[kind], default=None)
    sizes = [
        sibling.size
        for sibling in info.siblings or ()
        if sibling.rfilename.endswith(".safetensors") and "/" not in sibling.rfilename
    ]
    created, changed = getattr(info, "created_at", None), getattr(info, "last_modified", None)
    return {
        "parameters": getattr(weights, "total", None),
        "weights_bytes": sum(sizes) if sizes and all(sizes) else None,
        "precision": PRECISIONS.get(most, most.lower()) if most else None,
        "published": created.date().isoformat() if created else None,
        "updated": changed.date().isoformat() if changed else None,
    }
