"""A calibration without measuring anything: round prices of made-up rates."""

from __future__ import annotations

import pytest

from wattune.machine import machine
from wattune.measure.calibration import Calibration, Habit, Opening, Rates

KINDS = ("answering", "embedding", "training_adapter", "training_all")


@pytest.fixture
def calibration() -> Calibration:
    """A machine of 100 GFLOP/s and 10 GB/s at 20 W."""
    rates = Rates(
        s_per_flop=1e-11,
        s_per_attention_flop=1e-11,
        s_per_byte=1e-10,
        spread=0.1,
        pieces=4,
        watts=20,
    )
    return Calibration(
        created_at="2026-11-23T00:00:00+00:00",
        model="tiny",
        machine=machine(),
        idle_w=10,
        load_w=20,
        known={"cpu": "modelled_load"},
        rates=dict.fromkeys(KINDS, rates),
        habits={"plain": Habit(questions=8, runs_on=0.5, ratio=1.0)},
        opening=Opening(duration_s=0.5, process_bytes=10**9),
    )
