"""wattune's meter beside codecarbon's tasks and zeus on the same phases.

    python benchmarks/meter.py                        # about 8 minutes, on an idle machine
    python benchmarks/meter.py --run                  # what metering adds to a run: 5 minutes
    python benchmarks/meter.py --quick --repeats 1    # 2 minutes, to see that it works

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from meter_load import steady_load
from meter_peers import BY_NAME, PEERS
from meter_report import PREAMBLE, figures_table, machine, overhead_table, power, run_text

HERE = Path(__file__).resolve().parent
SINGLE_S = (0.05, 0.2, 1, 5)


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


def run(repeats: int, quick: bool) -> dict[str, Any]:
    """Ratios of a metered to a plain run, in pairs of ABBA."""
    idle: list[float] = []
    plain_s: list[float] = []
    ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
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
