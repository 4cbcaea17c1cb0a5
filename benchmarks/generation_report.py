"""Report: tables of generation.py, from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from generation_cases import OURS
from generation_equality import NEAR_TIE, answer_of
from meter_report import aligned

Found = Mapping[str, Any]


def speed_text(found: Found) -> str:
    """Questions a second with ratios, the floor, and single questions."""
    rates, idle = found["rates"], found["idle_percent"]
    best = max(rates["flops_s"].values())
    rows = ", ".join(f"{n}: {rate / 1e9:.0f}" for n, rate in rates["flops_s"].items())
    parts = [
        head(found),
        f"processors busy {max(idle):.1f} % before (figures are of use only where that is near 0)",
        "Questions a second (median of repeats); ratio is ours to the peer's, pair by pair\n"
        + speed_table(found),
        "Floor: prompts read with each shared beginning once, and every token written, at the best "
        f"rate\nmeasured ({best / 1e9:.0f} GFLOP/s; by rows, {rows}) or the weights from memory at "
        f"{rates['bytes_s'] / 1e9:.1f} GB/s,\nwhichever takes longer. Of these passes: at the rate "
        "of as many rows, the weights once a pass\n" + floor_table(found),
    ]
    single = single_table(found)
    return "\n\n".join([*parts, *(["Seconds of a single question\n" + single] if single else [])])


def head(found: Found) -> str:
    """The machine, the versions, the prompts and what was left out."""
    about = found["about"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    lines = [
        f"{about['model']} in {about['dtype']}; {about['cpu']}, {about['threads']} threads",
        versions,
        *(
            f"{case['case']}: {case['prompts']} prompts, {case['tokens'][0]} tokens, "
            f"{case['tokens'][1]} when shared beginnings are read once"
            for case in about["cases"]
        ),
        *found["notes"],
    ]
    return "\n".join(lines)


def runs_of(found: Found, case: str, peer: str) -> list[Found]:
    return [run for run in found["runs"] if (run["case"], run["peer"]) == (case, peer)]


def seconds(run: Found) -> float:
    return float(sum(run["each_s"]))


def peers_of(found: Found) -> list[str]:
    """The peers, ours first."""
    names = dict.fromkeys(run["peer"] for run in found["runs"])
    return sorted(names, key=lambda name: (name != OURS, name))


def speed_table(found: Found) -> str:
    """One line a case and peer."""
    table = [["case", "peer", "questions/s", "ratio", "pairs", "target", "", "texts as ours"]]
    for case in found["about"]["cases"]:
        name = case["case"]
        known = answers(runs_of(found, name, OURS)[0])
        for peer in peers_of(found):
            runs = runs_of(found, name, peer)
            if not runs:
                continue  # it has no target in this case
            taken = [seconds(run) for run in runs]
            same = sum(a == b for a, b in zip(answers(runs[0]), known, strict=True))
            ratio = pairs = target = met = ""
            if peer != OURS:
                ours = [seconds(run) for run in runs_of(found, name, OURS)]
                ratios = [theirs / own for theirs, own in zip(taken, ours, strict=True)]
                ratio = f"{median(ratios):.2f}"
                pairs = f"{min(ratios):.2f} to {max(ratios):.2f}"
                if peer in case["targets"]:
                    target = f"{case['targets'][peer]:g}"
                    met = "met" if median(ratios) >= case["targets"][peer] else "missed"
            speed = f"{case['prompts'] / median(taken):.2f}"
            likeness = "" if peer == OURS else f"{same} of {len(known)}"
            table.append([name, peer, speed, ratio, pairs, target, met, likeness])
    return aligned(table)


def answers(run: Found) -> list[str]:
    """The texts, cut alike for all."""
    return [answer_of(text, leading=run["peer"] == OURS) for text in run["texts"]]


def floor_table(found: Found) -> str:
    """One line a case and phase: what it takes at least, beside our seconds."""
    table = [
        [
            *("case", "phase", "GFLOP", "passes", "rows", "floor s", "of these passes s"),
            *("ours s", "floor/ours", "of these passes"),
        ]
    ]
    for case in found["about"]["cases"]:
        name = case["case"]
        runs = runs_of(found, name, OURS)
        floors = found["floors"][name]
        for phase in floors:
            table.append(
                [
                    *(name, phase["name"], f"{phase['flops'] / 1e9:.0f}", str(phase["passes"])),
                    *(str(phase["rows"]), f"{phase['floor_s']:.2f}"),
                    *(f"{phase['floor_of_passes_s']:.2f}", "", "", ""),
                ]
            )
        ours = median(map(seconds, runs))
        least = sum(phase["floor_s"] for phase in floors)
        of_passes = sum(phase["floor_of_passes_s"] for phase in floors)
        table.append(
            [
                *(name, f"both, {sum(runs[-1]['written'])} written", "", "", ""),
                *(f"{least:.2f}", f"{of_passes:.2f}", f"{ours:.2f}"),
                *(f"{100 * least / ours:.0f} %", f"{100 * of_passes / ours:.0f} %"),
            ]
        )
    return aligned(table)


def single_table(found: Found) -> str:
    """Median and p95 of questions asked one after the other; empty where there are none."""
    table = [["case", "peer", "median s", "p95 s", "first s"]]
    for case in found["about"]["cases"]:
        for peer in peers_of(found):
            runs = runs_of(found, case["case"], peer)
            every = [one for run in runs for one in run["each_s"]]
            if runs and len(runs[0]["each_s"]) > 1:
                table.append(
                    [
                        *(case["case"], peer, f"{median(every):.3f}"),
                        f"{quantiles(every, n=20, method='inclusive')[-1]:.3f}",
                        f"{median(run['each_s'][0] for run in runs):.3f}",
                    ]
                )
    return aligned(table) if len(table) > 1 else ""


def equality_text(found: Found) -> tuple[str, int]:
    """How many texts are those of plain `generate`, and how many of ours are faults."""
    table = [["case", "peer", "identical", "near ties", "faults", "widest gap of a near tie"]]
    told: list[str] = []
    faults = 0
    for one in found["equality"]:
        by = {name: of(one["texts"], name) for name in ("identical", "near tie", "fault")}
        widest = max((text["gap"] for text in by["near tie"]), default=None)
        table.append(
            [
                *(one["case"], one["peer"], f"{len(by['identical'])} of {len(one['texts'])}"),
                *(str(len(by["near tie"])), str(len(by["fault"]))),
                "" if widest is None else f"{widest:.1e}",
            ]
        )
        faults += len(by["fault"]) if one["peer"] == OURS else 0
        for text in by["fault"]:
            gap = "none of the likeliest tokens" if text["gap"] is None else f"{text['gap']:.1e}"
            told.append(
                f"{one['case']}, {one['peer']}, prompt {text['prompt']} (gap: {gap}): "
                f"{text['told']!r} for {text['expected']!r}"
            )
    parts = [
        head(found),
        "Texts beside plain `generate` one by one; a near tie is a gap of logits under "
        f"{NEAR_TIE:g}\n" + aligned(table),
        *(["Faults\n" + "\n".join(told)] if told else []),
    ]
    return "\n\n".join(parts), faults


def of(texts: Sequence[Found], verdict: str) -> list[Found]:
    return [text for text in texts if text["verdict"] == verdict]
