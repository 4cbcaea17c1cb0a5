"""YAML tables: the shipped ones, and files of the user's that take their place."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, ValidationError

from ...errors import InputError, did_you_mean
from ...files import read_text
from ...values import Value

TABLES = Path(__file__).parent / "tables"

Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A finite number, 0 or more. YAML's `yes` is no number, though Python counts it as 1."""

Model = TypeVar("Model", bound=Value)


@functools.cache
def shipped_table(name: str, model: type[Model]) -> Mapping[str, Model]:
    """The rows of `tables/<name>.yaml` by their names."""
    content = read_mapping(TABLES / f"{name}.yaml")
    return {row: validated(model, values, f"{name}.yaml, {row}") for row, values in content.items()}


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, read safely.

    Raises `StorageError` where there is no such file, `InputError` with the line for broken YAML,
    for a key given twice, and for anything but a mapping.
    """
    text = read_text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: broken YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an impossible date
        raise InputError(f"{path}: broken YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: a mapping of keys to values is expected")
    seen: set[str] = set()
    for key, _ in root.value:
        if str(key.value) in seen:
            raise InputError(f'{path}:{key.start_mark.line + 1}: "{key.value}" is given twice')
        seen.add(str(key.value))
    return {str(key): value for key, value in content.items()}


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
