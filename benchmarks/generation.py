"""wattune's generator beside lm-eval's Hugging Face backend and a plain `generate` loop.

    python benchmarks/generation.py --xquad xquad.en.json       # questions a second: 30 minutes
    python benchmarks/generation.py --equality --xquad …        # the texts, in float32: 30 minutes
    python benchmarks/generation.py --quick --repeats 1         # 3 minutes, to see that it works

The same model and the very same token ids for all, greedily, up to a newline. Whoever is asked has
just loaded its weights and answered some other prompts; they take turns. xquad.en.json is the
English file of https://github.com/google-deepmind/xquad; without it two cases are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generation_cases import LM_EVAL, OURS, PLAIN, Case, Prompt, all_cases, lengths, renderer
from generation_equality import examined
from generation_floor import Rates, average, measured, phases, rows_of
from generation_peers import BATCH, MISSING, installed, opened
from generation_report import equality_text, speed_text
from meter import busy_percent, tell, turned

MODEL = "smollm2-135m-q4"
Rendered = Callable[[list[Any]], Prompt]


def asked(
    peer: str, case: Case, folder: Path, dtype: str, others: Sequence[Prompt], batch: int
) -> dict[str, Any]:
    """What a peer took for a case, freshly opened and warmed up: seconds and texts."""
    with opened(peer, folder, dtype, case.prompts, batch=batch) as answering:
        answering.answer(others, case.max_tokens)
        if peer == OURS:
            answering.passes.clear()
            answering.written.clear()
        each_s: list[float] = []
        texts: list[str] = []
        groups = [[one] for one in case.prompts] if case.one_by_one else [case.prompts]
        for group in groups:
            began = time.perf_counter()
            texts += answering.answer(group, case.max_tokens)
            each_s.append(time.perf_counter() - began)
        found = {"case": case.name, "peer": peer, "each_s": each_s, "texts": texts}
        if peer == OURS:
            found |= {"passes": list(answering.passes), "written": list(answering.written)}
        return found


def speed(
    cases: Sequence[Case],
    peers: Sequence[str],
    rendered: Rendered,
    folder: Path,
    dtype: str,
    repeats: int,
) -> dict[str, Any]:
    """Every case by every peer, repeated, and the floor of each case."""
    runs: list[dict[str, Any]] = []
    idle: list[float] = []
    rates: Rates | None = None
    floors: dict[str, Any] = {}
    for number in range(repeats):
        idle.append(busy_percent())
        for case in cases:
            others = case.warm_up(rendered)
            measured_against = [p for p in peers if p == OURS or p in case.targets]
            for peer in turned(measured_against, number):
                tell(f"{number + 1} of {repeats}: {case.name}, {peer}")
                batch = 1 if case.one_by_one else BATCH
                run = asked(peer, case, folder, dtype, others, batch)
                runs.append({"repeat": number, **run})
        tell(f"{number + 1} of {repeats}: the machine's rates")
        ours = {run["case"]: run for run in runs if run["peer"] == OURS}
        rows = {average(seen) for run in ours.values() for seen in rows_of(run["passes"])}
        found, costs = measured(folder, dtype, rows)
        rates = found.at_least(rates)
    tell("")
    assert rates is not None
    for case in cases:
        last = ours[case.name]
        needed = phases(
            [one.ids for one in case.prompts],
            last["written"],
            last["passes"],
            costs,
            one_by_one=case.one_by_one,
        )
        floors[case.name] = [
            asdict(one)
            | {"floor_s": one.floor_s(rates), "floor_of_passes_s": one.floor_of_passes_s(rates)}
            for one in needed
        ]
    return {"runs": runs, "idle_percent": idle, "rates": asdict(rates), "floors": floors}


def equality(
    cases: Sequence[Case], peers: Sequence[str], rendered: Rendered, folder: Path
) -> dict[str, Any]:
    """Every text in float32, compared with plain `generate` one by one."""
    found: list[dict[str, Any]] = []
    dtype = "float32"
    for case in cases:
        others = case.warm_up(rendered)[:1]
        told = {}
        for peer in peers:
            if peer != PLAIN:
                tell(f"{case.name}, {peer}")
                batch = 1 if case.one_by_one else BATCH
                told[peer] = asked(peer, case, folder, dtype, others, batch)["texts"]
        with opened(PLAIN, folder, dtype, case.prompts) as plain:
            tell(f"{case.name}, {PLAIN}")
            references = [plain.write(prompt, case.max_tokens) for prompt in case.prompts]

            def after(
                number: int, more: Sequence[int], case: Case = case, plain: Any = plain
            ) -> Any:
                return plain.logits([*case.prompts[number].ids, *more])

            for peer, texts in told.items():
                verdicts = examined(
                    texts,
                    references,
                    plain.decode,
                    after,
                    ends=plain.ends,
                    max_tokens=case.max_tokens,
                    leading=peer == OURS,
                )
                found.append({"case": case.name, "peer": peer, "texts": verdicts})
    tell("")
    return {"equality": found}


def about(cases: Sequence[Case], dtype: str) -> dict[str, Any]:
    """The machine, the software and the prompts."""
    from importlib.metadata import version

    import torch

    from wattune.measure.environment import cpu_model

    names = ["wattune", "torch", "transformers"]
    names += ["lm_eval"] if LM_EVAL in installed() else []
    return {
        "model": MODEL,
        "dtype": dtype,
        "cpu": cpu_model(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in names},
        "cases": [
            {
                "case": case.name,
                "prompts": len(case.prompts),
                "targets": case.targets,
                "tokens": lengths(prompt.ids for prompt in case.prompts)[:2],
            }
            for case in cases
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="how often each case runs (3)")
    parser.add_argument("--quick", action="store_true", help="40 prompts a case, 8 one by one")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--equality", action="store_true", help="the texts in float32, instead")
    parser.add_argument(
        "--xquad", type=Path, help="xquad.en.json; without it its cases are left out"
    )
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    # The peers are told not to look for anything on the network.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    from transformers.utils import logging

    from wattune.models.fetch import fetch
    from wattune.models.loading import open_tokenizer

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = fetch(MODEL)
    rendered = renderer(open_tokenizer(folder))
    xquad = options.xquad
    if xquad is not None and not xquad.is_file():
        parser.error(f"--xquad: {xquad} is no file")
    cases = [
        case
        for case in all_cases(rendered, xquad, quick=options.quick)
        if options.only in case.name
    ]
    if not cases:
        parser.error(f'--only: no case has "{options.only}" in its name')
    peers = installed()
    notes = [] if LM_EVAL in peers else [MISSING]
    notes += [] if xquad else ["no --xquad: its two cases are left out"]
    dtype = "float32" if options.equality else options.dtype
    found = {"notes": notes, "about": about(cases, dtype)}
    if options.equality:
        found |= equality(cases, peers, rendered, folder)
    else:
        found |= speed(cases, peers, rendered, folder, dtype, max(1, options.repeats))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text, faults = equality_text(found) if options.equality else (speed_text(found), 0)
    sys.stdout.write(text + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
