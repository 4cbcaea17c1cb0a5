"""Report: one page of what was measured and what follows from it; reads records, no torch."""

from __future__ import annotations

from .contents import Report, report_from, report_of
from .writing import write_report

__all__ = ["Report", "report_from", "report_of", "write_report"]
