"""Started by test_launched.py, alone or under a launcher: every process meters a phase, gathers,
and writes what it measured itself and what it was given."""

from __future__ import annotations

import datetime
import json
import sys
import time
from pathlib import Path

import torch.distributed as dist

from wattune.measure.meter import Meter
from wattune.measure.processes import launch


def main(folder: Path) -> None:
    stand = launch()
    if stand.world_size > 1:
        dist.init_process_group("gloo", timeout=datetime.timedelta(minutes=3))
    with Meter() as meter:
        with meter.phase("wait"):
            time.sleep(0.5)
        if stand.rank == 1:
            with meter.phase("only rank 1"):
                time.sleep(0.2)
        own = {name: phase.plain() for name, phase in meter.phases.items()}
        gathered = {name: phase.plain() for name, phase in meter.gather().items()}
    content = {"launch": stand.plain(), "own": own, "gathered": gathered}
    (folder / f"rank-{stand.rank}.json").write_text(json.dumps(content))
    if stand.world_size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
