"""A model's card asked of a hub on the loopback: card and configuration come, weights do not."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wattune.errors import ModelError
from wattune.models import hub
from wattune.models.facts import facts_here
from wattune.models.hub_card import facts_online

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "maker/card"
FILES = {
    "README.md": b"---\nlicense: mit\nlanguage: de\n---\n",
    "config.json": b'{"max_position_embeddings": 2048}',
    "model.safetensors": b"never asked for",
}
INFO = {
    "id": REPO,
    "sha": COMMIT,
    "createdAt": "2024-10-31T09:00:00.000Z",
    "lastModified": "2025-02-06T09:00:00.000Z",
    "safetensors": {"parameters": {"BF16": 1_300_000_000, "F32": 5}, "total": 1_300_000_005},
    "siblings": [{"rfilename": name, "size": len(content)} for name, content in FILES.items()],
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a card needs."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith(f"/api/models/{REPO}/tree"):
            rows = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40}
                    for n, c in FILES.items()]  # fmt: skip
            self._send(json.dumps(rows).encode())
        elif path.startswith(f"/api/models/{REPO}"):
            self._send(json.dumps(INFO).encode())
        elif path.startswith(f"/{REPO}/resolve/") and name in FILES:
            self._send(FILES[name])
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """The hub, answering; its cache is the test's own."""
    from huggingface_hub import constants

    class Handler(Hub):
        asked: list[str] = []

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    yield Handler
    running.shutdown()
    running.server_close()


def test_card_and_configuration_are_fetched_and_no_weights(server: type[Hub]) -> None:
    found = facts_online(REPO)
    assert (found.name, found.revision) == (REPO, COMMIT)
    assert (found.parameters, found.precision) == (1_300_000_005, "bfloat16")
    assert (found.licence, found.languages, found.context_tokens) == ("mit", ("de",), 2048)
    assert (found.published, found.updated) == ("2024-10-31", "2025-02-06")
    assert found.sources["parameters"] == "the hub's page"
    assert found.sources["licence"] == "README.md"
    assert not [path for path in server.asked if path.endswith("model.safetensors")]


def test_afterwards_it_is_known_without_the_network(server: type[Hub]) -> None:
    facts_online(REPO)
    server.asked.clear()
    found = facts_here(REPO)
    assert (found.revision, found.licence, found.parameters) == (COMMIT, "mit", None)
    assert server.asked == []


def test_what_the_hub_does_not_know_is_told(server: type[Hub]) -> None:
    with pytest.raises(ModelError, match='knows no model "maker/none"'):
        facts_online("maker/none")
    with pytest.raises(ModelError, match="nothing to ask online"):
        facts_online("no hub id")


def test_a_hub_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*asked: object) -> None:
        raise hub.HubUnreachable("no answer within 10 s")

    monkeypatch.setattr("wattune.models.hub_card.hub_info", gone)
    with pytest.raises(ModelError, match="no answer within 10 s"):
        facts_online(REPO)


def test_a_packaged_model_asks_nobody(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattune.models.hub_card.hub_info", None)
    assert facts_online("smollm2-135m-q4").licence == "Apache-2.0"
