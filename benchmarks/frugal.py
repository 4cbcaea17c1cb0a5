"""Does a frugal comparison decide as the full one does, and what does it save? Recorded answers are
asked again in many orders, by the same rule that asks live.

    python benchmarks/frugal.py runs/harbour runs/xquad runs/banking77 [--without classical]

Records of one folder that have different seeds are compared seed by seed. The full comparison takes
the cheapest run whose 95 % interval reaches the floor. Floors: half of the cheapest run's mean,
midway between neighbouring means, midway between the highest interval and 1. Energy is that of
preparing (stages that runs share, once), loading and answering; a question costs what it costs in
the mean of its run. Live batches of 16 are a little dearer than that.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wattune.frugal.decision import Contender, State, Stop, next_step
from wattune.frugal.order import by_kind, joules_of, together_joules
from wattune.measure.record import Record
from wattune.measure.statistics import bootstrap_mean
from wattune.measure.store import load_records

SHUFFLES = 20


@dataclass(frozen=True)
class World:
    """Whole runs of one task, in the order in which they are tried; `scores` by run and question,
    as `metric` has them."""

    name: str
    metric: str
    records: tuple[Record, ...]

    @property
    def questions(self) -> int:
        return self.records[0].answers

    @property
    def scores(self) -> list[tuple[float, ...]]:
        return [tuple(s or 0.0 for s in record.scores[self.metric]) for record in self.records]

    def decision(self, floor: float) -> int | None:
        """The cheapest run that reaches the floor, by all answers and measured joules."""
        able = [run for run, one in enumerate(self.scores) if bootstrap_mean(one).high >= floor]
        return min(able, key=lambda run: joules_of(self.records[run], self.questions) or 0.0,
                   default=None)  # fmt: skip

    def best(self) -> int:
        """The run with the highest mean."""
        return max(range(len(self.records)), key=lambda run: statistics.fmean(self.scores[run]))


class Replay(NamedTuple):
    """How a frugal comparison of recorded answers ended: its decision, the share of the energy of
    the full one, and how many questions each run was asked."""

    stop: Stop
    share: float
    asked: tuple[int, ...]


def replay(world: World, floor: float, shuffle: int) -> Replay:
    """One frugal comparison, the questions in an order of its own."""
    order = random.Random(shuffle).sample(range(world.questions), world.questions)
    shuffled = [tuple(scores[place] for place in order) for scores in world.scores]
    state = State(tuple(Contender(r.name) for r in world.records), tuple(order), floor)
    while not isinstance(step := next_step(state), Stop):
        state = state.scored(step.run, shuffled[step.run][: step.upto])
    asked = tuple(len(one.scores) for one in state.contenders)
    return Replay(step, spent(world, asked) / spent(world, [world.questions] * len(asked)), asked)


def spent(world: World, asked: Sequence[int]) -> float:
    """Joules of preparing and loading the runs that were asked, and of so many answers of each."""
    started = [(r, count) for r, count in zip(world.records, asked, strict=True) if count]
    prepared = together_joules([record for record, _ in started], 0)
    answers = [(joules_of(r, count), joules_of(r, 0)) for r, count in started]
    assert prepared is not None, f"{world.name}: an energy is not known"
    return prepared + sum(a - b for a, b in answers if a is not None and b is not None)


def worlds(folder: str, without: Sequence[str], kinds: bool) -> Iterator[World]:
    """The whole runs of a folder, seed by seed; cheapest first, by measured joules or by kind."""
    records = [r for r in load_records(folder) if r.status == "done" and r.name not in without]
    for seed in sorted({record.seed for record in records}):
        mine: dict[str, Record] = {}
        for record in records:
            if record.seed == seed or (record.seed == 0 and not _by_chance(records, record.name)):
                mine.setdefault(record.name, record)
        chosen = sorted(mine.values(), key=lambda r: joules_of(r, r.answers) or 0.0)
        if kinds:
            chosen.sort(key=lambda r: r.created_at)  # as in the recipe, where kinds are alike
            chosen.sort(key=lambda r: by_kind(stage.strategy for stage in r.stages))
        task = chosen[0].task
        yield World(f"{task['name']}, seed {seed}", task["metrics"][0], tuple(chosen))


def _by_chance(records: Sequence[Record], name: str) -> bool:
    return len({record.seed for record in records if record.name == name}) > 1


def floors(world: World) -> list[float]:
    """Floors below the cheapest run, between neighbouring means, and above all intervals."""
    intervals = [bootstrap_mean(scores) for scores in world.scores]
    means = sorted({interval.value for interval in intervals})
    between = [(low + high) / 2 for low, high in itertools.pairwise(means)]
    highest = max(interval.high for interval in intervals)
    return sorted({intervals[0].value / 2, *between, (highest + 1) / 2})


def main() -> None:
    """Print a line for each floor of each task and seed, and what they come to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", help="folders of finished records with their scores")
    parser.add_argument("--without", action="append", default=[], help="leave a run out, by name")
    parser.add_argument("--kinds", action="store_true", help="order by kind, as without a plan")
    parser.add_argument("--shuffles", type=int, default=SHUFFLES)
    given = parser.parse_args()
    met, missed = [], []
    for folder in given.folders:
        for world in worlds(folder, given.without, given.kinds):
            means = ", ".join(
                f"{record.name} {statistics.fmean(scores):.3f}"
                for record, scores in zip(world.records, world.scores, strict=True)
            )
            full_wh = spent(world, [world.questions] * len(world.records)) / 3600
            sys.stdout.write(
                f"\n{world.name}, {world.questions} questions, {world.metric}; in this order: "
                f"{means}; all of it {full_wh:.2f} Wh\n"
                f"{'floor':>6}  {'full decision':16}{'same':>9}{'energy':>8}"
                f"{'least':>7}{'most':>7}{'questions':>11}\n"
            )
            for floor in floors(world):
                decided, best = world.decision(floor), world.best()
                found = [replay(world, floor, shuffle) for shuffle in range(given.shuffles)]
                same = sum(one.stop.chosen == decided for one in found)
                shares = [one.share for one in found]
                asked = statistics.fmean(sum(one.asked) for one in found)
                name = "none" if decided is None else world.records[decided].name
                line = (
                    f"{floor:6.3f}  {name:16}{same:4} of {len(found):2}"
                    f"{statistics.fmean(shares):8.1%}{min(shares):7.1%}{max(shares):7.1%}"
                    f"{asked / world.questions / len(world.records):11.0%}"
                )
                if decided is None:
                    right = sum(best in (one.stop.best, *one.stop.beside) for one in found)
                    line += f"  best: {world.records[best].name}, found {right} of {len(found)}"
                sys.stdout.write(line + "\n")
                (missed if decided is None else met).append((same, statistics.fmean(shares)))
    for what, lines in (("a run reaches the floor", met), ("none does", missed)):
        if lines:
            good = sum(same >= 0.95 * given.shuffles for same, _ in lines)
            sys.stdout.write(
                f"\nwhere {what}, cases: {len(lines)}; the same decision in at least 19 of 20 in "
                f"{good} of them, {statistics.fmean(share for _, share in lines):.0%} of the "
                f"energy (at most {max(share for _, share in lines):.0%})"
            )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
