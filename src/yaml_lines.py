"""YAML with its lines: a file read as nodes or as content, and faults told with their lines.

Nothing but plain values is ever constructed. Each room says which of its errors a fault is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from .errors import InputError, did_you_mean
from .files import read_text
from .values import Value

_FAST: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEEPEST = 500
"""Nested lists and mappings. libyaml's composer calls itself with no limit of its own: 30,000 took
the process down, 10,000 did not, and other threads have smaller stacks."""

Lines = Mapping[tuple[str, ...], int]
"""The line (from 1) of each key path; an entry of a list is a path too, by its number."""

V = TypeVar("V", bound=Value)


def read_node(
    path: Path, error: type[InputError], *, fault: str = "broken YAML", aliases: bool = True
) -> yaml.Node | None:
    """The top node of a YAML file, None where it is empty; what is not YAML raises `error`.

    Without `aliases` they are refused: an alias makes a node its own child, or a few lines a tree
    of millions. Such files may be long, so libyaml reads them, which is faster and says less.
    Raises `StorageError` where the file cannot be read.
    """
    text = read_text(path)
    with _told(path, error, fault):
        if aliases:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        if "*" in text:
            _refuse_aliases(path, text, error)
        return compose_fast(text)


def compose_fast(text: str, deepest: int = DEEPEST) -> yaml.Node | None:
    """The top node of YAML as libyaml reads it, None where there is none.

    Raises `RecursionError` where it is nested deeper than `deepest`, `yaml.YAMLError` where it is
    no YAML.
    """
    # Nothing opens without a bracket or a column further right; at each, two at most. So most
    # texts need not be read twice.
    opening = text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0)
    depth = 0
    for event in yaml.parse(text, Loader=_FAST) if 2 * opening >= deepest else ():
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > deepest:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return yaml.compose(text, Loader=_FAST)


def read_mapping(
    path: Path, error: type[InputError], *, what: str = "a mapping of keys to values is expected"
) -> tuple[dict[str, Any], Lines]:
    """A YAML file that holds a mapping, and the lines of its keys.

    Raises `error` with the line for broken YAML and for keys given twice, and `what` for anything
    but a mapping; `StorageError` where the file cannot be read.
    """
    root = read_node(path, error)
    if not isinstance(root, yaml.MappingNode):
        raise error(f"{path}: {what}")
    lines: dict[tuple[str, ...], int] = {}
    try:
        for at, line in _keys(root, ()):
            if at in lines:
                raise error(f'{path}:{line}: "{at[-1]}" is given twice')
            lines[at] = line
    except RecursionError as broken:
        raise error(f"{path}: an alias (*name) stands inside what it names") from broken
    with _told(path, error, "broken YAML"):
        content = yaml.SafeLoader("").construct_document(root)
    return {str(key): value for key, value in content.items()}, lines


@contextmanager
def _told(path: Path, error: type[InputError], fault: str) -> Iterator[None]:
    """What PyYAML raises, as `error` with line and column."""
    try:
        yield
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise error(f"{path}{place}: {fault}: {broken.problem or broken.context}") from broken
    except (yaml.YAMLError, ValueError) as broken:  # ValueError: an impossible date
        raise error(f"{path}: {fault}: {str(broken).splitlines()[0]}") from broken
    except RecursionError as broken:
        raise error(f"{path}: {fault}: nested too deeply to be read") from broken


def _refuse_aliases(path: Path, text: str, error: type[InputError]) -> None:
    for event in yaml.parse(text, Loader=_FAST):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise error(
                f"{path}:{line}: YAML aliases (*{event.anchor}) are not allowed here; write the "
                "content out"
            )


def _keys(node: yaml.Node, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = (*at, str(key.value))
            yield name, key.start_mark.line + 1
            yield from _keys(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            name = (*at, str(number))
            yield name, item.start_mark.line + 1
            yield from _keys(item, name)


SHAPES = {
    "model_type": "a mapping of its keys",
    "model_attributes_type": "a mapping of its keys",
    "dict_type": "a mapping of keys",
    "tuple_type": "a list",
    "string_type": "text (in quotes, where it is a number)",
}
"""What pydantic calls by Python's names, in the words of a file."""


class LineFaults:
    """Collects what is wrong with a file, to be told all at once.

    `folder` is where the file lies; validators that read files find it in their context.
    """

    def __init__(self, where: str, lines: Lines, folder: Path | None = None) -> None:
        self.where, self.lines, self.folder = where, lines, folder
        self.found: dict[str, None] = {}

    def add(self, at: tuple[str, ...], text: str) -> None:
        """Note a fault at a key path; the line is that of the nearest key that is known."""
        near = at
        while near and near not in self.lines:
            near = near[:-1]
        line = f":{self.lines[near]}" if near else ""
        self.found[f"{self.where}{line}: {text}"] = None

    def validate(
        self, model: type[V], content: Mapping[str, Any], at: tuple[str, ...] = ()
    ) -> V | None:
        """The validated model, or None with its faults noted."""
        try:
            return model.model_validate(dict(content), context={"folder": self.folder})
        except ValidationError as error:
            faults = error.errors()
            for fault in faults:
                if _other_branch(fault, faults):
                    continue
                place = (*at, *map(str, fault["loc"]))
                self.add(place, _sentence(fault, model, at))
            return None

    def raise_any(self, error: type[InputError]) -> None:
        """Raise all faults as one `error`, if there are any."""
        if self.found:
            raise error("\n".join(self.found))


def _sentence(fault: Any, model: type[Value], at: tuple[str, ...]) -> str:
    # The branch of a union (str, TaskSource, tuple[...]) is no key that somebody wrote.
    *path, last = map(str, fault["loc"] or ("",))
    loc = [part for part in path if not _is_branch(part)]
    if fault["type"] in ("extra_forbidden", "missing") or not _is_branch(last):
        loc.append(last)
    # A run's list reads runs.NAME.2.lora.r; a person calls that lora.r.
    shown = ".".join(filter(None, [*at[-1:], *loc]))
    if fault["type"] == "extra_forbidden":
        owner = _owner(model, fault["loc"][:-1])
        known = [name for name in owner.model_fields if name != "type"] if owner else []
        return f'unknown key "{shown}"' + did_you_mean(loc[-1], known)
    if fault["type"] == "missing":
        return f'"{shown}" is missing'
    if fault["type"] == "value_error":
        return f'"{shown}": {fault["ctx"]["error"]}' if shown else str(fault["ctx"]["error"])
    owner = _owner(model, fault["loc"][:-1])
    hidden = owner is not None and owner.model_config.get("hide_input_in_errors")
    got = "" if hidden else f", not {fault.get('input')!r}"
    if fault["type"] in SHAPES:
        return f'"{shown}" takes {SHAPES[fault["type"]]}{got}'
    return f'"{shown}": {fault["msg"][0].lower()}{fault["msg"][1:]}{got}'


def _other_branch(fault: Any, faults: Sequence[Any]) -> bool:
    """Whether a mapping failed to be text, where the key takes either and the mapping has faults
    of its own."""
    *path, last = fault["loc"] or ("",)
    return (
        last == "str"
        and isinstance(fault.get("input"), Mapping)
        and any(o is not fault and list(o["loc"][: len(path)]) == path for o in faults)
    )


def _is_branch(part: str) -> bool:
    return part == "str" or part[:1].isupper() or "[" in part


def _owner(model: type[Value], path: Sequence[Any]) -> type[Value] | None:
    """The model that a nested key belongs to."""
    for part in path:
        if isinstance(part, int):
            continue  # an entry of a list: its type stands among those of the list
        field = model.model_fields.get(str(part))
        if field is None:
            return None if str(part) != model.__name__ else model
        choices = [field.annotation, *get_args(field.annotation)]
        choices += [get_args(c)[0] for c in choices if get_origin(c) is Annotated]
        models = [c for c in choices if isinstance(c, type) and issubclass(c, Value)]
        if not models:
            return None
        model = models[0]
    return model
