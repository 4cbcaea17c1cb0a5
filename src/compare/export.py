"""A comparison for other tools: every record on a line of its own, in full precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..files import csv_text
from ..measure.carbon import J_PER_WH
from .comparability import hardware
from .figures import cost_columns, energy_provenance, quality_columns
from .forgetting import FORGETTING
from .grams import FOOTPRINT
from .refresh import refresh_columns
from .serving import SERVING
from .training import training_columns

if TYPE_CHECKING:
    from ..measure.record import Record
    from .table import Comparison

FIRST = ["run", "status", "reason"]


def plain_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The comparison as JSON rows; null where a figure is unknown.

    `group` and `cost_group` name what a record's quality and costs are ranked with, and
    `not_comparable` what differs there although they are (`allow`), empty where nothing does.
    Verdicts are those of the record's row, so repetitions with other seeds share them: the word,
    run minus best with its interval, and p after correction.
    """
    columns = [*quality_columns(comparison.metrics), *cost_columns(comparison.done)]
    if any(r.batch or r.realtime for r in comparison.done):
        columns += SERVING
    columns += training_columns(comparison.done)
    columns += refresh_columns(comparison.done, comparison.metrics)
    if any(r.general for r in comparison.done):
        columns += FORGETTING
    columns += [c for c in FOOTPRINT if any(c.value(r) is not None for r in comparison.done)]
    projected = any(record.projected for record in comparison.records)
    places = _places(comparison)
    over_time = _over_time(comparison)
    rows: list[dict[str, Any]] = []
    for record in comparison.records:
        row: dict[str, Any] = {"run": record.name, "status": record.status, "reason": record.reason}
        if projected:
            row["projected"] = record.projected is not None
        if record.status == "done":
            row |= {"seed": record.seed, **places[id(record)], **_known_by(record)}
            row |= {column.name: column.value(record) for column in columns}
            row |= over_time.get(id(record), {})
            for metric, score in record.quality.items():
                row |= {f"{metric}_low": score.low, f"{metric}_high": score.high}
        rows.append(row)
    return rows


def to_csv(comparison: Comparison) -> str:
    """The same rows with one header, empty where a row has nothing."""
    rows = plain_rows(comparison)
    return csv_text(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]), rows)


def _known_by(record: Record) -> dict[str, Any]:
    """How the figures are known, so that a row says it by itself."""
    carbon = record.carbon
    return {
        "energy_provenance": "; ".join(
            f"{c} {how}" for c, how in energy_provenance(record).items()
        ),
        "place": carbon.place if carbon else None,
        "intensity_g_per_kwh": carbon.intensity_g_per_kwh if carbon else None,
        "hardware": hardware(record) if record.environment.get("hardware") else None,
        "flags": "; ".join(record.flags),
    }


def _over_time(comparison: Comparison) -> dict[int, dict[str, Any]]:
    """By id of a record: the life cycle of its row under the comparison's usage, if it has one."""
    found: dict[int, dict[str, Any]] = {}
    for cycle in (cycle for use in comparison.uses for cycle in use.cycles):
        total, parts = cycle.total_j, cycle.parts_j
        joules = {f"life_cycle_{name}_wh": value for name, value in parts.items()}
        joules["life_cycle_wh"] = total.value if total else None
        joules["life_cycle_wh_low"] = total.low if total else None
        joules["life_cycle_wh_high"] = total.high if total else None
        facts: dict[str, Any] = {
            name: None if value is None else value / J_PER_WH for name, value in joules.items()
        }
        facts |= {
            "life_cycle_g": cycle.total_g,
            "life_cycle_money": cycle.total_money,
            "life_cycle_currency": cycle.currency,
            "life_cycle_j_per_correct": cycle.j_per_correct,
            "life_cycle_unknown": "; ".join(cycle.unknown),
        }
        found |= {id(record): facts for record in cycle.costs.row.records}
    return found


def _places(comparison: Comparison) -> dict[int, dict[str, Any]]:
    """By id of a record: its groups and the verdicts of its row."""
    found: dict[int, dict[str, Any]] = {}
    for number, group in enumerate(comparison.groups):
        for place, row in enumerate(group.rows):
            facts: dict[str, Any] = {
                "group": group.name or "A",
                "cost_group": "",
                "not_comparable": "",
            }
            for metric in comparison.metrics:
                verdict = comparison.verdict(number, metric)[place]
                if verdict is None:
                    continue
                facts[f"{metric}_verdict"] = verdict.word
                if verdict.difference is not None:
                    facts |= {
                        f"{metric}_vs_best": verdict.difference.value,
                        f"{metric}_vs_best_low": verdict.difference.low,
                        f"{metric}_vs_best_high": verdict.difference.high,
                        f"{metric}_vs_best_p": verdict.p,
                    }
            found |= {id(record): dict(facts) for record in row.records}
        for part in comparison.cost_groups[number]:
            for row in part.rows:
                for record in row.records:
                    found[id(record)] |= {
                        "cost_group": part.name or f"{group.name}1",
                        "not_comparable": ", ".join((*group.mixed, *part.mixed)),
                    }
    return found
