"""One line of an inventory: an entry of the ledger, and what its run's record tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from ..files import file_digest
from ..measure.accounts.footprint import Accounting, footprint_of
from ..measure.accounts.money import Boundary
from ..measure.ledger import FOLDER, Entry
from ..measure.record import Carbon, Footprint, Record
from ..values import Value
from .known import Known, known_of

FACTOR_UNIT = "g CO2e/kWh"


class Line(Value):
    """One activity and what it emitted; None is not known.

    `energy_j` and `operational_g` are the ledger's; `record_energy_j` and `record_operational_g`
    the part of it that its record holds, as a comparison shows it. `factor` and `market_factor` are
    in `factor_unit`; PUE is facility energy over machine energy. `record` and `entry` are files, by
    their paths in the folder.
    """

    activity: str
    name: str
    status: str
    reason: str = ""
    began: str
    ended: str
    duration_s: float
    energy_j: float | None
    operational_g: float | None
    boundary: str | None = None
    scope2_location_g: float | None = None
    scope2_market_g: float | None = None
    scope3_g: float | None = None
    embodied_g: float | None = None
    method: str = "intensity"
    factor: float | None = None
    factor_unit: str = FACTOR_UNIT
    factor_kind: str = ""
    factor_place: str = ""
    factor_year: int | None = None
    factor_start: str = ""
    factor_end: str = ""
    factor_source: str = ""
    factor_provider: str = ""
    factor_fallback: str = ""
    market_factor: float | None = None
    pue: float | None = None
    pue_source: str = ""
    energy_known_by: str = ""
    uncertainty: str = ""
    software: str = ""
    record_key: str = ""
    record_energy_j: float | None = None
    record_operational_g: float | None = None
    record: str = ""
    record_sha256: str = ""
    entry: str = ""
    entry_sha256: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What records tell that ran by the same recipe: of a run its own, of an activity without a
    record those of its folder."""

    records: tuple[Record, ...] = ()

    @cached_property
    def accounting(self) -> Accounting:
        """What the recipes declare; nothing where they differ."""
        given = {one.digest(): one for one in map(declared, self.records)}
        return next(iter(given.values())) if len(given) == 1 else Accounting()

    @cached_property
    def known(self) -> Known:
        """How their energies are known."""
        return known_of(self.records)


@dataclass(frozen=True)
class Behind:
    """What stands behind a line: an entry and its file; its run's record and that one's file, where
    there is one; and what is `told` of both. `boundary` is whose machine it was where nobody does.
    """

    path: Path
    entry: Entry
    told: Told
    record_path: Path | None = None
    record: Record | None = None
    boundary: Boundary | None = None

    @property
    def wrote(self) -> bool:
        """Whether this attempt ended in the record: earlier ones that failed bear its key too."""
        if self.record is None:
            return False
        ended = self.record.ended_at or self.record.created_at
        return self.entry.started_at <= ended <= self.entry.updated_at

    @property
    def accounting(self) -> Accounting:
        """What its recipe declares, with `boundary` where that declares none."""
        found = self.told.accounting
        return found if found.boundary else found.model_copy(update={"boundary": self.boundary})


def declared(record: Record) -> Accounting:
    """The accounting of a record's recipe; nothing where it has none that can be read."""
    try:
        return Accounting.model_validate(record.recipe.get("accounting") or {})
    except ValidationError:
        return Accounting()


def line_of(behind: Behind, folder: Path) -> Line:
    """The line of an entry, its files by their paths in `folder`."""
    entry, record = behind.entry, behind.record
    footprint = _footprint(behind)
    how = behind.told.known
    made: dict[str, object] = {}
    if record is not None and behind.record_path is not None:
        made = {
            "software": _software(record),
            "record_key": record.key,
            "record": behind.record_path.relative_to(folder).as_posix(),
            "record_sha256": file_digest(behind.record_path),
        }
        if behind.wrote:
            own = record.footprint
            made["record_energy_j"] = record.spent.energy_j
            made["record_operational_g"] = own.operational_g if own else None
    if behind.path.parent.name == FOLDER:
        made["entry"] = behind.path.relative_to(folder).as_posix()
        made["entry_sha256"] = file_digest(behind.path)
    return Line.model_validate(
        {
            "activity": entry.activity,
            "name": entry.name,
            "status": entry.status,
            "reason": entry.reason,
            "began": entry.started_at,
            "ended": entry.updated_at,
            "duration_s": entry.bill.duration_s,
            "energy_j": entry.bill.energy_j,
            "operational_g": entry.grams,
            "boundary": footprint.boundary,
            "scope2_location_g": footprint.scope2_location_g,
            "scope2_market_g": footprint.scope2_market_g,
            "scope3_g": footprint.scope3_g,
            "embodied_g": footprint.embodied_g,
            "method": footprint.method,
            **(_factor(entry.carbon) if entry.carbon else {}),
            "energy_known_by": how.by,
            "uncertainty": how.uncertainty,
            **made,
            "notes": (*_notes(behind), *footprint.notes),
        }
    )


def _footprint(behind: Behind) -> Footprint:
    """The scopes of an entry's energy, by the rules that records' are made by.

    A provider's export is not at hand any more: the record's figure stands, which is of the same
    hours; of an activity without a record it is not known.
    """
    entry, accounting = behind.entry, behind.accounting
    if accounting.report is not None:
        if behind.record is not None and behind.record.footprint is not None and behind.wrote:
            return behind.record.footprint
        return Footprint(boundary=accounting.boundary, method="provider_reported")
    # The PUE stays that of the entry, whose grams are the ledger's.
    spent = Record(name=entry.name, key=entry.key, spent=entry.bill)
    return footprint_of(spent, accounting.model_copy(update={"pue": None}), entry.carbon)


def _notes(behind: Behind) -> list[str]:
    """What makes a line less than it seems."""
    entry, record, accounting = behind.entry, behind.record, behind.accounting
    told = []
    if entry.status in ("running", "killed"):
        told.append("what it had spent by its last heartbeat (every 5 s) is counted")
    if entry.carbon and accounting.pue is not None and entry.carbon.pue != accounting.pue:
        told.append(
            f"the recipe declares a PUE of {accounting.pue:g} and the ledger counts this with "
            f"{entry.carbon.pue:g}"
        )
    if record is not None and behind.wrote:
        more = (record.spent.energy_j or 0.0) - (entry.bill.energy_j or 0.0)
        if entry.bill.energy_j is not None and more > 1e-6 * entry.bill.energy_j:
            told.append(
                f"its record holds {more:.4g} J more than the ledger counts (an endpoint's energy, "
                "modelled by tokens, is in no entry)"
            )
    return [f"{entry.activity} {entry.name} ({entry.status}): {sentence}" for sentence in told]


def _factor(carbon: Carbon) -> dict[str, str | float | int | None]:
    return {
        "factor": carbon.intensity_g_per_kwh,
        "factor_kind": carbon.kind,
        "factor_place": carbon.place,
        "factor_year": carbon.year,
        "factor_start": carbon.start,
        "factor_end": carbon.end,
        "factor_source": carbon.source,
        "factor_provider": carbon.provider,
        "factor_fallback": carbon.fallback,
        "market_factor": carbon.market_g_per_kwh,
        "pue": carbon.pue,
        "pue_source": carbon.pue_source,
    }


def _software(record: Record) -> str:
    version = (record.environment.get("software") or {}).get("wattune")
    code = record.fingerprints.get("code")
    return f"wattune {version or 'of an unknown version'}" + (f", code {code}" if code else "")
