"""wattune's meter beside codecarbon's tasks and zeus on the same phases.

    python benchmarks/meter.py                    # about 10 minutes, on an idle machine
    python benchmarks/meter.py --run              # does metering slow a run down? about 10 minutes
    python benchmarks/meter.py --quick --repeats 1    # two minutes, to see that it works

Every case runs in a fresh process for each peer (meter_cases.py), peers taking turns. What is
wrong is told from the figures, never by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from meter_load import steady_load

HERE = Path(__file__).resolve().parent
PEERS = ("wattune", "codecarbon", "zeus")
BY_NAME = "codecarbon by name"
SINGLE_S = (0.05, 0.2, 1, 5)
TOLERANCE = 0.05
"""A figure further from the truth than this is called wrong, and one this near to that of another
interval is taken to be of that interval."""

PREAMBLE = f"""
Truth: a constant load, so that energy is power times the true time of a phase. The power is that
of codecarbon's plain tracker (start, stop, no tasks) over a long window; memory that is modelled
as a constant is taken exactly. Where the processor is modelled (modelled_load), truth is thus the
model itself under a steady load, not a power meter. A figure is wrong beyond {TOLERANCE:.0%}.
"codecarbon" stops a task as its documentation does, without a name; "by name" names it.
The figure of several phases or processes as one is wattune's total() or gather(); the others have
no such thing, so theirs are added up.
""".strip()


def worker(case: str, peer: str, *, quick: bool) -> Any:
    """What a case gives in a fresh process; ``{"failed": reason}`` where it gives nothing."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [
            *(sys.executable, *(launcher if case == "processes" else [])),
            *(str(HERE / "meter_cases.py"), case, peer, str(path)),
            *(["--quick"] if quick else []),
        ]
        environ = dict(os.environ)
        if sys.platform == "linux":
            environ["GLOO_SOCKET_IFNAME"] = "lo"
        try:
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, timeout=600
            )
        except subprocess.TimeoutExpired:
            return {"failed": "not done after 10 minutes"}
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}


def cases(quick: bool) -> Iterator[tuple[str, Sequence[str]]]:
    """The cases under load, with the peers of each."""
    for seconds in SINGLE_S[:-1] if quick else SINGLE_S:
        yield f"single {seconds:g} s", PEERS
    yield "nested", (*PEERS, BY_NAME)
    yield "threads", (*PEERS, BY_NAME)
    yield "processes", PEERS


def turned(peers: Sequence[str], by: int) -> list[str]:
    """The peers in another order each time."""
    return [*peers[by % len(peers) :], *peers[: by % len(peers)]]


def measure(repeats: int, quick: bool) -> dict[str, Any]:
    """All cases, repeated: overhead on the idle machine, figures under load."""
    result: dict[str, Any] = {"references": [], "figures": [], "overhead": {}, "idle_percent": []}
    for number in range(repeats):
        result["idle_percent"].append(busy_percent())
        for peer in turned(PEERS, number):
            tell(f"{number + 1} of {repeats}: overhead, {peer}")
            found = worker("overhead", peer, quick=quick)
            result["overhead"].setdefault(peer, []).append(found)
        with steady_load() as load:
            tell(f"{number + 1} of {repeats}: reference")
            known = worker("reference", "codecarbon", quick=quick)
            if "failed" in known:
                raise SystemExit(f"no reference: {known['failed']}")
            result["references"].append({**known, "load": load})
            watts = power(known)
            for case, peers in cases(quick):
                for peer in turned(peers, number):
                    tell(f"{number + 1} of {repeats}: {case}, {peer}")
                    found = worker(case, peer, quick=quick)
                    rows = found if isinstance(found, list) else [{"part": "", **found}]
                    told = {"case": case, "peer": peer, "watts": watts}
                    result["figures"] += [{**told, **row} for row in rows]
    tell("")
    return result


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
            found.append(f"is of {nearest} (x{1 + off:.2g})")
        else:
            found.append(f"x{1 + off:.2g}")
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
    order = [*orders, [*PEERS, BY_NAME]]
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
    rows = [["peer", "cold start s", "median ms", "95 % below ms", "phases", "note"]]
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


def run(repeats: int, quick: bool) -> dict[str, Any]:
    """Ratios of a metered to a plain run, in pairs of ABBA."""
    idle, ratios, plain_s = [], {"wall": [], "cpu": []}, []
    for number in range(repeats):
        idle.append(busy_percent())
        tell(f"{number + 1} of {repeats}: run")
        found = worker("run", "wattune", quick=quick)
        if "failed" in found:
            raise SystemExit(f"no run: {found['failed']}")
        plain, metered = found["plain_s_and_cpu_s"], found["metered_s_and_cpu_s"]
        plain_s += [wall for wall, _ in plain]
        for place, kind in enumerate(("wall", "cpu")):
            for first in range(0, len(plain), 2):
                a, b = (sum(p[place] for p in k[first : first + 2]) for k in (plain, metered))
                ratios[kind].append(b / a)
    tell("")
    return {"idle_percent": idle, "ratios": ratios, "plain_s": plain_s}


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


def busy_percent() -> float:
    """How busy the machine is while nothing of ours runs."""
    import psutil

    return float(psutil.cpu_percent(2.0))


def tell(text: str) -> None:
    """One line of progress, for a person who waits."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="how often each case runs (3)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter phases")
    parser.add_argument("--run", action="store_true", help="what metering adds to a run, instead")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    repeats = max(1, options.repeats)
    if options.run:
        found = run(repeats, options.quick)
        text = run_text(found)
    else:
        found = measure(repeats, options.quick)
        text = "\n\n".join(
            [
                PREAMBLE,
                machine(found["references"], found["idle_percent"]),
                "Error of the energy, median over n phases, in percent\n"
                + figures_table(found["figures"]),
                "Overhead of a phase after warm-up, no load\n" + overhead_table(found["overhead"]),
            ]
        )
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
