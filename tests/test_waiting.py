"""Waiting for the greenest start, with a clock and a forecast of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wattune.errors import ConstraintNotMet, InputError
from wattune.greenest import Expected
from wattune.recipe import Recipe, parse_recipe
from wattune.waiting import NAP_S, Waited, greenest_start, wait_for

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORK = Expected(3600, 3.6e6, "a test")  # an hour, 1 kWh


class World:
    """A clock that sleeping moves, and a forecast in a file; `at` is what happens at a time."""

    def __init__(self, path: Path) -> None:
        self.file, self.promise = path / "hours.csv", path / "waits" / "one.json"
        self.moment, self.at = NOON, dict[datetime, Callable[[], None]]()
        self.said: list[str] = []
        self.bars: list[tuple[str, int, int]] = []
        self.recipe: Recipe = parse_recipe(
            {"task": "harbour", "model": "smollm2-135m", "place": "FRA", "strategies": [],
             "grid": {"provider": "csv", "file": str(self.file)}},
            name="waits",
        )  # fmt: skip

    def expect(self, *figures: float, start: datetime = NOON) -> None:
        rows = [f"{(start + n * HOUR).isoformat()},{g}" for n, g in enumerate(figures)]
        self.file.write_text("start,g_per_kwh\n" + "\n".join(rows) + "\n", encoding="utf-8")

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= NAP_S
        self.moment += timedelta(seconds=seconds)
        for moment in [due for due in self.at if due <= self.moment]:
            self.at.pop(moment)()

    def wait(self, within_s: float = 6 * 3600) -> Waited:
        return wait_for(
            self.recipe,
            self.promise,
            within_s,
            lambda: WORK,
            progress=lambda *bar: self.bars.append(bar),
            say=self.said.append,
            now=lambda: self.moment,
            sleep=self.sleep,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_waits_for_the_least_and_says_what_that_saves(world: World) -> None:
    world.expect(100, 90, 25, 80, 80, 80, 80, 80)
    waited = world.wait()
    assert world.moment == NOON + 2 * HOUR
    assert waited.began_at == world.moment
    assert waited.flag == (
        "waited: 2.00 h for the greenest start; 25.0 instead of 100.0 g/kWh by forecast, which "
        "saves 75 g"
    )
    assert len(world.said) == 1
    assert "by forecast 25 g/kWh over the run, 75 % (75 g) less than at once" in world.said[0]
    assert world.bars[0][1:] == (0, 120)
    assert world.bars[-1][1:] == (1, 1)
    assert any(done == 60 for _, done, _ in world.bars)


def test_where_now_is_the_least_nothing_is_waited_for(world: World) -> None:
    world.expect(20, 20, 30, 30, 30, 30, 30, 30)
    waited = world.wait()
    assert (world.moment, waited.flag) == (NOON, "")
    assert world.said == ["starts now: no later start emits less (20 g/kWh)"]


def test_a_forecast_that_moves_moves_the_start(world: World) -> None:
    world.expect(100, 90, 25, 80, 80, 80, 80, 80)
    later = NOON + timedelta(minutes=40)
    world.at[later] = lambda: world.expect(100, 90, 85, 80, 10, 80, 80, 80)
    waited = world.wait()
    assert world.moment == NOON + 4 * HOUR
    assert "10.0 instead of 100.0" in waited.flag
    assert len(world.said) == 2


@pytest.mark.parametrize("broken", ["start,g_per_kwh\n2026-01-01T00:00Z,1\n", "nonsense\n", None])
def test_a_forecast_that_is_gone_leaves_the_choice(world: World, broken: str | None) -> None:
    world.expect(100, 90, 25, 80, 80, 80, 80, 80)

    def lose() -> None:
        if broken is None:
            world.file.unlink()
        else:
            world.file.write_text(broken, encoding="utf-8")

    world.at[NOON + timedelta(minutes=40)] = lose
    waited = world.wait()
    assert world.moment == NOON + 2 * HOUR
    assert "25.0 instead of 100.0" in waited.flag
    assert all("the choice stays" in line for line in world.said[1:])
    assert len(world.said) > 1


def test_stopped_and_asked_again_it_goes_on(world: World) -> None:
    world.expect(100, 90, 95, 80, 25, 80, 80, 80)

    def stop() -> None:
        raise KeyboardInterrupt

    world.at[NOON + HOUR] = stop
    with pytest.raises(KeyboardInterrupt):
        world.wait()
    world.moment = NOON + 2 * HOUR
    waited = world.wait()
    assert waited.asked_at == NOON
    assert waited.latest == NOON + 6 * HOUR  # as it was asked for at first
    assert world.moment == NOON + 4 * HOUR
    assert waited.flag.startswith("waited: 4.00 h for the greenest start; 25.0 instead of 100.0")
    world.moment += HOUR  # the run was killed
    assert world.wait() == waited
    assert "goes on" in world.said[-1]
    assert world.moment == NOON + 5 * HOUR


def test_stopped_and_asked_again_without_a_forecast_the_choice_stays(world: World) -> None:
    world.expect(100, 90, 95, 80, 25, 80, 80, 80)

    def stop() -> None:
        raise KeyboardInterrupt

    world.at[NOON + HOUR] = stop
    with pytest.raises(KeyboardInterrupt):
        world.wait()
    world.file.unlink()
    waited = world.wait()
    assert waited.began_at == NOON + 4 * HOUR
    assert "what it saves is not known" in waited.flag
    assert any("the choice stays" in line for line in world.said)


def test_after_the_time_it_starts_at_once(world: World) -> None:
    world.expect(100, 90, 95, 80, 25, 80, 80, 80)

    def stop() -> None:
        raise KeyboardInterrupt

    world.at[NOON + HOUR] = stop
    with pytest.raises(KeyboardInterrupt):
        world.wait()
    world.moment = NOON + 7 * HOUR
    waited = world.wait()
    assert world.moment == NOON + 7 * HOUR
    assert waited.flag == "waited: 7.00 h for the greenest start; what it saves is not known"
    assert "the time to wait was over" in world.said[-1]
    world.moment = NOON + 24 * HOUR  # long over: a new wait, for which there is no forecast
    with pytest.raises(ConstraintNotMet):
        world.wait()


def test_a_laptop_that_slept_looks_again(world: World) -> None:
    world.expect(100, 90, 25, 80, 80, 30, 80, 80)

    def close_the_lid() -> None:
        world.moment = NOON + 4 * HOUR

    world.at[NOON + HOUR] = close_the_lid
    waited = world.wait()
    assert world.moment == NOON + 5 * HOUR
    assert "30.0 instead of 100.0" in waited.flag


def test_a_laptop_that_slept_too_long_starts_and_claims_nothing(world: World) -> None:
    world.expect(100, 90, 25, 80, 80, 30, 80, 80)

    def close_the_lid() -> None:
        world.moment = NOON + 8 * HOUR

    world.at[NOON + HOUR] = close_the_lid
    assert "what it saves is not known" in world.wait().flag


def test_without_a_forecast_nothing_is_begun(world: World) -> None:
    world.expect(1, 2, start=NOON - 48 * HOUR)
    with pytest.raises(ConstraintNotMet, match="no forecast between"):
        world.wait()
    assert not world.promise.exists()


def test_the_wait_is_kept_until_the_run_is_done(
    world: World, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattune.recipe_file import load_recipe

    monkeypatch.chdir(tmp_path)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    world.expect(*[30] * 30, start=now)
    duo = load_recipe(str(recipe), [f"grid={{provider: csv, file: {world.file}}}"])
    kept = tmp_path / "cache" / "waits"
    said: list[str] = []

    def start(within_s: float = 3600) -> AbstractContextManager[tuple[str, ...]]:
        return greenest_start(
            duo, tmp_path / "runs", within_s, lambda: WORK,
            progress=lambda *bar: None, say=said.append,
        )  # fmt: skip

    def killed() -> None:
        with start():
            assert len(list(kept.iterdir())) == 1
            raise RuntimeError("the run is killed")

    with pytest.raises(RuntimeError):
        killed()
    with start() as flags:
        assert flags == ()  # it started at once
    assert "goes on" in said[-1]
    assert list(kept.iterdir()) == []
    monkeypatch.setattr("wattune.waiting.find_record", lambda folder, name, key: object())
    world.file.unlink()
    with start() as flags:
        assert flags == ()
    assert said[-1] == "nothing is left to run, so there is nothing to wait for"


def test_a_yearly_table_cannot_be_waited_for(world: World) -> None:
    static = world.recipe.settings.model_copy(update={"grid": type(world.recipe.settings.grid)()})
    world.recipe = world.recipe.model_copy(update={"settings": static})
    with pytest.raises(InputError, match="no hour is better than another"):
        world.wait()
