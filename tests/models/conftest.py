"""A chat server on loopback that fails as it is told, for the tests of endpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Handler = BaseHTTPRequestHandler
Reply = Callable[[Handler], None]


class ChatServer(ThreadingHTTPServer):
    """Answers each request by the next of `replies`, then always with `usual`.

    `asked` are the requests' fields, `keys` their Authorization headers, `most` how many were under
    way at once. `over` is set when the test ends.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.usual = self.say("jetty 1")
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.under_way = self.most = 0
        self.lock, self.over = threading.Lock(), threading.Event()
        server = self

        class Answers(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.under_way += 1
                    server.most = max(server.most, server.under_way)
                    server.asked.append({"path": self.path, **body})
                    server.keys.append(self.headers["Authorization"])
                    reply = server.replies.pop(0) if server.replies else server.usual
                try:
                    reply(self)
                finally:
                    with server.lock:
                        server.under_way -= 1

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @staticmethod
    def send(
        body: bytes | str, status: int = 200, length: int | None = None, **headers: str
    ) -> Reply:
        """A reply as it stands; with a `length` beyond its own it is cut."""
        content = body.encode() if isinstance(body, str) else body

        def reply(handler: Handler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(length or len(content)))
            handler.end_headers()
            handler.wfile.write(content)
            handler.close_connection = length is not None

        return reply

    def say(self, text: str | None, *, usage: bool = True, ended: str = "stop") -> Reply:
        """A completion that read 10 tokens and wrote one a word."""
        message = {"role": "assistant", "content": text}
        content: dict[str, Any] = {"choices": [{"message": message, "finish_reason": ended}]}
        if usage:
            written = len((text or "").split())
            content["usage"] = {"prompt_tokens": 10, "completion_tokens": written}
        return self.send(json.dumps(content))

    def stream(self, pieces: Sequence[str], *, whole: bool = True) -> Reply:
        """Pieces of a stream; one that is not `whole` lacks its end."""
        rows: list[dict[str, Any]] = [{"choices": [{"delta": {"content": p}}]} for p in pieces]
        if whole:
            rows.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            rows.append({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2}})
        lines = [f"data: {json.dumps(row)}\n\n" for row in rows]
        return self.send(": hello\n\n" + "".join(lines) + ("data: [DONE]\n\n" if whole else ""))

    def hang(self, handler: Handler) -> None:
        """A reply that never ends: a byte now and then."""
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not self.over.wait(0.02):
            handler.wfile.write(b" ")

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client went away, as these tests mean it to


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """The server, started; the waits between tries are a thousandth of a second."""
    from wattune.models import pace

    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.001)
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()
