"""Forecasts: what providers send, asked of loopback servers, and the least window by proof."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from wattune.errors import InputError
from wattune.measure.grid import Grid, IntensityUnavailable, forecaster_of
from wattune.measure.grid.forecast import Forecast, Window, forecast_over
from wattune.measure.grid.intervals import Interval

DAY = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOKEN = "s3cr3t-t0ken"


def forecast(*rows: tuple[int, int, float]) -> Forecast:
    """Intervals of whole minutes after midnight."""
    intervals = [Interval(DAY + a * MINUTE, DAY + b * MINUTE, g) for a, b, g in rows]
    return Forecast(tuple(intervals), "csv", "a test")


def minutes(window: Window | None) -> tuple[int, int, float] | None:
    if window is None:
        return None
    start, end = ((each - DAY) // MINUTE for each in (window.start, window.end))
    return start, end, window.g_per_kwh


def test_a_window_lies_across_intervals_and_is_weighted_by_them() -> None:
    hours = forecast((0, 60, 100), (60, 120, 40), (120, 180, 10), (180, 240, 90))
    assert minutes(hours.mean(DAY + 30 * MINUTE, 60 * MINUTE)) == (30, 90, 70)
    # 90 minutes: wholly over the 10, and the rest over the 40, not over the 90.
    least = hours.least(DAY, DAY + 150 * MINUTE, 90 * MINUTE)
    assert minutes(least) == (90, 180, 20)
    # As late as it may: a border lies within the window only.
    assert minutes(hours.least(DAY, DAY + 100 * MINUTE, 30 * MINUTE)) == (100, 130, 30)


def test_of_equal_windows_the_first_is_taken() -> None:
    flat = forecast(*((hour * 60, hour * 60 + 60, 0.1 + 0.2) for hour in range(24)))
    least = flat.least(DAY + MINUTE, DAY + 600 * MINUTE, 47 * MINUTE)
    assert least is not None
    assert (least.start - DAY) == MINUTE


def test_a_gap_is_not_filled() -> None:
    gap = forecast((0, 60, 100), (90, 150, 50), (150, 200, 1))
    assert gap.mean(DAY + 30 * MINUTE, 60 * MINUTE) is None
    assert minutes(gap.least(DAY, DAY + 90 * MINUTE, 60 * MINUTE)) == (90, 150, 50)
    assert gap.least(DAY + 30 * MINUTE, DAY + 80 * MINUTE, 60 * MINUTE) is None
    assert gap.least(DAY + 180 * MINUTE, DAY + 240 * MINUTE, 60 * MINUTE) is None  # not that far


@pytest.mark.parametrize("seed", range(40))
def test_the_least_window_is_the_least_of_all_minutes(seed: int) -> None:
    """Brute force: intervals, durations and bounds are whole minutes, so the best is one too."""
    chance = random.Random(seed)
    rows: list[tuple[int, int, float]] = []
    at = 0
    while at < 400:
        length = chance.choice([5, 15, 30, 60])
        if chance.random() < 0.9:
            rows.append((at, at + length, chance.choice([0, 20, 50, 50, 90, 213.7])))
        at += length
    hours = forecast(*rows)
    duration, earliest = chance.randint(1, 120), chance.randint(0, 100)
    latest = earliest + chance.randint(0, 300)
    figures = {minute: grams for start, end, grams in rows for minute in range(start, end)}
    means = {
        start: sum(figures[m] for m in range(start, start + duration)) / duration
        for start in range(earliest, latest + 1)
        if all(m in figures for m in range(start, start + duration))
    }
    least = hours.least(DAY + earliest * MINUTE, DAY + latest * MINUTE, duration * MINUTE)
    if not means:
        assert least is None
        return
    assert least is not None
    assert least.g_per_kwh == pytest.approx(min(means.values()), abs=1e-5)
    first = min(start for start, mean in means.items() if mean < min(means.values()) + 1e-7)
    assert (least.start - DAY) / MINUTE <= first


def test_overlapping_answers_are_used_once() -> None:
    rows = [Interval(DAY + a * MINUTE, DAY + b * MINUTE, g) for a, b, g in
            [(60, 120, 5), (0, 60, 9), (60, 120, 5), (30, 90, 100), (-90, -30, 1)]]  # fmt: skip
    found = forecast_over(rows, DAY, DAY + 100 * MINUTE, provider="uk", source="")
    assert [minutes(Window(i.start, i.end, i.g_per_kwh)) for i in found.intervals] == [
        (0, 60, 9), (60, 90, 100), (90, 120, 5),
    ]  # fmt: skip
    with pytest.raises(IntensityUnavailable, match="no forecast between 2026-03-02T00:00Z"):
        forecast_over(rows, DAY + 1440 * MINUTE, DAY + 1500 * MINUTE, provider="uk", source="")


def test_a_file_of_hours_to_come(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text("start,g_per_kwh,kind\n2026-03-01T00:00Z,40,marginal\n2026-03-01T01:00Z,30,"
                    "marginal\n2026-03-01T02:00Z,20,marginal\n", encoding="utf-8")  # fmt: skip
    forecaster = forecaster_of(Grid(provider="csv", file=str(path)))
    found = forecaster.forecast(DAY + 30 * MINUTE, DAY + 100 * MINUTE)
    assert [each.g_per_kwh for each in found.intervals] == [40, 30]
    assert (found.source, found.kind) == ("hours.csv", "marginal")
    with pytest.raises(IntensityUnavailable, match="no forecast between"):
        forecaster.forecast(DAY + 200 * MINUTE, DAY + 300 * MINUTE)
    with pytest.raises(IntensityUnavailable, match="no time zone"):
        forecaster.forecast(datetime(2026, 3, 1), datetime(2026, 3, 2))


def test_a_yearly_table_has_no_hours() -> None:
    with pytest.raises(InputError, match="no hour is better than another; set a grid"):
        forecaster_of(Grid())


class Service(HTTPServer):
    """Answers all requests alike, and keeps their paths and headers."""

    reply: Any = {}
    status = 200

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        service = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.path, headers))
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(json.dumps(service.reply).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answers)

    def grid(self, provider: str, **keys: Any) -> Grid:
        own = {"zone": "FR", "token_env": "EM_TOKEN"} if provider == "electricity_maps" else {}
        url = f"http://127.0.0.1:{self.server_port}"
        return Grid.model_validate({"provider": provider, "url": url, **own, **keys})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EM_TOKEN", TOKEN)
    made = Service()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize("key", ["forecast", "data"])
@pytest.mark.parametrize(("ahead_h", "horizon"), [(5, "6"), (24, "48"), (200, "72")])
def test_electricity_maps(service: Service, key: str, ahead_h: float, horizon: str) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    times = [(hour + timedelta(hours=n)).isoformat() for n in range(3)]
    service.reply = {
        "zone": "FR",
        key: [
            {"carbonIntensity": grams, "datetime": time}
            for time, grams in zip(times, (50, None, 30), strict=True)
        ],
        "updatedAt": times[0],
    }
    start = hour + 10 * MINUTE
    found = forecaster_of(service.grid("electricity_maps")).forecast(
        start, start + timedelta(hours=ahead_h)
    )
    assert [(each.start.isoformat(), each.g_per_kwh) for each in found.intervals] == [
        (times[0], 50), (times[2], 30),
    ]  # fmt: skip
    assert "API v3, forecast, zone FR, lifecycle factors" in found.source
    [(path, headers)] = service.asked
    parts = urlsplit(path)
    assert parts.path == "/v3/carbon-intensity/forecast"
    assert parse_qs(parts.query) == {
        "zone": ["FR"],
        "horizonHours": [horizon],
        "temporalGranularity": ["hourly"],
        "disableCallerLookup": ["true"],
    }
    assert headers["auth-token"] == TOKEN
    assert TOKEN not in path + repr(found)


def half_hours(grams: list[float | None]) -> list[dict[str, Any]]:
    step = timedelta(minutes=30)
    return [
        {
            "from": f"{DAY + n * step:%Y-%m-%dT%H:%MZ}",
            "to": f"{DAY + (n + 1) * step:%Y-%m-%dT%H:%MZ}",
            "intensity": {"forecast": figure, "actual": None, "index": "low"},
        }
        for n, figure in enumerate(grams)
    ]


@pytest.mark.parametrize(("hours", "ahead"), [(23, "fw24h"), (25, "fw48h"), (90, "fw48h")])
def test_great_britain(service: Service, hours: int, ahead: str) -> None:
    service.reply = {"data": half_hours([120, None, 80])}
    start = DAY + 10 * MINUTE
    found = forecaster_of(service.grid("uk")).forecast(start, start + timedelta(hours=hours))
    assert [each.g_per_kwh for each in found.intervals] == [120, 80]
    assert f"Great Britain, asked of {service.grid('uk').url}, {ahead}" in found.source
    assert [path for path, _ in service.asked] == [f"/intensity/2026-03-01T00:00Z/{ahead}"]


def test_a_region_of_great_britain(service: Service) -> None:
    service.reply = {"data": {"regionid": 13, "data": half_hours([20, 25])}}
    forecaster = forecaster_of(service.grid("uk", zone="13"))
    assert len(forecaster.forecast(DAY, DAY + timedelta(hours=24)).intervals) == 2
    path = "/regional/intensity/2026-03-01T00:00Z/fw24h/regionid/13"
    assert service.asked[0][0] == path
    service.reply = {"data": {"regionid": 12, "data": half_hours([20])}}
    with pytest.raises(IntensityUnavailable, match="of another region"):
        forecaster.forecast(DAY, DAY + timedelta(hours=24))


@pytest.mark.parametrize("provider", ["electricity_maps", "uk"])
def test_what_a_service_refuses_names_no_token(service: Service, provider: str) -> None:
    service.status, service.reply = 403, {"error": TOKEN}
    forecaster = forecaster_of(service.grid(provider))
    with pytest.raises(IntensityUnavailable, match=r"no access to this \(HTTP 403\)") as caught:
        forecaster.forecast(DAY, DAY + timedelta(hours=5))
    assert TOKEN not in str(caught.value)
    service.status, service.reply = 200, {"zone": "DE", "data": []}
    with pytest.raises(IntensityUnavailable):
        forecaster.forecast(DAY, DAY + timedelta(hours=5))
