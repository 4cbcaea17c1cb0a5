"""The online providers against a server on loopback: their requests, and all that can fail."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from wattune.measure.carbon import CarbonSource
from wattune.measure.grid import Grid

TOKEN = "s3cr3t-t0ken"
START = datetime.fromisoformat("2026-03-01T00:45+00:00")
END = datetime.fromisoformat("2026-03-01T02:30+00:00")

Handler = BaseHTTPRequestHandler
Reply = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """Answers every request with the next of `replies`, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        server = self

        class Answers(Handler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.path, headers))
                reply = server.replies[0] if len(server.replies) == 1 else server.replies.pop(0)
                reply(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client went away, as these tests mean it to


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Server]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EM_TOKEN", TOKEN)
    started: list[tuple[Server, threading.Thread]] = []

    def start() -> Server:
        server = Server()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(servers: Callable[[], Server]) -> Server:
    return servers()


def body(content: bytes, status: int = 200, **headers: str) -> Reply:
    def reply(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return reply


def plain(content: Any) -> Reply:
    return body(json.dumps(content).encode())


def grid(server: Server, provider: str, **keys: Any) -> Grid:
    own = {"zone": "FR", "token_env": "EM_TOKEN"} if provider == "electricity_maps" else {}
    return Grid.model_validate({"provider": provider, "url": server.url, **own, **keys})


def hour(clock: str, grams: float | None, **keys: Any) -> dict[str, Any]:
    return {"datetime": f"2026-03-01T{clock}:00.000Z", "carbonIntensity": grams, **keys}


def half(start: str, end: str, forecast: float | None, actual: float | None) -> dict[str, Any]:
    day = "2026-03-01T"
    both = {"forecast": forecast, "actual": actual, "index": "low"}
    return {"from": f"{day}{start}Z", "to": f"{day}{end}Z", "intensity": both}


def test_electricity_maps(server: Server) -> None:
    row = {"zone": "FR", "emissionFactorType": "lifecycle"}
    server.replies = [
        plain(
            {
                "zone": "FR",
                "data": [
                    hour("00:00", 40, isEstimated=False, **row),
                    hour("01:00", 80.5, isEstimated=True, **row),
                    hour("02:00", 100, isEstimated=True, **row),
                ],
            }
        )
    ]
    carbon, reason = CarbonSource("FRA", grid=grid(server, "electricity_maps")).over(START, END)
    assert carbon is not None
    assert reason == carbon.fallback == ""
    assert carbon.intensity_g_per_kwh == pytest.approx((0.25 * 40 + 80.5 + 0.5 * 100) / 1.75)
    assert (carbon.provider, carbon.place, carbon.kind) == ("electricity_maps", "FRA", "average")
    assert "API v3, past-range, zone FR, lifecycle factors" in carbon.source
    assert "2 estimated, 1 measured" in carbon.source
    [(path, headers)] = server.asked
    parts = urlsplit(path)
    assert parts.path == "/v3/carbon-intensity/past-range"
    assert parse_qs(parts.query) == {
        "zone": ["FR"],
        "start": ["2026-03-01T00:00Z"],
        "end": ["2026-03-01T03:00Z"],
        "temporalGranularity": ["hourly"],
        "emissionFactorType": ["lifecycle"],
        "disableCallerLookup": ["true"],
    }
    assert headers["auth-token"] == TOKEN
    assert TOKEN not in path + carbon.model_dump_json()


def test_a_long_run_is_asked_for_in_pieces(server: Server) -> None:
    start = START - timedelta(days=24)

    def reply(handler: Handler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        first, last = (datetime.fromisoformat(query[key][0]) for key in ("start", "end"))
        hours = int((last - first) / timedelta(hours=1))
        assert hours <= 240
        # One more than asked for: the last of a piece is then the first of the next.
        times = [first + timedelta(hours=n) for n in range(hours + 1)]
        rows = [{"datetime": t.isoformat(), "carbonIntensity": t.day} for t in times]
        plain({"zone": "FR", "data": rows})(handler)

    server.replies = [reply]
    carbon, _ = CarbonSource(
        None, grid=grid(server, "electricity_maps", fallback="none")
    ).over(start, END)  # fmt: skip
    assert carbon is not None
    assert len(server.asked) == 3
    quarters = [start + timedelta(minutes=15 * n) for n in range(int((END - start).total_seconds() / 900))]  # noqa: E501  # fmt: skip
    expected = sum(moment.day for moment in quarters) / len(quarters)
    assert carbon.intensity_g_per_kwh == pytest.approx(expected)
    assert carbon.place == "FR"
    assert "cover" not in carbon.source


def test_great_britain(server: Server) -> None:
    server.replies = [
        plain(
            {
                "data": [
                    half("00:00", "00:30", 900, 900),  # before the run
                    half("00:30", "01:00", 50, 60),
                    half("01:00", "01:30", 70, None),
                    half("01:30", "02:00", None, None),
                    half("02:00", "02:30", 110, 100),
                ]
            }
        )
    ]
    carbon, _ = CarbonSource("GBR", grid=grid(server, "uk")).over(START, END)
    assert carbon is not None
    assert carbon.intensity_g_per_kwh == pytest.approx((0.5 * 60 + 70 + 100) / 2.5)
    assert "Great Britain" in carbon.source
    assert "3 figure(s): 2 actual, 1 forecast; they cover 71.4 % of the time" in carbon.source
    [(path, headers)] = server.asked
    assert path == "/intensity/2026-03-01T00:30Z/2026-03-01T02:30Z"
    assert "auth-token" not in headers


def test_a_region_of_great_britain(server: Server) -> None:
    rows = [half("00:30", "01:00", 20, None)]
    del rows[0]["intensity"]["actual"]  # regions have forecasts only
    server.replies = [plain({"data": {"regionid": 13, "shortname": "London", "data": rows}})]
    source = CarbonSource("GBR", grid=grid(server, "uk", zone="13"))
    carbon, _ = source.over(START, START + timedelta(minutes=5))
    assert carbon is not None
    assert carbon.intensity_g_per_kwh == 20
    assert "region 13" in carbon.source
    assert "1 forecast" in carbon.source
    path = "/regional/intensity/2026-03-01T00:30Z/2026-03-01T01:00Z/regionid/13"
    assert server.asked[0][0] == path
    server.replies = [plain({"data": {"regionid": 12, "data": rows}})]
    assert "another region" in source.over(START, END).reason


def hang(handler: Handler) -> None:
    server = handler.server
    assert isinstance(server, Server)
    server.over.wait(30)


def trickle(handler: Handler) -> None:
    """Keeps the socket from ever timing out: no step of it is long."""
    server = handler.server
    assert isinstance(server, Server)
    handler.send_response(200)
    handler.end_headers()
    while not server.over.wait(0.02):
        handler.wfile.write(b" ")


def drop(handler: Handler) -> None:
    handler.close_connection = True


def flood(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(60):
        handler.wfile.write(b" " * 100_000)


@pytest.mark.parametrize("provider", ["electricity_maps", "uk"])
@pytest.mark.parametrize(
    ("reply", "reason", "requests"),
    [
        (body(b"", 401), "the token is not accepted (HTTP 401)", 1),
        (body(TOKEN.encode(), 403), "(HTTP 403)", 1),
        (body(b"", 404), "nothing is known under this zone or time (HTTP 404)", 1),
        (body(b"", 429), "too many requests (HTTP 429)", 1),
        (body(b"", 500), "the server failed (HTTP 500)", 2),
        (hang, "no answer within 0.3 s", 2),
        (trickle, "no answer within 0.3 s", 2),
        (drop, "the connection failed", 2),
        (body(b"<html>" + TOKEN.encode()), "the answer is not JSON", 1),
        (body(b"\xff\xfe"), "the answer is not JSON", 1),
        (body(b""), "the answer is not JSON", 1),
        (body(b"[" * 100_000), "the answer is not JSON", 1),
        (plain([1, 2]), "not of the documented form", 1),
        (plain({"error": {"code": "400", "message": TOKEN}}), "not of the documented form", 1),
        (plain({"data": None}), "not of the documented form", 1),
        (plain({"data": []}), "no figure between", 1),
        (flood, "larger than 5,000,000 bytes", 1),
        (body(b"", 302, Location="http://localhost:9/"), "redirects to another one", 1),
        (body(b"", 302, Location="file:///etc/passwd"), "redirects to another one", 1),
    ],
)
def test_what_fails_is_a_reason_and_a_stated_fallback(
    server: Server,
    provider: str,
    reply: Reply,
    reason: str,
    requests: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    server.replies = [reply]
    timeout_s = 0.3 if reply in (hang, trickle) else 20
    asked = grid(server, provider, timeout_s=timeout_s)
    carbon, why = CarbonSource("GBR", grid=asked).over(START, END)
    assert reason in why
    assert len(server.asked) == requests
    table = CarbonSource("GBR").over().carbon
    assert carbon is not None
    assert table is not None
    assert carbon == table.model_copy(update={"fallback": why})
    assert why.startswith(f"{provider}: ")
    said = why + carbon.model_dump_json() + caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in said
    server.replies = [body(b"", 404)]
    none = asked.model_copy(update={"fallback": "none"})
    carbon, why = CarbonSource("GBR", grid=none).over(START, END)
    assert carbon is None
    assert "HTTP 404" in why


@pytest.mark.parametrize("grams", ["NaN", "1e999", "-3", '"40"', "true", "[]", "1" * 400])
def test_figures_that_are_none(server: Server, grams: str) -> None:
    row = '{"data": [{"datetime": "2026-03-01T01:00Z", "carbonIntensity": ' + grams + "}]}"
    server.replies = [body(row.encode())]
    carbon, why = CarbonSource(
        None, grid=grid(server, "electricity_maps", fallback="none")
    ).over(START, END)  # fmt: skip
    assert carbon is None
    assert "the answer is not" in why


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"zone": "DE", "data": [hour("01:00", 1)]}, "of another zone"),
        ({"data": [hour("01:00", 1), hour("02:00", 1, zone="DE")]}, "of another zone"),
        ({"data": [hour("01:00", 1, emissionFactorType="direct")]}, "documented form"),
        ({"data": [hour("01:00", None)]}, "no figure between"),
    ],
)
def test_an_answer_to_another_question(server: Server, content: Any, reason: str) -> None:
    server.replies = [plain(content)]
    asked = grid(server, "electricity_maps", fallback="none")
    carbon, why = CarbonSource(None, grid=asked).over(START, END)
    assert carbon is None
    assert reason in why


def test_a_second_try_mends_a_passing_failure(server: Server) -> None:
    server.replies = [body(b"", 503), plain({"data": [half("00:30", "02:30", 5, 6)]})]
    carbon, why = CarbonSource("GBR", grid=grid(server, "uk")).over(START, END)
    assert why == ""
    assert carbon is not None
    assert carbon.intensity_g_per_kwh == 6


@pytest.mark.parametrize("url", [None, "https://exa..mple"])
def test_no_server_at_all(servers: Callable[[], Server], url: str | None) -> None:
    server = servers()
    asked = grid(server, "uk", fallback="none", url=url or server.url)
    server.shutdown()
    server.server_close()
    carbon, why = CarbonSource(None, grid=asked).over(START, END)
    assert carbon is None
    assert "the connection failed" in why


def test_the_token_stays_with_its_server(servers: Callable[[], Server]) -> None:
    server, other = servers(), servers()
    good = plain({"zone": "FR", "data": [hour("01:00", 33)]})
    other.replies = [good]
    server.replies = [body(b"", 302, Location=f"{other.url}/v3/")]
    source = CarbonSource("FRA", grid=grid(server, "electricity_maps"))
    assert "redirects to another one" in source.over(START, END).reason
    assert other.asked == []
    server.replies = [body(b"", 302, Location="/v3/moved"), good]
    carbon, why = source.over(START, END)
    assert why == ""
    assert carbon is not None
    assert carbon.intensity_g_per_kwh == 33
    assert server.asked[-1][0] == "/v3/moved"
    assert server.asked[-1][1]["auth-token"] == TOKEN
