"""Advice: from Records and needs to a choice, with its reasons; no torch."""

from __future__ import annotations

from .decide import advise
from .needs import Needs
from .verdict import Advice

__all__ = ["Advice", "Needs", "advise"]
