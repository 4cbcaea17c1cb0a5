"""Provenance: what stands behind the figures of a report, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..compare.comparability import hardware
from ..compare.figures import energy_provenance
from ..compare.layout import Table
from ..measure.record import Carbon, Record
from .contents import Report

UNKNOWN = "not recorded"


def method_tables(report: Report) -> list[Table]:
    """The records with their digests, and where carbon and energy figures are from."""
    records = report.comparison.records
    done = report.comparison.done
    return [_records(records), _sources(done)]


def _records(records: Sequence[Record]) -> Table:
    rows = []
    for record in records:
        prints = record.fingerprints
        rows.append(
            (
                record.name,
                str(record.seed),
                record.created_at[:16].replace("T", " ") or UNKNOWN,
                record.key,
                *(prints.get(name, "–") or "–" for name in ("items", "scorer", "model", "code")),
            )
        )
    headers = ("run", "seed", "made (UTC)", "record", "questions", "scorer", "model", "code")
    return Table("Records and their digests", headers, tuple(rows))


def _sources(records: Sequence[Record]) -> Table:
    """What is the same for several records stands once, with all their names."""
    found: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        known = [f"{name} {how}" for name, how in sorted(energy_provenance(record).items())]
        facts = (hardware(record), ", ".join(known) or UNKNOWN, _carbon(record.carbon))
        found.setdefault(facts, []).append(record.name)
    rows = [(", ".join(dict.fromkeys(names)), *facts) for facts, names in found.items()]
    return Table("Machine, energy and carbon", ("runs", "machine", "energy", "carbon"), tuple(rows))


def _carbon(carbon: Carbon | None) -> str:
    if carbon is None:
        return "no place was given, so no grams"
    year = f", {carbon.year}" if carbon.year else ""
    return (
        f"{carbon.place}: {carbon.intensity_g_per_kwh:g} g/kWh ({carbon.kind}; {carbon.source}"
        f"{year}); PUE {carbon.pue:g} ({carbon.pue_source})"
    )
