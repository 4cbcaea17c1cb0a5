"""A meter beside another tracker of the same process."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from wattune.measure.meter import Meter
from wattune.measure.record import Phase
from wattune.measure.sources.tracker import Capture, Tracker, offline_tracker


def fresh(capture: Capture) -> Tracker:
    """A tracker of its own, not the one that the meters of this process share."""
    return offline_tracker(capture)


def ram_watts(phase: Phase) -> float:
    return (phase.components["ram"].energy_j or 0.0) / phase.duration_s


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_second_tracker_and_we_do_not_see_each_other(tmp_path: Path, ours_first: bool) -> None:
    """As a Trainer's callback would: codecarbon's own tracker, started within our phase, or before
    our tracker; with its log lines wanted."""
    from codecarbon import OfflineEmissionsTracker

    logger = logging.getLogger("codecarbon")
    old = (list(logger.handlers), logger.level, logger.propagate)
    filters = list(logger.filters)  # of meters that other tests have left open
    listening = Lines()

    def tracker() -> Any:
        made = OfflineEmissionsTracker(
            country_iso_code="FRA",
            output_methods=[],
            output_dir=str(tmp_path),
            log_level="info",
            allow_multiple_runs=True,
        )
        logger.addHandler(listening)
        made.start()
        return made

    try:
        with Meter(tracker_factory=fresh) as meter, meter.phase("alone") as alone:
            time.sleep(0.3)
        before = None
        meter = Meter(tracker_factory=fresh)
        if ours_first:
            meter.describe()
        else:
            theirs = tracker()
            before = (list(logger.handlers), logger.level, logger.propagate)
        with meter, meter.phase("together") as together:
            if ours_first:
                theirs = tracker()
                before = (list(logger.handlers), logger.level, logger.propagate)
            time.sleep(0.6)
            theirs.flush()
            lines = list(listening.lines)
            assert theirs.stop() is not None
        assert (list(logger.handlers), logger.level, logger.propagate) == before
        assert logger.filters == filters
    finally:
        logger.handlers[:], logger.propagate = old[0], old[2]
        logger.setLevel(old[1])
    assert together.result.components["cpu"].provenance == alone.result.components["cpu"].provenance
    assert together.result.components["cpu"].energy_j
    if alone.result.components["ram"].provenance == "constant":
        assert ram_watts(together.result) == pytest.approx(ram_watts(alone.result), rel=0.05)
    assert any("Energy consumed for RAM" in line for line in lines)  # theirs, which they wanted
    data = theirs.final_emissions_data
    assert data.ram_energy * 3.6e6 / data.duration == pytest.approx(
        ram_watts(alone.result), rel=0.05
    )
