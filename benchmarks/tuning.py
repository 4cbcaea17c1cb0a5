"""wattune's trainer beside TRL's own default script: examples a second, loss, memory.

    python benchmarks/tuning.py                 # 25 minutes on two cores
    python benchmarks/tuning.py --repeats 3     # pairs, and their median
    python benchmarks/tuning.py --case short --method lora

The same model, questions, answers, effective batch, learning rate, number of steps and precision.
Each training runs in a fresh process, and they take turns. What was learnt is the loss of answers
that neither was trained on, taken by the same function for both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from meter import busy_percent, tell, turned
from meter_report import aligned
from tuning_cases import BATCH, COUNTS, RATES

TRL, OURS = "trl", "wattune"
TARGETS = {"lora": 2.0, "full": 1.5}
"""Times TRL's examples a second that are wanted on a CPU."""


def trained(peer: str, method: str, case: str, precision: str) -> dict[str, Any]:
    """The figures of one training in a process of its own."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "figures.json"
        command = [sys.executable, str(here / "tuning_peers.py")]
        done = subprocess.run(
            [*command, peer, method, case, precision, str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{peer}, {method}, {case}: {done.stderr.strip()[-2000:]}")
        figures: dict[str, Any] = json.loads(target.read_text())
        return figures


def measured(
    cases: Sequence[str], methods: Sequence[str], precision: str, repeats: int
) -> dict[str, Any]:
    """All trainings, and the machine's matrix rate after each repeat."""
    from generation_floor import measured as rates_of

    from wattune.models.fetch import resolve

    folder = resolve("smollm2-135m-q4", kind="causal_lm").folder
    runs: list[dict[str, Any]] = []
    idle: list[float] = []
    rate = 0.0
    for number in range(repeats):
        idle.append(busy_percent())
        for case in cases:
            for method in methods:
                for peer in turned((TRL, OURS), number):
                    tell(f"{number + 1} of {repeats}: {method}, {case}, {peer}")
                    runs.append(trained(peer, method, case, precision))
        rate = max(rate, rates_of(folder, precision, ())[0].best_flops_s)
    tell("")
    return {"runs": runs, "idle_percent": idle, "flops_s": rate, "precision": precision}


def report(found: dict[str, Any]) -> str:
    """The table, from the figures alone."""
    rows = [[
        "method", "prompts", "ours ex/s", "TRL ex/s", "ratio", "wanted", "loss ours", "TRL",
        "memory", "floor s", "ours s", "of the floor",
    ]]  # fmt: skip
    kinds = dict.fromkeys((run["method"], run["case"]) for run in found["runs"])
    for method, case in kinds:
        ours, peers = (
            [r for r in found["runs"] if (r["method"], r["case"], r["peer"]) == (method, case, who)]
            for who in (OURS, TRL)
        )
        took = median(run["seconds"] for run in ours)
        floor_s = ours[0]["flops"] / found["flops_s"]
        pairs = [
            theirs["seconds"] / own["seconds"] for own, theirs in zip(ours, peers, strict=True)
        ]
        memory = [own["peak_bytes"] / p["peak_bytes"] for own, p in zip(ours, peers, strict=True)]
        rows.append([
            method, case, f"{ours[0]['examples'] / took:.2f}",
            f"{peers[0]['examples'] / median(run['seconds'] for run in peers):.2f}",
            f"{median(pairs):.2f}", f"{TARGETS[method]:g}",
            f"{ours[0]['loss']:.3f}", f"{peers[0]['loss']:.3f}", f"{median(memory):.2f}",
            f"{floor_s:.1f}", f"{took:.1f}", f"{100 * floor_s / took:.0f} %",
        ])  # fmt: skip
    about = (
        f"{found['precision']}, batch {BATCH}, {found['runs'][0]['threads']} threads, "
        f"{len(found['idle_percent'])} repeat(s); processors busy "
        f"{max(found['idle_percent']):.1f} % before\n"
        "loss: of held-out answers, a token; memory: the process's peak, ours to TRL's\n"
        f"floor: operations without padding at the best matrix rate ({found['flops_s'] / 1e9:.0f} "
        "GFLOP/s) of this run"
    )
    return f"{about}\n\n{aligned(rows)}"


def main() -> None:
    """Measure, write the figures, print the table."""
    from wattune.models.devices import preferred_dtype

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1, help="how often each training runs (1)")
    parser.add_argument("--case", choices=COUNTS, action="append", help="these prompts only")
    parser.add_argument("--method", choices=RATES, action="append", help="this method only")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: the faster")
    parser.add_argument("--json", type=Path, help="write every single figure to this file")
    given = parser.parse_args()
    found = measured(
        given.case or list(COUNTS),
        given.method or list(RATES),
        given.precision or preferred_dtype("cpu"),
        given.repeats,
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    sys.stdout.write(report(found) + "\n")


if __name__ == "__main__":
    main()
