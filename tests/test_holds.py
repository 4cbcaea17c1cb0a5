"""Holds: a training pauses by hand and by the grid, and says why."""

from __future__ import annotations

import datetime
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from wattune.errors import RecipeError
from wattune.holds import ASK_EVERY_S, Holds, IntensityLimit, Switch, no_hold
from wattune.measure.accounts.books import Books
from wattune.measure.grid import Grid
from wattune.measure.record import Carbon
from wattune.recipe import parse_recipe

PLAIN: dict[str, Any] = {"task": "harbour", "model": "smollm2-135m", "strategies": ["lora"]}


def test_a_switch_pauses_and_goes_on() -> None:
    switch = Switch()
    assert switch() == ""
    switch.turn("SIGUSR1")
    assert switch() == "SIGUSR1"
    switch.turn("SIGUSR1")
    assert switch() == ""
    switch.turn("SIGUSR1")
    switch.go_on()
    switch.go_on()
    assert switch() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_the_command_line_pauses_by_signal() -> None:
    from wattune.cli.running import by_signal, running

    ours = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in ours]
    try:
        with running(no_progress=True):
            for sent, reason in [
                (signal.SIGUSR1, "SIGUSR1"),
                (signal.SIGUSR2, ""),
                (signal.SIGUSR2, ""),
                (signal.SIGUSR1, "SIGUSR1"),
                (signal.SIGUSR1, ""),
            ]:
                os.kill(os.getpid(), sent)
                assert by_signal().partition(";")[0] == reason  # then how to go on
    finally:
        by_signal.go_on()
        for number, handler in zip(ours, before, strict=True):
            signal.signal(number, handler)


class Grids:
    """A pretended live provider and clock; counts how often it is asked."""

    def __init__(self, *figures: float | None) -> None:
        self.figures, self.asked, self.now = list(figures), 0, 0.0

    def __call__(self) -> Carbon | None:
        self.asked += 1
        figure = self.figures.pop(0)
        if figure is None:
            return None
        return Carbon(place="here", intensity_g_per_kwh=figure, source="a test")


def test_the_grid_is_asked_every_five_minutes_at_most() -> None:
    grid = Grids(412.3, None, 300.0, 300.4)
    limit = IntensityLimit(grid, 300, clock=lambda: grid.now)
    seen = []
    for grid.now in (0, 1, ASK_EVERY_S - 1, ASK_EVERY_S, 2 * ASK_EVERY_S, 3 * ASK_EVERY_S):
        seen.append(limit())
    above = "the grid is at 412 g/kWh, above 300"
    assert seen == [above, above, above, "", "", "the grid is at 300 g/kWh, above 300"]
    assert grid.asked == 4


def test_the_first_reason_pauses_and_progress_tells_of_it_once() -> None:
    told: list[tuple[str, int, int]] = []
    said: list[str] = []
    one, two = Switch(), Switch()
    holds = Holds(lambda *step: told.append(step), said.append, no_hold, one, two)
    assert holds() == ""
    two.turn("b")
    assert [holds(), holds()] == ["b", "b"]
    one.turn("a")
    assert holds() == "a"
    one.go_on()
    two.go_on()
    assert holds() == ""
    assert told == [("paused: b", 0, 1), ("paused: b", 1, 1), ("paused: a", 0, 1),
                    ("paused: a", 1, 1)]  # fmt: skip
    assert said == ["paused: b", "paused: a", "going on after a pause"]


def series(path: Path, start_h: float, end_h: float) -> Grid:
    """A grid that is at 411.7 g/kWh between so many hours from now, and unknown elsewhere."""
    now = datetime.datetime.now(datetime.UTC)
    start, end = (now + datetime.timedelta(hours=hours) for hours in (start_h, end_h))
    path.write_text(f"start,end,g_per_kwh\n{start.isoformat()},{end.isoformat()},411.7\n")
    return Grid(provider="csv", file=str(path))


def test_the_books_tell_what_the_grid_is_at_now(tmp_path: Path) -> None:
    books = Books("FRA", None, series(tmp_path / "grid.csv", -2, 2))
    found = books.intensity_now()
    assert found is not None
    assert found.intensity_g_per_kwh == pytest.approx(411.7)
    assert IntensityLimit(books.intensity_now, 300)() == "the grid is at 412 g/kWh, above 300"
    assert IntensityLimit(books.intensity_now, 500)() == ""


def test_a_yearly_figure_is_none_of_now(tmp_path: Path) -> None:
    assert Books("FRA").intensity_now() is None
    assert Books("FRA", None, series(tmp_path / "grid.csv", 2, 4)).intensity_now() is None


def test_a_server_that_fails_pauses_nothing() -> None:
    grid = Grid.model_validate(
        {"provider": "uk", "url": "http://127.0.0.1:9", "timeout_s": 1, "fallback": "none"}
    )
    assert IntensityLimit(Books(None, None, grid).intensity_now, 1)() == ""


def test_a_limit_without_a_provider_that_knows_the_hour_is_refused() -> None:
    with pytest.raises(RecipeError, match="a yearly figure never changes"):
        parse_recipe({**PLAIN, "place": "FRA", "pause_above_g_per_kwh": 300}, name="it")
    settings = {"pause_above_g_per_kwh": 300, "grid": {"provider": "uk"}}
    made = parse_recipe({**PLAIN, **settings}, name="it")
    assert made.settings.pause_above_g_per_kwh == 300
    with pytest.raises(RecipeError, match="greater than 0"):
        parse_recipe({**PLAIN, **settings, "pause_above_g_per_kwh": 0}, name="it")
