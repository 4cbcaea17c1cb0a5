"""Variants of a prompt: made of changes to its settings, checked, named and told apart."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from ..errors import CannotRun, did_you_mean
from ..prompt_file import PromptFile
from ..values import digest
from .prompt import Prompt

SENTENCE_ENDS = re.compile(r"[.!?]+[\"'”’)\]]*\s+|\n+")
SHOWN = 44
"""Characters of a value that a report shows."""


def changed(start: Prompt, changes: Mapping[str, Any], folder: Path | None = None) -> Prompt:
    """The prompt with other settings; dots in their names go deeper. Raises `ValidationError`."""
    settings = start.plain()
    for key, value in changes.items():
        *path, last = key.split(".")
        place = settings
        for part in path:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[last] = value
    return Prompt.model_validate(settings, context={"folder": folder})


def together(start: Prompt, changes: Mapping[str, Any]) -> Prompt:
    """As `changed`, of values that were checked one by one. Raises `CannotRun`."""
    try:
        return changed(start, changes)
    except ValidationError as error:
        named = ", ".join(f"{key} {shown(value)}" for key, value in changes.items())
        raise CannotRun(
            f"prompt_search: {named} does not go with the rest: {error.errors()[0]['msg']}"
        ) from error


def checked(
    start: Prompt, vary: Mapping[str, Sequence[Any]], folder: Path | None
) -> dict[str, tuple[Any, ...]]:
    """The values to try for each setting, prompt files read.

    Raises `ValidationError` with all of them that cannot be had, each at its place.
    """
    known = [name for name in Prompt.model_fields if name != "type"]
    read: dict[str, tuple[Any, ...]] = {}
    faults: list[InitErrorDetails] = []
    for field, values in vary.items():
        if field.partition(".")[0] not in known:
            faults.append(_fault((field,), f"no setting of prompt{did_you_mean(field, known)}"))
            continue
        if not values:
            faults.append(_fault((field,), "give a list of the values to try"))
        had = []
        for number, value in enumerate(values):
            try:
                variant = changed(start, {field: value}, folder)
                had.append(variant.file if field == "file" else value)
            except ValidationError as error:
                faults += [_fault((field, number), _said(fault)) for fault in error.errors()]
        read[field] = tuple(had)
    if faults:
        raise ValidationError.from_exception_data("vary", faults)
    return read


def _fault(at: tuple[str | int, ...], sentence: str) -> InitErrorDetails:
    error = {"error": ValueError(sentence)}
    return InitErrorDetails(type="value_error", loc=at, input=None, ctx=error)


def _said(fault: Any) -> str:
    """What pydantic says of a value, as a clause."""
    if fault["type"] == "extra_forbidden":
        return f'unknown key "{fault["loc"][-1]}"'
    said = str(fault.get("ctx", {}).get("error", fault["msg"]))
    return said[:1].lower() + said[1:]


def standing(best: Prompt, varied: str) -> str:
    """The name of what stood already."""
    value: Any = {**best.plain(), "file": best.file}
    for part in varied.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "as it stands" if value is None else f"as it stands: {shown(value)}"


def shown(value: Any, width: int = SHOWN) -> str:
    """A value on one line, shortened."""
    if isinstance(value, PromptFile):
        return f"{value.name} {value.version}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def identity_of(variant: Prompt) -> str:
    """Equal for variants that ask the same in the same way."""
    return digest(variant.identity())


def without_each_sentence(text: str) -> list[tuple[str, str]]:
    """Each sentence of a text, with the text that is left without it."""
    ends = [match.end() for match in SENTENCE_ENDS.finditer(text)]
    bounds = [0, *ends, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(bounds)]
    return [
        (piece.strip(), "".join(pieces[:at] + pieces[at + 1 :]).strip())
        for at, piece in enumerate(pieces)
        if piece.strip()
    ]
