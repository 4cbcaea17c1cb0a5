"""Work is what was tallied times what a unit of it costs."""

from __future__ import annotations

from wattune.measure.work import Costs, Tally


def test_work_is_amounts_times_costs() -> None:
    prices = Costs(
        method="counted",
        flops_per_position=10,
        flops_per_pair=2,
        flops_per_head=100,
        bytes_per_pass=1000,
        bytes_per_position=1,
        bytes_per_cached=7,
    )
    tally = Tally.of_pass(2, 3, heads=2, past=4, cached=True) + Tally(tokens_in=6, tokens_out=1)
    assert (tally.positions, tally.pairs, tally.cached) == (6, 42, 14)
    work = prices.work(tally)
    assert (work.flops, work.bytes_moved) == (60 + 84 + 200, 1000 + 6 + 98)
    assert (work.tokens_in, work.tokens_out, work.flops_method) == (6, 1, "counted")
    assert prices.work(Tally(steps=1)).bytes_moved is None  # what a step moves is not known here
    unknown = Costs().work(tally)
    assert (unknown.flops, unknown.bytes_moved, unknown.tokens_in) == (None, None, 6)
