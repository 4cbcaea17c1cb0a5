"""Worth: the grams and the money of what is planned, by the recipe's own books, without asking
anybody: of a grid that knows the hour, the yearly average of its place is taken."""

from __future__ import annotations

from ..measure.accounts.books import Books
from ..measure.predicted import Expected, PredictedPhase
from ..measure.record import Bill, Record
from ..recipe import Settings


class Worth:
    """Grams and money of seconds and joules; raises `InputError` as `Books` does."""

    def __init__(self, settings: Settings) -> None:
        accounting = settings.accounting.model_copy(update={"report": None})  # tells of the past
        self._books = Books(settings.place, settings.intensity_g_per_kwh, None, accounting)
        probe = self._of(1.0, 1.0)
        self.currency = probe.money.currency if probe.money is not None else None
        self.prices = probe.money.source if probe.money is not None else ""
        self.carbon = probe.carbon

    def grams(self, spent: PredictedPhase) -> Expected | None:
        """gCO2e of the operation; None where energy or grid is not known."""
        if spent.energy_j is None or self.carbon is None:
            return None
        each = self._of(3.6e6, 0.0).footprint
        if each is None or each.operational_g is None:
            return None
        return spent.energy_j.times(each.operational_g / 3.6e6)

    def money(self, spent: PredictedPhase) -> Expected | None:
        """In `currency`; None where there are no prices, or what they are for is not known."""
        if self.currency is None or spent.duration_s is None:
            return None
        found = []
        for way in ("likely", "low", "high"):
            joules = getattr(spent.energy_j, way) if spent.energy_j is not None else None
            money = self._of(joules, getattr(spent.duration_s, way)).money
            found.append(money.spent if money is not None else None)
        likely, low, high = found
        if likely is None or low is None or high is None:
            return None
        return Expected(likely=likely, low=low, high=high)

    def _of(self, energy_j: float | None, duration_s: float) -> Record:
        bill = Bill(energy_j=energy_j, duration_s=duration_s)
        return self._books.entered(Record(name="plan", key="", spent=bill))
