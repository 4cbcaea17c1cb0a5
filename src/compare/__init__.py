"""Comparing: reads Records only, so it needs no torch."""

from __future__ import annotations

from .table import Comparison, compare

__all__ = ["Comparison", "compare"]
