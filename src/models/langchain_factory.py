"""What a function of the user makes for LangChain: by its dotted name, checked for what it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ..errors import InputError, ModelError
from ..measure.quality.custom import DOTTED, imported

NAMED = "langchain:"
"""How the name of an embedder begins that a factory makes."""
HERE = "@this_machine"
"""How it ends where the meter sees what it draws."""


def made_by(factory: str, kind: Any, called: str, expected: str) -> Any:
    """What ``package.module:factory`` makes, which must be of the class `kind`.

    `called` and `expected` stand in the `ModelError` that is raised where it cannot be imported,
    fails, or makes something else. The text of a failure is not told: it may quote a key.
    """
    try:
        make = imported(factory)
    except InputError as error:
        raise ModelError(str(error)) from error
    try:
        made = make()
    except Exception as error:  # someone else's function may fail in any way
        raise ModelError(
            f'the {called} "{factory}" cannot be made: it failed ({type(error).__name__})'
        ) from None
    if not isinstance(made, kind):
        raise ModelError(
            f'the {called} "{factory}": that made an object of type {type(made).__name__}; a '
            f"LangChain {called} ({expected}) is expected"
        )
    return made


def factory_file(factory: str) -> Path:
    """The file in which ``package.module:factory`` stands; nothing but its packages is imported.

    Raises `ModelError` where the name has another form, or there is no such module.
    """
    if not DOTTED.fullmatch(factory):
        raise ModelError(f'"{factory}" is no dotted name; package.module:factory is expected')
    module = factory.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin or not Path(found.origin).is_file():
        raise ModelError(
            f'"{factory}" cannot be imported: there is no module {module}; install its package, '
            "or put its folder on PYTHONPATH"
        )
    return Path(found.origin)
