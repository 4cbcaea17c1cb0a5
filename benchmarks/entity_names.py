"""How long it takes to find the names of a hierarchy in a question.

    python benchmarks/entity_names.py [--names 1000 10000 100000] [--repeats 7]

Names of two or three words are made up, deterministically; so are 400 questions, half of which
hold a name. One block a size: exact names, and exact plus nearly exact ones, beside one regular
expression of all names and, where pyahocorasick is installed, its automaton (both know no accents
and no aliases that several share, so they do less). Each figure is the least mean time of a
question over the repeats, in time of the processor, which others at work change little. Building,
opening from disk and memory stand beside.
"""

from __future__ import annotations

import argparse
import importlib
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wattune.rag.entity_tree import EntityTree
from wattune.tasks.hierarchy import Entity

SYLLABLES = "ka to mi ra ven dor lis pu sha gre bon tel qua zi fo ner hal wick ston by"
LEVELS = ("Team", "Office", "Desk", "Crew")
FUZZY = 0.9
ASKED = (
    "Who is the head of the {}, and since when?",
    "How many people work at {} in winter, and where does it stand in the organisation?",
)
IDLE = (
    "When does the office open on a public holiday, and who has the keys to the back door?",
    "What must a visitor bring along to be let in after eight in the evening?",
)
SLOW_REGEX = 10_000
"""Beyond as many names the regular expression is asked a few questions only: it scans them all."""


def made_up(count: int) -> Entity:
    """A tree of so many names under one root, a hundred to a unit; a third of words are new."""
    chance = random.Random(count)
    syllables = SYLLABLES.split()
    vocabulary = [
        "".join(chance.choice(syllables) for _ in range(chance.randint(2, 4))).title()
        for _ in range(max(100, count // 3))
    ]
    names: dict[str, None] = {}
    while len(names) < count:
        first, second = chance.choice(vocabulary), chance.choice(vocabulary)
        name = chance.choice((f"{first} {second}", f"{first} {second} {chance.choice(LEVELS)}"))
        names.setdefault(name)
    listed = list(names)
    units = [
        Entity(
            name=listed[at],
            level="unit",
            children=tuple(Entity(name=name, level="team") for name in listed[at + 1 : at + 100]),
        )
        for at in range(0, count, 100)
    ]
    return Entity(name="Root Authority", children=tuple(units))


def questions(names: Sequence[str], count: int) -> list[str]:
    """Questions of which every second one holds a name."""
    chance = random.Random(1)
    return [
        ASKED[at // 2 % 2].format(chance.choice(names)) if at % 2 else IDLE[at // 2 % 2]
        for at in range(count)
    ]


def with_slips(asked: Iterable[str]) -> list[str]:
    """The same questions, the fifth letter of the first long word with a capital left out."""
    return [re.sub(r"\b([A-Z]\w{3})\w(\w*)", r"\1\2", text, count=1) for text in asked]


def microseconds(look: Callable[[str], Any], asked: Sequence[str], repeats: int) -> float:
    """The least mean time of a question."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for text in asked:
            look(text)
        best = min(best, (time.process_time() - start) / len(asked))
    return best * 1e6


def automaton(names: Iterable[str]) -> Callable[[str], Any] | None:
    """A look-up by pyahocorasick, or None where it is not installed."""
    try:
        ahocorasick = importlib.import_module("ahocorasick")
    except ImportError:
        return None
    built = ahocorasick.Automaton()
    for name in names:
        built.add_word(name.lower(), name)
    built.make_automaton()
    return lambda text: [
        name
        for end, name in built.iter(text.lower())
        if not text[end + 1 : end + 2].isalnum() and not text[end - len(name) : end][:1].isalnum()
    ]


def measure(count: int, repeats: int) -> dict[str, str]:
    """One line of the table."""
    hierarchy = made_up(count)
    names = [entity.name for entity, _ in hierarchy.walk()]
    asked = questions(names, 400)
    start = time.process_time()
    exact = EntityTree(hierarchy)
    built_s = time.process_time() - start
    start = time.process_time()
    fuzzy = EntityTree(hierarchy, FUZZY)
    built_fuzzy_s = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        exact.save(Path(folder) / "tree.json")
        start = time.process_time()
        EntityTree.load(Path(folder) / "tree.json")
        opened_s = time.process_time() - start
        size = (Path(folder) / "tree.json").stat().st_size
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?!\w)", re.I
    )
    few = asked if count <= SLOW_REGEX else asked[:4]
    slips = with_slips(asked)
    beside = automaton(names)
    return {
        "names": f"{count:,}",
        "exact, us": f"{microseconds(exact.find, asked, repeats):.0f}",
        "exact + near, us": f"{microseconds(fuzzy.find, asked, repeats):.0f}",
        "the same with slips, us": f"{microseconds(fuzzy.find, slips, repeats):.0f}",
        "found": share(exact.find, asked),
        "found with slips": share(fuzzy.find, slips),
        "told, us": f"{microseconds(lambda text: exact.describe(text, 90), asked, repeats):.0f}",
        "regex, us": f"{microseconds(pattern.findall, few, min(repeats, 3)):.0f}",
        "pyahocorasick, us": f"{microseconds(beside, asked, repeats):.0f}" if beside else "absent",
        "built, s": f"{built_s:.2f}",
        "built with near, s": f"{built_fuzzy_s:.2f}",
        "opened, s": f"{opened_s:.2f}",
        "file, MB": f"{size / 1e6:.1f}",
        "peak memory so far, MiB": f"{peak_mib():.0f}",
    }


def share(find: Callable[[str], Sequence[object]], asked: Sequence[str]) -> str:
    """In how many questions anything is found; it should be in half."""
    return f"{sum(1 for text in asked if find(text))}/{len(asked)}"


def peak_mib() -> float:
    """The most memory this process has held."""
    # In KiB on Linux and in bytes on macOS.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def main() -> None:
    """Print one block a size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    for count in given.names:
        for title, value in measure(count, given.repeats).items():
            print(f"{title:26} {value}", flush=True)  # noqa: T201
        print(flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
