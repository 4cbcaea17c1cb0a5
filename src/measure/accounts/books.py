"""Books: what is made of a record's joules and seconds: grams by grid and scope, and money.

Energy, time and tokens are measured, and they rank. Everything here is derived from them by
figures that were declared, so it is entered last, and anew when other figures are declared.
"""

from __future__ import annotations

import datetime

from ..carbon import CarbonSource
from ..grid import Grid
from ..meter import Meter
from ..record import Carbon, Record
from .footprint import Accounting, footprint_of
from .money import load_prices, money_of
from .provider_report import load_report


class Books:
    """How records are accounted for: place or g/kWh, grid, boundary, hardware, prices.

    Making one checks all of it before any work: `InputError` for an unknown place, a provider
    without its token, a table or an export that cannot be read.
    """

    def __init__(
        self,
        place: str | None = None,
        intensity_g_per_kwh: float | None = None,
        grid: Grid | None = None,
        accounting: Accounting | None = None,
    ) -> None:
        self.accounting = accounting or Accounting()
        self._source = CarbonSource(place, intensity_g_per_kwh, grid)
        self._timed = grid is not None and grid.provider != "static"
        self._prices, _ = load_prices(
            self.accounting.prices, place=place, boundary=self.accounting.boundary
        )
        path = self.accounting.report
        self._report = load_report(path) if path is not None else None

    @classmethod
    def of_meter(cls, meter: Meter) -> Books:
        """The books of a meter that was told its place or its intensity."""
        carbon = meter.carbon
        if carbon is None or carbon.provider != "given":
            return cls(carbon.place if carbon else None)
        return cls(carbon.place, carbon.intensity_g_per_kwh)

    def entered(self, record: Record) -> Record:
        """The record with carbon, footprint and money."""
        began, ended = _time(record.started_at), _time(record.ended_at)
        carbon, reason = self._source.over(began, ended)
        return self._with(record, carbon, reason)

    def shown(self, record: Record) -> Record:
        """A record made before, by the figures declared now.

        An intensity that was looked up for the hours of a run stays: to show a record asks nobody.
        """
        if self._timed and record.carbon is not None and record.carbon.start:
            return self._with(record, record.carbon, "")
        return self.entered(record)

    def intensity_now(self) -> Carbon | None:
        """The grid's mean over the last hour, of which the newest figures are known.

        None without a provider that knows the hour, and where it has no figure.
        """
        if not self._timed:
            return None
        end = datetime.datetime.now(datetime.UTC)
        carbon = self._source.over(end - datetime.timedelta(hours=1), end).carbon
        return None if carbon is None or carbon.fallback else carbon

    def _with(self, record: Record, carbon: Carbon | None, reason: str) -> Record:
        footprint = footprint_of(record, self.accounting, carbon, self._report)
        if reason:
            footprint = footprint.model_copy(update={"notes": (reason, *footprint.notes)})
        return record.model_copy(
            update={
                "carbon": self.accounting.settled(carbon),
                "footprint": footprint,
                "money": money_of(record, self._prices, self.accounting.facility(carbon)),
            }
        )


def _time(text: str) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
