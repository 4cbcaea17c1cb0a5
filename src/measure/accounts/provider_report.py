"""A provider's own emissions export: it takes the place of energy times intensity."""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...files import read_text
from ...values import Value

Layout = Literal["plain", "google", "aws"]

PLAIN = ("start", "end", "kg_co2e")
GOOGLE = ("usage_month", "carbon_footprint_total_kgCO2e.location_based")
GOOGLE_MARKET = "carbon_footprint_total_kgCO2e.market_based"
AWS = ("usage_period_start", "total_mbm_emissions_value", "total_mbm_emissions_unit")
AWS_LOCATION = "total_lbm_emissions_value"
KG_OF_MTCO2E = 1000.0
"""AWS's only unit, MTCO2e, is the metric ton."""


class ReportRow(Value):
    """Emissions of an account, or of a part of it, from `start` (included) to `end` (excluded).

    `kg_co2e` is location-based and `market_kg_co2e` market-based, None where the export has none.
    """

    line: int
    start: datetime.datetime
    end: datetime.datetime
    kg_co2e: float | None
    market_kg_co2e: float | None = None
    energy_kwh: float | None = None


class Reported(Value):
    """A run's part of a report, in grams; `note` says what is missing and why."""

    location_g: float | None = None
    market_g: float | None = None
    note: str = ""


class ProviderReport(Value):
    """A provider's emissions export; `source` is its file's name."""

    source: str
    layout: Layout
    rows: tuple[ReportRow, ...]

    def of_run(
        self, started_at: str, ended_at: str, energy_j: float | None = None, share: float = 1.0
    ) -> Reported:
        """The emissions of a run from `started_at` to `ended_at` (ISO 8601; UTC without offset).

        Of each row that overlaps the run, the run bears

        - where the row has `energy_kwh` and the run's `energy_j` (joules) is known: its energy
          over the row's, for the part of the run that lies in the row;
        - else: time of overlap over time of the row, times `share`, the part of the account that
          the run was in that time (1: nothing else ran in the account).

        Rows of one period (services, projects, regions) add up. A report that does not cover the
        whole run gives no figure, and is not scaled up.
        """
        try:
            start, end = _instant(started_at), _instant(ended_at)
        except ValueError:
            return Reported(note="the record does not say when the run began and ended")
        rows = [row for row in self.rows if row.start < end and row.end > start]
        run_s = (end - start).total_seconds()
        if run_s <= 0 or not _covered(rows, start, end):
            return Reported(
                note=f"{self.source} does not cover the run ({started_at} to {ended_at})"
            )
        parts: list[float] = []
        for row in rows:
            overlap_s = (min(row.end, end) - max(row.start, start)).total_seconds()
            part = overlap_s / (row.end - row.start).total_seconds() * share
            if row.energy_kwh is not None and energy_j is not None:
                kwh = energy_j / 3.6e6 * overlap_s / run_s
                if kwh > row.energy_kwh:
                    return Reported(
                        note=f"{self.source}:{row.line}: the run's {kwh:.3g} kWh are more than the "
                        f"row's {row.energy_kwh:.3g} kWh; is it another machine's?"
                    )
                part = kwh / row.energy_kwh if row.energy_kwh else 0.0
            parts.append(part)
        location_g = _grams(parts, [row.kg_co2e for row in rows])
        market_g = _grams(parts, [row.market_kg_co2e for row in rows])
        note = ""
        if location_g is None:
            note = f"{self.source} has no location-based figure for the run"
        return Reported(location_g=location_g, market_g=market_g, note=note)


def load_report(path: Path | str) -> ProviderReport:
    """Read a provider's export, a CSV file with a header. Its columns tell whose it is:

    - Google Cloud's Carbon Footprint export: `usage_month` and
      `carbon_footprint_total_kgCO2e.location_based` / `.market_based`, in kg, scopes 1 to 3;
    - AWS Data Exports, table of carbon emissions: `usage_period_start`,
      `total_lbm_emissions_value` and `total_mbm_emissions_value` in metric tons (MTCO2e); a row is
      of the month it starts in, and all rows must be of one `model_version`;
    - anything else: `start,end,kg_co2e` and, if there are, `market_kg_co2e` and `energy_kwh`, with
      ISO 8601 dates or times (UTC without an offset; `end` is excluded).

    Other columns are passed over. Raises `InputError` with the line of every bad row, and
    `StorageError` where the file cannot be read.
    """
    path = Path(path)
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    rows: list[ReportRow] = []
    faults: list[str] = []
    versions: set[str] = set()
    try:
        layout = _layout(path, list(reader.fieldnames or []))
        for cells in reader:
            try:
                if None in cells or None in cells.values():
                    raise ValueError("it has not as many cells as the header")
                rows.append(_ROWS[layout](cells, reader.line_num))
            except ValueError as error:
                faults.append(f"{path}:{reader.line_num}: {error}")
            versions.add(cells.get("model_version") or "")
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not CSV ({error})") from error
    if layout == "aws" and len(versions) > 1:
        faults.append(
            f"{path}: rows of several model versions ({', '.join(sorted(versions))}) would count "
            "twice; keep those of one"
        )
    if not rows and not faults:
        faults.append(f"{path}: there are no rows below the header")
    if faults:
        raise InputError("\n".join(faults))
    return ProviderReport(source=path.name, layout=layout, rows=tuple(rows))


def _layout(path: Path, columns: list[str]) -> Layout:
    layouts: dict[Layout, tuple[str, ...]] = {"plain": PLAIN, "google": GOOGLE, "aws": AWS}
    for layout, needed in layouts.items():
        if set(needed) <= set(columns):
            twice = {name for name in columns if columns.count(name) > 1}
            if twice:
                raise InputError(f'{path}:1: column "{min(twice)}" is given twice')
            return layout
    expected = "; or ".join(", ".join(needed) for needed in layouts.values())
    raise InputError(
        f"{path}:1: these columns are no emissions export ({columns!r:.200}); "
        f"expected are {expected}"
    )


def _plain(cells: dict[str, str], line: int) -> ReportRow:
    start, end = _time(cells["start"]), _time(cells["end"])
    if start >= end:
        raise ValueError(f'start "{cells["start"]}" is not before end "{cells["end"]}"')
    kg_co2e = _number(cells, "kg_co2e")
    if kg_co2e is None:
        raise ValueError('"kg_co2e" is empty')
    return ReportRow(
        line=line,
        start=start,
        end=end,
        kg_co2e=kg_co2e,
        market_kg_co2e=_number(cells, "market_kg_co2e"),
        energy_kwh=_number(cells, "energy_kwh"),
    )


def _google(cells: dict[str, str], line: int) -> ReportRow:
    start, end = _month(cells["usage_month"])
    location, market = _number(cells, GOOGLE[1]), _number(cells, GOOGLE_MARKET)
    return ReportRow(line=line, start=start, end=end, kg_co2e=location, market_kg_co2e=market)


def _aws(cells: dict[str, str], line: int) -> ReportRow:
    start, end = _month(cells["usage_period_start"])
    tons: list[float | None] = []
    for column in (AWS_LOCATION, AWS[1]):
        value = _number(cells, column)
        unit = cells.get(column.replace("_value", "_unit"), "").strip()
        if value is not None and unit.lower() != "mtco2e":
            raise ValueError(f'"{column}" is in "{unit}"; MTCO2e is expected')
        tons.append(None if value is None else value * KG_OF_MTCO2E)
    return ReportRow(line=line, start=start, end=end, kg_co2e=tons[0], market_kg_co2e=tons[1])


_ROWS = {"plain": _plain, "google": _google, "aws": _aws}


def _number(cells: dict[str, str], column: str) -> float | None:
    text = cells.get(column, "").strip()
    if text in ("", "NULL", "null"):
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError(f'"{column}" is "{text}"; a finite number, 0 or more, is expected')
    return number


def _month(text: str) -> tuple[datetime.datetime, datetime.datetime]:
    """The month that a date lies in; `2026-01` is one too."""
    start = _time(f"{text}-01" if re.fullmatch(r"\d{4}-\d\d", text) else text)
    start = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    try:
        return start, (start + datetime.timedelta(days=31)).replace(day=1)
    except OverflowError:
        raise ValueError(f'"{text}" is no month of this age') from None


def _time(text: str) -> datetime.datetime:
    try:
        return _instant(text)
    except ValueError:
        raise ValueError(f'"{text}" is no ISO 8601 date or time, such as 2026-01-31') from None


def _instant(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _covered(rows: list[ReportRow], start: datetime.datetime, end: datetime.datetime) -> bool:
    """Whether the rows leave no gap between `start` and `end`."""
    reached = start
    for row in sorted(rows, key=lambda row: row.start):
        if row.start > reached:
            return False
        reached = max(reached, row.end)
    return reached >= end


def _grams(parts: list[float], kilograms: list[float | None]) -> float | None:
    """Grams of the run's parts; None where any row has no figure."""
    known = [kg for kg in kilograms if kg is not None]
    if len(known) < len(kilograms):
        return None
    return sum(part * kg for part, kg in zip(parts, known, strict=True)) * 1000
