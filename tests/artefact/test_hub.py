"""Uploading, to a hub played on the loopback: private unless asked, and refusals in words."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from wattune.artefact.hub import push_to_hub
from wattune.errors import InputError, ModelError
from wattune.system import LocalSystem

REPO = "org/ferry"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files needs."""

    made: list[dict[str, Any]]
    files: dict[str, bytes]
    private: bool
    status: int

    def do_GET(self) -> None:
        known = self.path.split("?")[0] == f"/api/models/{REPO}"
        info = {"id": REPO, "private": self.private, "siblings": [], "sha": "0" * 40}
        self._send(200 if known else 404, info)

    def do_POST(self) -> None:
        content = self._body()
        path = self.path.split("?")[0]
        if self.status != 200:
            return self._send(self.status, {"error": "no"})
        if path == "/api/repos/create":
            self.made.append(json.loads(content))
            return self._send(200, {"url": f"{self._home()}/{REPO}"})
        if path == f"/api/models/{REPO}/preupload/main":
            asked = json.loads(content)["files"]
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked
            ]
            return self._send(200, {"files": files})
        if path == f"/api/models/{REPO}/commit/main":
            for line in content.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            found = {"commitUrl": f"{self._home()}/{REPO}/commit/{'1' * 40}", "commitOid": "1" * 40}
            return self._send(200, {**found, "pullRequestUrl": None})
        return self._send(200, {"errors": [], "warnings": []})  # validate-yaml

    def _home(self) -> str:
        return f"http://{self.headers['Host']}"

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub that takes everything, and a token for it."""
    from huggingface_hub import constants

    class Handler(Hub):
        pass

    Handler.made, Handler.files, Handler.private, Handler.status = [], {}, True, 200
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_real_token")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield Handler
    running.shutdown()
    running.server_close()


@pytest.fixture
def saved(base: LocalSystem, tmp_path: Path) -> Path:
    return base.save(tmp_path / "saved")


def test_the_folder_is_uploaded_whole_and_private(saved: Path, hub: type[Hub]) -> None:
    assert push_to_hub(saved, REPO).endswith(f"/{REPO}")
    (made,) = hub.made
    assert (made["organization"], made["name"]) == ("org", "ferry")
    assert made.get("private") is True or made.get("visibility") == "private"
    on_disk = {p.relative_to(saved).as_posix(): p.read_bytes() for p in saved.rglob("*.*")}
    assert hub.files == on_disk


def test_public_only_when_asked(saved: Path, hub: type[Hub]) -> None:
    hub.private = False
    with pytest.raises(InputError, match=r"already and public.*--public"):
        push_to_hub(saved, REPO)
    assert hub.files == {}
    push_to_hub(saved, REPO, public=True)
    assert hub.made[-1].get("private") is False or hub.made[-1].get("visibility") == "public"
    assert "system.json" in hub.files


@pytest.mark.parametrize(
    ("status", "match"),
    [(401, "does not know this token"), (403, "may not write there"), (500, "status 500")],
)
def test_a_refusal_is_a_sentence(saved: Path, hub: type[Hub], status: int, match: str) -> None:
    hub.status, hub.private = status, True
    with pytest.raises(ModelError, match=match):
        push_to_hub(saved, "org/other")


def test_without_a_token_or_a_hub_nothing_is_tried(
    saved: Path, hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    for name in ("ferry", "org/name@main", "../x/y"):
        with pytest.raises(InputError, match="org/name"):
            push_to_hub(saved, name)
    with pytest.raises(InputError, match=r"has no system\.json"):
        push_to_hub(tmp_path, REPO)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="the upload broke off"):
        push_to_hub(saved, REPO)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(InputError, match="hf auth login"):
        push_to_hub(saved, REPO)
    assert hub.made == []
