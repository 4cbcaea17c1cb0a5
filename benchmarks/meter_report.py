"""Report: tables of meter.py, and what is wrong with a figure, told from the figure itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from meter_peers import BY_NAME, PEERS

TOLERANCE = 0.05
"""A figure further from the truth than this is called wrong, and one this near to that of another
interval is taken to be of that interval."""

PREAMBLE = f"""
Truth: a constant load, so that energy is power times the true time of a phase. The power is that
of codecarbon's plain tracker (start, stop, no tasks) over a long window; memory that is modelled
as a constant is taken exactly. Where the processor is modelled (modelled_load), truth is thus the
model itself under a steady load, not a power meter. A figure is wrong beyond {100 * TOLERANCE:g} %.
"codecarbon" stops a task as its documentation does, without a name; "by name" names it.
The figure of several phases or processes as one is wattune's total() or gather(); the others have
no such thing, so theirs are added up.
""".strip()


def power(known: Mapping[str, Any]) -> dict[str, float]:
    """Watts by component; exact where the component is a constant."""
    exact = {
        name: part["tdp_w"]
        for name, part in known["components"].items()
        if part["provenance"] == "constant"
    }
    return {name: exact.get(name, watts) for name, watts in known["watts"].items()}


def error(figure: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """How far the joules of these components are from the truth; None without a figure."""
    joules = figure.get("joules") or {}
    if not names or any(name not in joules for name in names):
        return None
    watts = sum(figure["watts"][name] for name in names)
    return float(sum(joules[name] for name in names) / (watts * figure["true_s"]) - 1)


def covered(figure: Mapping[str, Any]) -> list[str]:
    """The components that have a truth and a figure."""
    return [name for name in figure["watts"] if name in (figure.get("joules") or {})]


def wrong(figure: Mapping[str, Any]) -> str:
    """What is wrong with a figure, told from the figure; empty if nothing is."""
    off = error(figure, covered(figure))
    if off is None:
        told = figure.get("failed") or figure.get("said")
        return f"no figure ({told})" if told else "no figure"
    found = []
    missing = [name for name in figure["watts"] if name not in covered(figure)]
    if missing:
        found.append(f"without {', '.join(missing)}")
    if abs(off) > TOLERANCE:
        likeness = {
            name: abs((1 + off) * figure["true_s"] / seconds - 1)
            for name, seconds in figure["others"].items()
        }
        nearest = min(likeness, key=likeness.__getitem__, default="")
        if nearest and likeness[nearest] <= TOLERANCE:
            found.append(f"is that of {nearest}")
        elif round(1 + off) > 1 and abs((1 + off) / round(1 + off) - 1) <= TOLERANCE:
            found.append(f"x{round(1 + off)}")
        else:
            found.append(f"{100 * off:+.0f} %")
        found += [figure["said"]] if figure["said"] else []
    return "; ".join(found)


def percent(values: Sequence[float | None], of: Any = median) -> str:
    known = [100 * value for value in values if value is not None]
    return f"{of(known):+.1f}" if known else "-"


def figures_table(figures: Sequence[Mapping[str, Any]]) -> str:
    """One line a case, part and peer: median errors, the worst, and what is wrong."""
    names = list(dict.fromkeys(name for figure in figures for name in figure["watts"]))
    rows = [["case", "part", "peer", "n", *(f"{n} %" for n in names), "all %", "worst", "wrong"]]
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for figure in figures:
        groups.setdefault((figure["case"], figure["part"], figure["peer"]), []).append(figure)
    orders = [list(dict.fromkeys(key[place] for key in groups)) for place in range(2)]
    order = [*orders, [*PEERS[:2], BY_NAME, *PEERS[2:]]]
    for key in sorted(groups, key=lambda key: [order[i].index(key[i]) for i in range(3)]):
        group = groups[key]
        totals = [error(figure, covered(figure)) for figure in group]
        told = Counter(filter(None, map(wrong, group)))
        notes = [f"{w} ({n} of {len(group)})" if n < len(group) else w for w, n in told.items()]
        rows.append(
            [
                *(*key, str(len(group))),
                *(percent([error(figure, [name]) for figure in group]) for name in names),
                percent(totals),
                percent(totals, lambda known: max(known, key=abs)),
                notes[0] + (f", and {len(notes) - 1} more" if len(notes) > 1 else "")
                if notes
                else "",
            ]
        )
    return aligned(rows)


def overhead_table(overhead: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Milliseconds of an empty phase."""
    rows = [["peer", "cold start s", "median ms", "p95 ms", "phases", "note"]]
    for peer in PEERS:
        done = [one for one in overhead[peer] if "failed" not in one]
        if not done:
            rows.append([peer, "-", "-", "-", "0", overhead[peer][0]["failed"]])
            continue
        spent = sorted(ms for one in done for ms in one["spent_ms"])
        rows.append(
            [
                peer,
                f"{median(one['cold_s'] for one in done):.2f}",
                f"{median(spent):.3f}",
                f"{spent[int(0.95 * len(spent))]:.3f}",
                str(len(spent)),
                "" if all(one["measured"] for one in done) else "has nothing to measure here",
            ]
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def machine(references: Sequence[Mapping[str, Any]], idle: Sequence[float]) -> str:
    """The machine, its components and how each is known, and the power taken as true."""
    one = references[0]
    versions = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
    lines = [
        f"{one['cpu']}, {os.cpu_count()} threads; {versions}",
        f"load: {', '.join(one['load'])}; "
        f"processors busy {median(r['load_percent'] for r in references):.1f} %, "
        f"and {max(idle):.1f} % before (overhead is of use only where that is near 0)",
    ]
    for name, part in one["components"].items():
        measured = [r["watts"][name] for r in references if name in r["watts"]]
        if measured:
            true = [power(r)[name] for r in references]
            source = "exact" if part["provenance"] == "constant" else "long window"
            said = f"{median(true):.3f} W ({source}; long windows {min(measured):.3f} to "
            said += f"{max(measured):.3f} W)"
        else:
            said = "no truth"
        lines.append(f"{name}: {part['provenance']}, {part['detail']}: {said}")
    return "\n".join(lines)


def run_text(found: Mapping[str, Any]) -> str:
    lines = [
        f"A run of {median(found['plain_s']):.2f} s of matrix products, plain and with a phase "
        "every half second (ABBA; the meter's cold start apart);",
        f"processors busy {max(found['idle_percent']):.1f} % before.",
    ]
    for kind, ratios in found["ratios"].items():
        low, high = min(ratios), max(ratios)
        lines.append(
            f"{kind} time, metered to plain: median {100 * (median(ratios) - 1):+.2f} % "
            f"({len(ratios)} pairs, {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %)"
        )
    return "\n".join(lines)
