"""The exceptions wattune raises, as a tree.

    WattuneError                  everything below; its text is a sentence for a person
    ├── InputError                what was given cannot be used: what, where, what is right
    │   ├── RecipeError           a recipe or an override
    │   ├── TaskError             a task folder, a data file, an example
    │   ├── ModelError            a model name, its weights, its source
    │   └── StorageError          a disk that is full, a folder that cannot be written
    ├── ProcessLost               another process of this launch is gone, so this one ends too
    ├── CannotRun                 this run cannot be done here; a comparison skips it and goes on
    └── ConstraintNotMet          nothing satisfies what was asked for

The command line exits with `exit_code`: 2 for input, 3 for a constraint, 1 for anything else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WattuneError(Exception):
    """Base of all errors with a message meant for a person."""

    exit_code = 1


class InputError(WattuneError):
    """What was given cannot be used."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe, or an override on the command line, is wrong."""


class TaskError(InputError):
    """A task or one of its files is wrong."""


class ModelError(InputError):
    """A model is unknown, or its weights cannot be had or read."""


class StorageError(InputError):
    """A file or folder cannot be written or read."""


class ProcessLost(WattuneError):
    """Another process of this launch is gone, so this one ends too."""


class CannotRun(WattuneError):
    """This run cannot be done on this machine or with this model; others can go on."""

    exit_code = 2


class ConstraintNotMet(WattuneError):
    """Nothing satisfies the constraints that were given."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause such as ``; did you mean "r"?``, or what is known when nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""
