"""YAML tables: the shipped ones, and files of the user's that take their place."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from ...errors import InputError, did_you_mean
from ...values import Value
from ...yaml_lines import read_mapping

TABLES = Path(__file__).parent / "tables"

Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A finite number, 0 or more. YAML's `yes` is no number, though Python counts it as 1."""

Model = TypeVar("Model", bound=Value)


@functools.cache
def shipped_table(name: str, model: type[Model]) -> Mapping[str, Model]:
    """The rows of `tables/<name>.yaml` by their names."""
    content, _ = read_mapping(TABLES / f"{name}.yaml", InputError)
    return {row: validated(model, values, f"{name}.yaml, {row}") for row, values in content.items()}


def validated(model: type[Model], content: Any, where: str) -> Model:
    """`content` as a `model`; raises `InputError` that tells all its faults."""
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: a mapping of keys to values is expected, not {content!r:.60}")
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise InputError(
            "\n".join(f"{where}: {_sentence(fault, model)}" for fault in error.errors())
        ) from error


def _sentence(fault: Any, model: type[Value]) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f'unknown key "{key}"' + did_you_mean(key, model.model_fields)
    if fault["type"] == "missing":
        return f'"{key}" is missing'
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f'"{key}": {fault["msg"][0].lower()}{fault["msg"][1:]}, not {fault["input"]!r:.60}'
