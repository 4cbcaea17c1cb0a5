"""A time series of carbon intensities in a CSV file of the user's."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from ...errors import InputError
from ...files import read_text
from ..record import Carbon
from .forecast import Forecast, forecast_over
from .intervals import Interval, carbon_over, window
from .provider import Grid

Kind = Literal["average", "marginal"]
KINDS: dict[str, Kind] = {"": "average", "average": "average", "marginal": "marginal"}


class Series:
    """The `IntensityProvider` of a CSV file: columns ``start``, ``g_per_kwh``, and, if wanted,
    ``end``, ``kind`` and ``source``; others are passed over. The file is read once, when made.

    Times are ISO 8601 with an offset or ``Z``, in any order. A row without ``end`` lasts as long
    as the shortest distance between two rows, so a missing row is a gap and no longer neighbour.
    A row without a figure is a gap too. ``kind`` is ``average`` (taken where none stands) or
    ``marginal``, the same in all rows. Raises `InputError` with the line of what is wrong.
    """

    def __init__(self, grid: Grid) -> None:
        path = Path(str(grid.file))
        self.name = path.name
        self.intervals, self.kind = read_series(path)

    def intensity(self, place: str | None, start: datetime, end: datetime) -> Carbon:
        """The mean over the run; `IntensityUnavailable` where no row overlaps it."""
        return carbon_over(
            self.intervals,
            *window(start, end),
            place=place or "unnamed",
            provider="csv",
            source=self.name,
            kind=self.kind,
        )

    def forecast(self, start: datetime, end: datetime) -> Forecast:
        """The file's rows of that time: what is later than now is taken for a forecast."""
        start, end = window(start, end)
        return forecast_over(
            self.intervals, start, end, provider="csv", source=self.name, kind=self.kind
        )


class _Row(NamedTuple):
    line: int
    start: datetime
    end: datetime | None
    g_per_kwh: float | None
    kind: Kind
    source: str


def read_series(path: Path) -> tuple[list[Interval], Kind]:
    """The figures in a CSV file, by time, and what kind they are. See `Series` for the format."""
    rows = _rows(path)
    step = min((after.start - row.start for row, after in pairwise(rows)), default=None)
    intervals: list[Interval] = []
    for row, after in zip_longest(rows, rows[1:]):
        if after and after.start == row.start:
            lines = sorted((row.line, after.line))
            _fault(path, lines[1], f"start {row.start.isoformat()} is on line {lines[0]} already")
        if row.kind != rows[0].kind:
            _fault(path, row.line, f'kind "{row.kind}", but "{rows[0].kind}" elsewhere')
        if row.end is None and step is None:
            _fault(path, row.line, "a single row needs an end")
        end = row.end or row.start + (step or timedelta())
        if after and end > after.start:
            _fault(path, row.line, f"ends after the start of line {after.line}: rows overlap")
        if row.g_per_kwh is not None:
            intervals.append(Interval(row.start, end, row.g_per_kwh, row.source))
    if not intervals:
        raise InputError(f"{path}: no row has a figure")
    return intervals, rows[0].kind


def _rows(path: Path) -> list[_Row]:
    """The rows in order of time."""
    text = read_text(path)
    header = text.partition("\n")[0]
    if ";" in header and "," not in header:
        raise InputError(
            f"{path}: its columns are parted by semicolons; save it with commas, and with points "
            "in the figures"
        )
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [name for name in ("start", "g_per_kwh") if name not in names]
        if missing:
            raise InputError(
                f'{path}: no column "{missing[0]}"; the first line must name the columns start '
                "and g_per_kwh"
            )
        reader.fieldnames = names
        # Its own line_num is not moved on by blank lines, nor by what ends in an error.
        rows = [_row(path, reader.reader.line_num, row) for row in reader]
    except csv.Error as error:
        _fault(path, reader.reader.line_num, f"not CSV ({error})")
    return sorted(rows, key=lambda row: row.start)


def _row(path: Path, line: int, cells: dict[str | None, str | list[str] | None]) -> _Row:
    if None in cells:
        _fault(path, line, "more cells than columns (a figure reads 56.4, with a point)")
    given = {name: str(cell or "").strip() for name, cell in cells.items()}
    start = _moment(path, line, "start", given["start"])
    end = _moment(path, line, "end", given["end"]) if given.get("end") else None
    if end is not None and end <= start:
        _fault(path, line, "the end is not after the start")
    kind = given.get("kind", "")
    if kind not in KINDS:
        _fault(path, line, f'kind "{kind}": average or marginal is expected')
    figure = _figure(path, line, given["g_per_kwh"]) if given["g_per_kwh"] else None
    return _Row(line, start, end, figure, KINDS[kind], given.get("source", ""))


def _moment(path: Path, line: int, column: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    _fault(
        path,
        line,
        f'{column} "{text}": a time with its offset is expected, such as 2026-01-31T14:00+01:00 or '
        "2026-01-31T13:00Z",
    )


def _figure(path: Path, line: int, text: str) -> float:
    try:
        figure = float(text)
    except ValueError:
        figure = math.nan
    if not math.isfinite(figure) or figure < 0:
        _fault(path, line, f'g_per_kwh "{text}": a number of g CO2e a kWh, 0 or more, is expected')
    return figure


def _fault(path: Path, line: int, what: str) -> NoReturn:
    raise InputError(f"{path}:{line}: {what}")
