"""Started by test_ranks.py in several processes: writes what each got to a file of its own."""

from __future__ import annotations

import datetime
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import wattune.ranks
from wattune.errors import CannotRun, ProcessLost
from wattune.ranks import Ranks, joined


def agreed(ranks: Ranks) -> dict[str, Any]:
    """What comes of every method, with errors on one, on all, and within one another."""
    found: dict[str, Any] = {"rank": ranks.rank, "size": ranks.size, "again": joined() is ranks}
    found["same"] = ranks.same(lambda: ["made", ranks.rank, ranks.size])
    found["each"] = ranks.each(lambda: ranks.rank * 10)
    items = list("abcdefg")
    found["share"] = ranks.share(items)
    found["merged"] = ranks.merged(ranks.each(lambda: ranks.share(items)))

    def fail(rank: int, error: Exception) -> str:
        if ranks.rank == rank:
            raise error
        return "went well"

    def caught(do: Any) -> list[str]:
        try:
            return ["none", str(do())]
        except Exception as error:
            return [type(error).__name__, str(error)]

    found["main cannot"] = caught(lambda: ranks.same(lambda: fail(0, CannotRun("no room"))))
    found["last cannot"] = caught(lambda: ranks.each(lambda: fail(1, CannotRun("too long"))))
    found["last breaks"] = caught(lambda: ranks.each(lambda: fail(1, KeyError("x"))))
    found["all fail"] = caught(
        lambda: ranks.together(lambda: fail(ranks.rank, CannotRun(f"nan {ranks.rank}")))
    )

    def nested() -> str:
        fail(1, CannotRun("before the others met"))
        return str(ranks.same(lambda: "met"))

    found["one fails where others meet"] = caught(lambda: ranks.each(nested))
    found["alone within same"] = ranks.same(lambda: ranks.each(lambda: "alone"))
    found["at the end"] = ranks.each(lambda: ranks.rank)
    return found


def trained_with(ranks: Ranks) -> dict[str, Any]:
    """What transformers' training arguments find in place."""
    import torch
    from transformers import TrainingArguments

    arguments = TrainingArguments(output_dir="unused", use_cpu=True, report_to="none")
    return {
        "processes": arguments.world_size,
        "mode": str(arguments.parallel_mode),
        "threads": torch.get_num_threads(),
        "after": ranks.each(lambda: ranks.rank),
    }


def main(what: str, folder: Path) -> None:
    """Do what the test asks for."""
    ranks = joined()
    if what == "agree":
        found = {**agreed(ranks), "trainer": trained_with(ranks)}
        (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(found))
        return
    ranks.same(lambda: None)
    try:
        if what == "killed":
            if ranks.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            ranks.each(lambda: "here")
        else:
            wattune.ranks.IMPATIENT = datetime.timedelta(seconds=1)
            ranks.together(lambda: talk(ranks.rank))
    except ProcessLost as error:
        sys.exit(str(error))


def talk(rank: int) -> None:
    """Wait for the numbers of the other, which fails before it has any."""
    import torch

    if rank == 1:
        raise ValueError("out of memory")
    torch.distributed.all_reduce(torch.ones(1))


main(sys.argv[1], Path(sys.argv[2]))
