"""Amounts as a person writes them, with their unit: ``8GB``, ``0.5Wh``, ``20EUR``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ..errors import InputError

BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
         "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40}  # fmt: skip
"""Bytes of each unit; those of the International System are powers of ten."""
WATT_HOURS = {"j": 1 / 3600, "kj": 1e3 / 3600, "wh": 1.0, "kwh": 1e3, "mwh": 1e6}
"""Watt-hours of each unit; ``MWh`` is a million of them."""

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def bytes_of(text: str) -> float:
    """The bytes of ``8GB``, ``512MiB``. Raises `InputError` for what has no unit of memory."""
    return _in_units(text, BYTES, "an amount of memory", "8GB")


def watt_hours_of(text: str) -> float:
    """The watt-hours of ``0.5Wh``, ``2kJ``. Raises `InputError` for what has no unit of energy."""
    return _in_units(text, WATT_HOURS, "an amount of energy", "0.5Wh")


def money_of(text: str) -> tuple[float, str | None]:
    """An amount and its currency, None where none is written: ``20EUR``, ``20``.

    Raises `InputError` for anything else, and for a currency not of three letters.
    """
    number, unit = _parted(text, "an amount of money", "20EUR")
    if unit and len(unit) != 3:
        raise InputError(f'"{text}": a currency has three letters, such as EUR')
    return number, unit.upper() or None


def _in_units(text: str, units: Mapping[str, float], what: str, such_as: str) -> float:
    number, unit = _parted(text, what, such_as)
    if unit.lower() not in units:
        known = ", ".join(units)
        raise InputError(f'"{text}" is not {what}; write a number and one of {known}: {such_as}')
    return number * units[unit.lower()]


def _parted(text: str, what: str, such_as: str) -> tuple[float, str]:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise InputError(f'"{text}" is not {what}; write it as {such_as}')
    return float(found[1]), found[2]
