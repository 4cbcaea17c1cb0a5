"""The hub, played by a server on the loopback: answering, refusing, hanging, gone."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wattune.errors import ModelError
from wattune.models import hub
from wattune.models.fetch import resolve
from wattune.models.hub import needed_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "maker/tiny"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        for revision in ("main", COMMIT):
            if path == f"/api/models/{REPO}/revision/{revision}" or path == f"/api/models/{REPO}":
                return self._send(200, self._info(), {"Content-Type": "application/json"})
            if path == f"/api/models/{REPO}/tree/{revision}":
                return self._send(200, self._tree(), {"Content-Type": "application/json"})
            name = path.removeprefix(f"/{REPO}/resolve/{revision}/")
            if name in self.files:
                content = self.files[name]
                etag = hashlib.sha256(content).hexdigest()
                return self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        known = path.startswith((f"/api/models/{REPO}", f"/{REPO}"))
        code = "RevisionNotFound" if known else "RepoNotFound"
        self._send(404, b"{}", {"X-Error-Code": code})

    def _info(self) -> bytes:
        siblings = [{"rfilename": name, "size": len(self.files[name])} for name in self.files]
        return json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode()

    def _tree(self) -> bytes:
        rows = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in self.files.items()
        ]
        return json.dumps(rows).encode()

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)


@pytest.fixture
def server(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub with one repository: the tiny model, a pickle and some code."""
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    files |= {"pytorch_model.bin": b"pickle", "modeling.py": b"code", "onnx/config.json": b"{}"}

    class Handler(Hub):
        pass

    Handler.files, Handler.asked = files, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    yield Handler
    running.shutdown()
    running.server_close()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes the call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield


def test_a_hub_id_becomes_a_commit_and_the_needed_files(server: type[Hub]) -> None:
    said: list[str] = []
    found = resolve(REPO, kind="causal_lm", progress=said.append)
    assert (found.name, found.revision, found.source) == (REPO, COMMIT, "hub")
    names = {path.name for path in found.folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"pytorch_model.bin", "modeling.py", "onnx"}
    assert said == [s for s in said if s.startswith(f"downloading {REPO} (")] != []


def test_the_environment_is_left_as_it_was(server: type[Hub]) -> None:
    from huggingface_hub import constants

    before = dict(os.environ)
    telemetry = constants.HF_HUB_DISABLE_TELEMETRY
    resolve(REPO)
    assert dict(os.environ) == before
    assert telemetry == constants.HF_HUB_DISABLE_TELEMETRY


def test_a_commit_that_is_here_needs_no_network(server: type[Hub]) -> None:
    folder = resolve(REPO).folder
    server.asked.clear()
    assert resolve(f"{REPO}@{COMMIT}").folder == folder
    assert server.asked == []


def test_an_earlier_copy_serves_when_the_hub_is_gone(
    server: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve(REPO)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # closed again at the end: nobody listens
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    said: list[str] = []
    assert resolve(REPO, progress=said.append) == first
    assert "using the copy" in said[0]


def test_a_download_that_was_cut_off_is_taken_up_again(server: type[Hub]) -> None:
    folder = resolve(REPO).folder
    (folder / "tokenizer_config.json").unlink()
    found = resolve(f"{REPO}@{COMMIT}")
    assert found.folder == folder
    assert (folder / "tokenizer_config.json").is_file()


def test_unknown_repositories_and_revisions_are_told_apart(server: type[Hub]) -> None:
    with pytest.raises(ModelError, match='knows no model "maker/none"'):
        resolve("maker/none")
    with pytest.raises(ModelError, match='no revision "v9"'):
        resolve(f"{REPO}@v9")


def test_weights_in_pickles_only_are_refused(server: type[Hub]) -> None:
    del server.files["model.safetensors"]
    with pytest.raises(ModelError, match="has no safetensors weights"):
        resolve(REPO)


def test_a_hanging_hub_is_given_up_and_the_packaged_model_named(
    hanging: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.FIRST_CONTACT_S <= 12  # with one second more, within about 15 s
    monkeypatch.setattr(hub, "FIRST_CONTACT_S", 1.0)
    began = time.monotonic()
    with pytest.raises(ModelError, match="wattune models fetch smollm2-135m-q4") as caught:
        resolve(REPO)
    assert time.monotonic() - began < 4
    assert "no answer within 1 s" in str(caught.value)


def test_an_answer_that_drips_meets_the_same_deadline() -> None:
    with pytest.raises(TimeoutError):
        hub._within(0.2, lambda: time.sleep(2))


def test_offline_mode_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        resolve(REPO)


def test_needed_files_are_weights_configuration_and_tokenizer() -> None:
    names = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "tokenizer.model",
        "chat_template.jinja",
        "1_Pooling/config.json",
    ]
    others = [
        "pytorch_model.bin",
        "consolidated.safetensors",
        "onnx/model.onnx",
        "onnx/config.json",
        "modeling_own.py",
        ".gitattributes",
        "model.gguf",
    ]
    assert needed_files(names + others) == sorted(names)
