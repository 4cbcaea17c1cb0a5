"""What must agree before two runs are ranked together, and the sentences that say where it fails.

Means over other questions, or scored by other rules, are other quantities. Joules of other hardware
or known in another way are too: a ranking across them would rank the machines and the models of
power, not the strategies. Decoding is no such thing: it is part of the System that is ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from ..measure.noise import CONTENDED
from ..measure.record import Record
from .figures import energy_provenance
from .seeds import Row

UNKNOWN = "not recorded"
Fields = Mapping[str, Callable[[Record], str]]


@dataclass(frozen=True)
class Group:
    """Rows that may be ranked together; `name` is empty where there is but one group.

    `mixed` names what they differ in although they are ranked together, as the user insisted.
    """

    name: str
    rows: tuple[Row, ...]
    mixed: tuple[str, ...] = ()


def _questions(record: Record) -> str:
    return f"{record.task.get('name', 'unnamed')} {record.task.get('items', UNKNOWN)}"


def _scorer(record: Record) -> str:
    return record.fingerprints.get("scorer", UNKNOWN)


def hardware(record: Record) -> str:
    """Processor, its threads, memory and GPUs, as one text."""
    return hardware_of(record.environment)


def hardware_of(environment: Mapping[str, Any]) -> str:
    """The same, of what a record or a calibration says of where it was made."""
    facts = environment.get("hardware") or {}
    parts = [str(facts.get("cpu", UNKNOWN))]
    if facts.get("cores_logical"):
        parts.append(f"{facts['cores_logical']} threads")
    if facts.get("memory_bytes"):
        parts.append(f"{facts['memory_bytes'] / 1e9:.0f} GB")
    return ", ".join([*parts, *(facts.get("gpus") or ())])


def device(record: Record) -> str:
    """Device, precision and number of processes, as one text."""
    facts = record.environment.get("machine") or {}
    return ", ".join(f"{name} {value}" for name, value in sorted(facts.items())) or UNKNOWN


def _provenance(record: Record) -> str:
    known = energy_provenance(record)
    return ", ".join(f"{name} {how}" for name, how in sorted(known.items())) or UNKNOWN


def contention(record: Record) -> str | None:
    """How much of the processors went to other programs, such as "75 %" (empty where the flag does
    not say); None where the record is not flagged."""
    for flag in record.flags:
        if flag.startswith(CONTENDED):
            return flag.partition(": ")[2].partition(" of ")[0]
    return None


def _contended(record: Record) -> str:
    phase = record.phases.get("answer")
    overlapped = phase is not None and phase.overlapped
    return "yes" if overlapped or contention(record) is not None else "no"


QUALITY: Fields = {"questions": _questions, "scorer": _scorer}
COST: Fields = {
    "hardware": hardware,
    "device and precision": device,
    "energy provenance": _provenance,
    "contended": _contended,
}


def quality_groups(rows: Sequence[Row], *, allow: bool) -> tuple[list[Group], list[str]]:
    """Rows of the same questions and scorer, and a sentence for each thing that keeps them apart
    (or, with `allow`, is overridden)."""
    names = [ascii_uppercase[n % 26] * (n // 26 + 1) for n in range(len(rows))]
    return _grouped(rows, QUALITY, names, "Quality", allow)


def cost_groups(group: Group, *, allow: bool) -> tuple[list[Group], list[str]]:
    """The same within a group, for energy and time: hardware, precision, provenance, company.

    A row whose repetitions were measured differently stands in each group with its part of them.
    """
    names = [f"{group.name}{n + 1}" for n in range(sum(len(row.records) for row in group.rows))]
    return _grouped(group.rows, COST, names, "Cost", allow)


def _grouped(
    rows: Sequence[Row], fields: Fields, names: Sequence[str], what: str, allow: bool
) -> tuple[list[Group], list[str]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        parts: dict[tuple[str, ...], list[Record]] = {}
        for record in row.records:
            parts.setdefault(tuple(of(record) for of in fields.values()), []).append(record)
        for values, records in parts.items():
            found.setdefault(values, []).append(Row(row.label, tuple(records)))
    differing = [n for n, values in enumerate(zip(*found, strict=True)) if len(set(values)) > 1]
    fields_apart = [list(fields)[n] for n in differing]
    reasons = []
    for number, field in zip(differing, fields_apart, strict=True):
        holders: dict[str, list[str]] = {}
        for name, (values, members) in zip(names, found.items(), strict=False):
            label = ", ".join(row.label for row in members)
            holders.setdefault(values[number], []).append(label if allow else f"{name}: {label}")
        sides = "; ".join(f"{value} ({', '.join(who)})" for value, who in holders.items())
        reasons.append(
            f"WARNING: {what.lower()} is ranked by --allow across different {field}: {sides}."
            if allow
            else f"{what} is not ranked across groups that differ in {field}: {sides}."
        )
    if allow or len(found) < 2:
        return [Group("", tuple(rows), tuple(fields_apart))], reasons
    groups = zip(names, found.values(), strict=False)
    return [Group(name, tuple(members)) for name, members in groups], reasons
