"""Index and tree: what building, asking and opening take, beside LangChain's stores and RAPTOR.

    python benchmarks/retrieval.py --texts FOLDER [FOLDER ...] [--sizes 1000,10000,100000]
        [--ours 1000000] [--minutes 10] [--work FOLDER]

All cases take the same windows of real text from the folders, with the same vectors of a static
model, computed before; a question is embedded before as well. Each case is a process of its own,
stopped after `--minutes`. Needs langchain-community and umap-learn for the peers (the extra
`peers`); without them these say so. Recall is of the 10 nearest, against comparing all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from retrieval_texts import ASKED, CHUNKS, VECTORS, collect

COLUMNS = ("chunks", "case", "build s", "query ms", "recall@10", "memory GB", "what")
PEERS = ("langchain-memory", "langchain-faiss")
TREES = ("summary-windows", "summary-clusters", "raptor")


def main() -> None:
    """Collect the texts where that was not done, run all cases, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--texts", type=Path, nargs="+", required=True)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--ours", type=int, default=1_000_000, help="chunks of ours alone")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--embedder", default="minilm", help="the static model is made from it")
    parser.add_argument("--work", type=Path, default=Path("retrieval-work"))
    parser.add_argument("--cases", help="only these, with commas between")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    sizes = [int(size) for size in given.sizes.split(",") if size]
    largest = max([*sizes, given.ours])
    if not all((given.work / name).is_file() for name in (CHUNKS, VECTORS, ASKED)):
        collect(given.texts, largest, given.work, given.embedder)
    lines = [[str(column) for column in COLUMNS]]
    wanted = given.cases.split(",") if given.cases else None
    for size in sorted({*sizes, given.ours} - {0}):
        cases = ["ours", "ours-opened", "ours-opened"]
        cases += [*PEERS, *TREES] if size in sizes else ["summary-windows"]
        for case in cases:
            if wanted is None or case in wanted:
                lines.append(row(case, size, run(case, size, given.work, given.minutes)))
                sys.stderr.write("  ".join(lines[-1]) + "\n")
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def run(case: str, size: int, work: Path, minutes: float) -> dict[str, Any]:
    """What a case tells, or under "failed" why it does not."""
    script = Path(__file__).with_name("retrieval_cases.py")
    command = [sys.executable, str(script), case, str(size), str(work)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=minutes * 60, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"did not finish in {minutes:g} minutes"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return {"failed": last}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(case: str, size: int, found: dict[str, Any]) -> list[str]:
    """A line of the table."""

    def shown(name: str, form: str, scale: float = 1.0) -> str:
        return format(found[name] * scale, form) if name in found else ""

    return [
        f"{size:,}",
        case,
        shown("build_s", ".1f"),
        shown("query_ms", ".2f"),
        shown("recall", ".3f"),
        shown("memory_bytes", ".2f", 1e-9),
        str(found.get("failed") or _what(found)),
    ]


def _what(found: dict[str, Any]) -> str:
    if "kind" in found:
        size = f"{found['disk_bytes'] / 1e6:,.0f} MB"
        return f"{found['kind']}, saved in {found['save_s']:.1f} s, {size}"
    if "open_s" in found:
        return (
            f"opened in {found['open_s']:.3f} s, first question {found['first_question_s']:.3f} s"
        )
    if "nodes" in found:
        return "nodes a level: " + ", ".join(f"{count:,}" for count in found["nodes"])
    return ""


if __name__ == "__main__":
    main()
