"""Metrics of one's own, by the dotted name of a function."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from numbers import Real
from typing import Any

from ...errors import InputError
from .metric import Item, Metric, each

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""``package.module:function``."""


def imported(name: str) -> Callable[..., Any]:
    """What ``package.module:function`` names; its module is imported.

    Raises `InputError` where the name has another form, or there is no such thing to be called.
    """
    if not DOTTED.fullmatch(name):
        raise InputError(f'"{name}" is no dotted name; package.module:function is expected')
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # someone else's module may fail in any way
        raise InputError(
            f'"{name}" cannot be imported ({type(error).__name__}: {error}); install its package, '
            "or put its folder on PYTHONPATH"
        ) from error
    if not callable(found):
        raise InputError(f'"{name}" is no function: it is of type {type(found).__name__}')
    result: Callable[..., Any] = found
    return result


def custom_metric(name: str) -> Metric:
    """A metric of one's own: ``function(text, answers)`` gives one finite number an answer.

    `text` is the answer, which may be empty, and `answers` the tuple of accepted ones. Raises
    `InputError` where the function cannot be imported; so does its `rate` where the function fails
    or gives anything but a finite number.
    """
    function = imported(name)

    def value(item: Item) -> float:
        where = f'the metric "{name}" on the question {item.id}'
        try:
            made = function(item.text, item.answers)
        except Exception as error:  # as above
            raise InputError(f"{where} failed ({type(error).__name__}: {error})") from error
        if not isinstance(made, Real) or not math.isfinite(made):
            raise InputError(f"{where} gave {made!r}; a finite number is expected")
        return float(made)

    return Metric(each(name, value))
