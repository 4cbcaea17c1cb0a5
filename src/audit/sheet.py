"""The inventory on paper: CSV for a spreadsheet, Markdown for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..files import csv_text
from ..measure.carbon import J_PER_WH
from .known import NOT_STATED
from .lines import FACTOR_UNIT, Line

if TYPE_CHECKING:
    from .inventory import Inventory

UNITS = {"s": "s", "j": "J", "g": "g CO2e"}


def csv_sheet(inventory: Inventory) -> str:
    """A header, one row a line in full precision, and a last row with the totals."""
    rows = [
        line.plain() | {"line": number, "notes": "; ".join(line.notes)}
        for number, line in enumerate(inventory.lines, start=1)
    ]
    sums = {name: one.total for name, one in inventory.sums.items()}
    period = {"began": inventory.began, "ended": inventory.ended}
    said = {"software": inventory.written_by, "notes": "; ".join(inventory.check)}
    rows.append({"line": "total", **period, **sums, **said})
    return csv_text(["line", *Line.model_fields], rows)


def markdown_sheet(inventory: Inventory) -> str:
    """Totals and how they were checked, the lines, how each is known, and the files behind them."""
    numbered = list(enumerate(inventory.lines, start=1))
    parts = [
        f"# Inventory of {_text(inventory.folder)}",
        f"{len(inventory.lines)} lines from {inventory.began} to {inventory.ended}. Metered by "
        f"{', '.join(inventory.software) or 'software that is not recorded'}; written by "
        f"{inventory.written_by}.",
        *[f"**Check:** {_text(sentence)}." for sentence in inventory.check],
        _table(("total", "value", "lines without a figure"), _totals(inventory)),
        "## Lines",
        _table(
            ("line", "began", "activity", "name", "status", "s", "Wh", "operational g", "boundary",
             "scope 2 g location", "scope 2 g market", "scope 3 g", "embodied g"),
            ((str(n), line.began, line.activity, line.name, line.status, _figure(line.duration_s),
              _figure(line.energy_j, 1 / J_PER_WH), _figure(line.operational_g),
              line.boundary or "not declared", _figure(line.scope2_location_g),
              _figure(line.scope2_market_g), _figure(line.scope3_g), _figure(line.embodied_g))
             for n, line in numbered),
        ),
        "## Emission factors",
        _table(
            ("lines", FACTOR_UNIT, "place", "kind", "of", "source", "provider", "fallback",
             "market", "PUE", "PUE from", "uncertainty"),
            _alike(numbered, _factor),
        ),
        "## How the energy is known",
        _table(("lines", "by component", "uncertainty"), _alike(numbered, _known)),
        "## Records behind the lines",
        _table(
            ("line", "record", "SHA-256", "ledger entry", "SHA-256", "Wh in the record",
             "operational g in the record"),
            ((str(n), line.record or "–", line.record_sha256 or "–", line.entry or "–",
              line.entry_sha256 or "–", _figure(line.record_energy_j, 1 / J_PER_WH),
              _figure(line.record_operational_g))
             for n, line in numbered),
        ),
        "What a record holds is a part of its line, and what `wattune compare` shows; the rest was "
        "spent on imports, warming up and writing files.",
        *(["## Notes", "\n".join(f"- {_text(note)}" for note in inventory.notes)]
          if inventory.notes else []),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _totals(inventory: Inventory) -> Iterable[tuple[str, ...]]:
    for name, one in inventory.sums.items():
        shown, _, unit = name.rpartition("_")
        shown = shown.replace("_", " ").replace("scope2", "scope 2").replace("scope3", "scope 3")
        shown = f"{shown}, {UNITS[unit]}"
        value = f"{one.total:.9g}" if one.total is not None else "not known"
        if one.total is None and one.lacking < len(inventory.lines):
            value += f" (known: {one.known:.9g})"
        yield shown, value, str(one.lacking)


def _factor(line: Line) -> tuple[str, ...]:
    if line.factor is None:
        return ("not known", *["–"] * 10)
    hours = f"{line.factor_start} to {line.factor_end}" if line.factor_start else ""
    return (
        f"{line.factor:g}",
        line.factor_place,
        line.factor_kind,
        hours or (str(line.factor_year) if line.factor_year else "year not stated"),
        line.factor_source,
        line.factor_provider,
        line.factor_fallback or "none",
        "not declared" if line.market_factor is None else f"{line.market_factor:g}",
        "–" if line.pue is None else f"{line.pue:g}",
        line.pue_source,
        NOT_STATED,  # of an emission factor no source gives one
    )


def _known(line: Line) -> tuple[str, ...]:
    return line.energy_known_by, line.uncertainty


def _alike(lines: Sequence[tuple[int, Line]], of: Any) -> Iterable[tuple[str, ...]]:
    """One row for all lines of which the same is to be told, with their numbers."""
    found: dict[tuple[str, ...], list[int]] = {}
    for number, line in lines:
        found.setdefault(of(line), []).append(number)
    for cells, numbers in found.items():
        yield _ranges(numbers), *cells


def _ranges(numbers: Sequence[int]) -> str:
    """Such as "1–4, 6"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("–".join(map(str, part)) for part in parts)


def _figure(value: float | None, by: float = 1.0) -> str:
    return "–" if value is None else f"{value * by:.4g}"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *[[_text(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: str) -> str:
    """What was typed by others, in one cell: no HTML, no new line, no new column."""
    plain = " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("&", "&amp;").replace("<", "&lt;")
