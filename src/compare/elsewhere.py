"""What a record's System or recipe asks elsewhere: servers, and code that may ask one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..endpoint_ref import EndpointRef
from ..measure.record import Record

ON_THIS_MACHINE = "@this_machine"
"""Stands behind the name of a LangChain factory that asks nobody elsewhere (docs/retrieval.md)."""
FACTORY = "langchain:"
"""Opens the name of an embedder that is made by a factory."""


def asked_elsewhere(record: Record) -> list[str]:
    """The servers elsewhere, and the factories that nobody declared to be of this machine, by
    name: questions or documents may go there. A factory is code, so its word is all there is."""
    contents = [record.system, record.recipe.get("runs"), record.recipe.get("model")]
    return sorted(set(_named(contents)))


def _named(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        if content.startswith(FACTORY) and not content.endswith(ON_THIS_MACHINE):
            yield content
    elif isinstance(content, Mapping):
        factory = content.get("factory")
        if isinstance(factory, str) and not factory.endswith(ON_THIS_MACHINE):
            yield factory
        if isinstance(content.get("endpoint"), str) or isinstance(content.get("langchain"), str):
            yield from _server(content)
        for part in content.values():
            yield from _named(part)
    elif isinstance(content, list | tuple):
        for part in content:
            yield from _named(part)


def _server(content: Mapping[str, Any]) -> Iterator[str]:
    try:
        server = EndpointRef.model_validate(content)
    except ValidationError:  # not told in full, so not known to be here
        yield str(content.get("endpoint") or content.get("langchain"))
        return
    if not server.on_this_machine:
        yield server.name
